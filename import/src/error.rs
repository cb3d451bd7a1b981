//! What can be wrong.

use std::fs::File;
use std::path::{Path, PathBuf};

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something about a source, or what is asked of it.
    #[error("{}: {problem}", path.display())]
    Source {
        /// The file or folder.
        path: PathBuf,
        /// What was found, and what was expected.
        problem: String,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The dataset that was made cannot be read.
    #[error(transparent)]
    Dataset(#[from] datasets::Error),
    /// Writing a file failed.
    #[error(transparent)]
    Zoo(#[from] zoo::Error),
}

/// Short for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(path: &Path, problem: impl Into<String>) -> Error {
        Error::Source { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    }
}

/// Opens a regular file.
///
/// # Errors
/// If it is none, or cannot be read.
pub(crate) fn open(path: &Path) -> Result<File> {
    datasets::files::open(path).map_err(Error::io(path))
}

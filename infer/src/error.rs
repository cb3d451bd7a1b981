//! What can go wrong when predicting.

use std::path::{Path, PathBuf};

/// Result of every fallible function here.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in which file, with what was found and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The zoo, a manifest, or a file that does not match it.
    #[error(transparent)]
    Zoo(#[from] zoo::Error),
    /// A dataset.
    #[error(transparent)]
    Data(#[from] datasets::Error),
    /// A file or folder could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not an image that can be used.
    #[error("{}: {problem}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// A network cannot be used.
    #[error("{}: {problem}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// The system gives no more threads.
    #[error("no thread to work on: {0}")]
    Threads(#[source] std::io::Error),
    /// What the caller asked for makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// An [`Error::Io`] for `path`, for use with `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_owned(), source }
    }

    /// An [`Error::Image`].
    pub fn image(path: &Path, problem: impl Into<String>) -> Error {
        Error::Image { path: path.to_owned(), problem: problem.into() }
    }

    /// An [`Error::Model`].
    pub fn model(path: &Path, problem: impl Into<String>) -> Error {
        Error::Model { path: path.to_owned(), problem: problem.into() }
    }
}

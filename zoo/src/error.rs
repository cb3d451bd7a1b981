//! What can be wrong with a zoo.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Result of every fallible function here.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in which file, with what was found and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// YAML or hashing trouble.
    #[error(transparent)]
    Data(#[from] datasets::Error),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no such model, version or zoo.
    #[error("{}: not found; {hint}", path.display())]
    NotFound {
        /// What was looked for.
        path: PathBuf,
        /// What is there instead.
        hint: String,
    },
    /// A field of a manifest has a value that it must not have.
    #[error("{}: {field}: found {found}, expected {expected}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The field.
        field: String,
        /// Its value.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// Something was to be written into a published version.
    #[error("{}: in a version of a zoo, which never changes; choose another place", path.display())]
    Published {
        /// What was to be written.
        path: PathBuf,
    },
    /// An output was to be written over an input, or over another output.
    #[error("{}: is the same file as {}; choose another place", path.display(), other.display())]
    Same {
        /// The output.
        path: PathBuf,
        /// What it would be written over.
        other: PathBuf,
    },
    /// Another program is changing the zoo, and has not finished.
    #[error("{}: held by another program that changes this zoo, for more than {waited:?}", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A published file is not what the manifest says.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it differs.
        problem: String,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`, for use with `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_owned(), source }
    }
}

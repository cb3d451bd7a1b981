//! What can be wrong with a dataset.

use std::path::{Path, PathBuf};

/// Result of every fallible function here.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in which file, with what was found and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that should be there is not.
    #[error("{}: file not found; expected {expected}", path.display())]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// What it would hold.
        expected: String,
    },
    /// A field has a value that it must not have.
    #[error("{}: {field}: found {found}, expected {expected}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The field of the format, e.g. `magic`, `labels[17]`, `sha256`.
        field: String,
        /// The value in the file.
        found: String,
        /// What the format or the description asks for.
        expected: String,
    },
    /// YAML that does not parse, has an unknown key, or lacks one.
    #[error("{}: {message}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// No mirror delivered the file.
    #[error("{}: no mirror delivered it: {reasons}", path.display())]
    Download {
        /// Where the file would have gone.
        path: PathBuf,
        /// What each mirror answered.
        reasons: String,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`, for use with `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_owned(), source }
    }

    /// An [`Error::Invalid`].
    pub fn invalid(
        path: &Path,
        field: impl Into<String>,
        found: impl ToString,
        expected: impl ToString,
    ) -> Error {
        Error::Invalid {
            path: path.to_owned(),
            field: field.into(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }
}

//! What can go wrong when keeping and serving a zoo.

use std::path::{Path, PathBuf};

/// Result of every fallible function here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, with what was found and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The zoo, a manifest, or a file that does not match it.
    #[error(transparent)]
    Zoo(#[from] zoo::Error),
    /// A YAML file or a dataset.
    #[error(transparent)]
    Data(#[from] datasets::Error),
    /// A model that cannot be used.
    #[error(transparent)]
    Infer(#[from] infer::Error),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refused something that is no file: threads, an address, signals.
    #[error("{what}: {source}")]
    System {
        /// What was asked for.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A registry, or what is in it.
    #[error("{reference}: {problem}")]
    Registry {
        /// The name in the registry.
        reference: String,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// A version is not to be trusted.
    #[error("{0}")]
    Policy(String),
    /// A version is older than one that is here.
    #[error("{0}")]
    Rollback(String),
    /// What the caller asked for makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// An [`Error::Io`] for `path`, for use with `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_owned(), source }
    }

    /// An [`Error::System`], for use with `map_err`.
    pub(crate) fn system(what: impl ToString) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::System { what: what.to_string(), source }
    }
}

//! What can go wrong when training and publishing.

use std::path::{Path, PathBuf};

/// Result of every fallible function here.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, where, with what was found and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A dataset, or a YAML file.
    #[error(transparent)]
    Data(#[from] datasets::Error),
    /// The zoo.
    #[error(transparent)]
    Zoo(#[from] zoo::Error),
    /// The runtime that checks a model before it is published.
    #[error(transparent)]
    Infer(#[from] infer::Error),
    /// libtorch refused something.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A field of a recipe has a value that cannot work.
    #[error("{}: {field}: found {found}, expected {expected}", path.display())]
    Recipe {
        /// The recipe's file; its name where it is from none.
        path: PathBuf,
        /// The field, e.g. `schedule.one_cycle.peak`.
        field: String,
        /// Its value.
        found: String,
        /// What would work.
        expected: String,
    },
    /// A layer cannot take the shape that reaches it.
    #[error("network: layer {number} ({kind}), input {input}: {problem}")]
    Layer {
        /// Position in the list, from 1; `3.2` is the second inside a block.
        number: String,
        /// Kind of the layer.
        kind: &'static str,
        /// Shape that reaches it.
        input: String,
        /// What it needs.
        problem: String,
    },
    /// An [`Error::Layer`] of a recipe that was read from a file.
    #[error("{}: {source}", path.display())]
    Network {
        /// The recipe.
        path: PathBuf,
        /// Which layer, and why.
        source: Box<Error>,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A run directory does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Run {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// Something that training computes is no longer a number.
    #[error("{what} in epoch {epoch}, step {step}: the learning rate is probably too high")]
    Diverged {
        /// What it was: `the loss became NaN`.
        what: String,
        /// Epoch, from 1.
        epoch: u32,
        /// Step in the epoch, from 1.
        step: usize,
    },
    /// The device asked for is not there.
    #[error("device {0}: not available; this libtorch sees only the CPU")]
    Device(String),
    /// Ctrl-C; a checkpoint was saved.
    #[error("interrupted in epoch {epoch}; the checkpoint is in {}", run.display())]
    Interrupted {
        /// Epoch at hand, from 1.
        epoch: u32,
        /// The run directory.
        run: PathBuf,
    },
    /// A model failed the checks it must pass before it is published; nothing was published.
    #[error("self-check: {check}: found {found}, expected {expected}")]
    SelfCheck {
        /// Which check.
        check: String,
        /// What was measured.
        found: String,
        /// What is required.
        expected: String,
    },
    /// Foreign data cannot become a dataset.
    #[error(transparent)]
    Import(#[from] import::Error),
    /// A study cannot go on.
    #[error("study: {0}")]
    Study(String),
    /// Plots or pictures could not be drawn.
    #[error("drawing {0}")]
    Drawing(String),
}

impl Error {
    /// An [`Error::Io`] for `path`, for use with `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_owned(), source }
    }

    /// An [`Error::Drawing`], for use with `map_err`.
    pub(crate) fn drawing(problem: impl ToString) -> Error {
        Error::Drawing(problem.to_string())
    }

    /// An [`Error::Run`].
    pub fn run(path: &Path, problem: impl Into<String>) -> Error {
        Error::Run { path: path.to_owned(), problem: problem.into() }
    }
}

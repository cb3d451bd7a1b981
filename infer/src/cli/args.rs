//! Arguments and errors that commands share.

use std::path::{Path, PathBuf};

use terminal::ExitStatus;
use zoo::Zoo;
use zoo::signature::PublicKey;

use crate::decode;
use crate::error::{Error, Result};

/// Which zoo, and how to print.
#[derive(clap::Args)]
pub struct ZooArgs {
    /// The zoo [default: ./zoo; `predict`, `read` and `zoo serve` use the built-in model if that is not there].
    #[arg(long, env = "INFER_ZOO")]
    zoo: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

impl ZooArgs {
    /// Whether a zoo was named, or is at hand.
    pub fn is_there(&self) -> bool {
        self.zoo.is_some() || self.path().join("models").is_dir()
    }

    /// The zoo's folder.
    pub fn path(&self) -> &Path {
        self.zoo.as_deref().unwrap_or(Path::new("zoo"))
    }

    /// Opens the zoo.
    ///
    /// # Errors
    /// [`zoo::Error::NotFound`].
    pub fn open(&self) -> Result<Zoo> {
        Ok(Zoo::open(self.path())?)
    }
}

/// The image file, or those of a folder; says what else is there.
///
/// # Errors
/// Those of [`decode::image_files`].
pub(super) fn image_files(path: &Path) -> Result<Vec<PathBuf>> {
    let decode::ImageFiles { files, other_files, folders } = decode::image_files(path)?;
    let counted = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 other {what}")),
        _ => Some(format!("{count} other {what}s")),
    };
    let others: Vec<String> =
        [counted(other_files, "file"), counted(folders, "folder")].into_iter().flatten().collect();
    if !others.is_empty() {
        let name = terminal::one_line(&path.display().to_string()).into_owned();
        terminal::log(format_args!("{name}: not looked at: {}", others.join(" and ")));
    }
    Ok(files)
}

/// Says what a file has beside the image that is looked at.
pub(super) fn say_more(path: &Path, photo: &decode::Photo) {
    if photo.has_more {
        let name = terminal::one_line(&path.display().to_string()).into_owned();
        terminal::log(format_args!("{name}: several images (pages or frames); the first is looked at"));
    }
}

/// Says how many marks were too many to look at.
pub(super) fn say_left_out(path: &Path, marks: usize) {
    if marks > 0 {
        let name = terminal::one_line(&path.display().to_string()).into_owned();
        terminal::log(format_args!("{name}: {marks} marks were not looked at: too many for one image"));
    }
}

/// Tells an error; returns the exit status for it.
pub fn report(error: &Error) -> ExitStatus {
    terminal::error(error, hint(error));
    ExitStatus::Usage
}

/// What to do about an error.
pub fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Zoo(zoo::Error::NotFound { .. }) => {
            Some("name the zoo with --zoo DIR; `infer list` shows its models")
        }
        Error::Zoo(zoo::Error::Damaged { .. }) => {
            Some("the model was not used; restore the file, for example with git checkout")
        }
        Error::Data(datasets::Error::Missing { .. }) => {
            Some("name the folder of the datasets with --datasets DIR")
        }
        Error::Zoo(_) | Error::Data(_) | Error::Io { .. } | Error::Image { .. } | Error::Model { .. } => None,
        Error::Threads(_) | Error::Usage(_) => None,
    }
}

/// Reads a P-256 public key in PEM.
///
/// # Errors
/// [`Error::Data`] or [`Error::Usage`] naming the file.
pub fn read_public_key(path: &Path) -> Result<PublicKey> {
    let text = datasets::yaml::read_text(path)?;
    PublicKey::from_pem(&text).map_err(|problem| Error::Usage(format!("{}: {problem}", path.display())))
}

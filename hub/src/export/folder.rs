//! Folders of several files that belong together.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zoo::{refuse_published, write_atomic};

use crate::error::{Error, Result};

/// The folder in which files are made; what a killed program left of it is swept by the next one.
const STAGING: &str = ".zoo-export";

/// Writes files into `dir`, in this order, in the place of `obsolete` ones: all are written whole beside their places before
/// anything there changes, so that a full disk leaves the folder as it was. One program at a time writes into a folder.
///
/// # Errors
/// [`Error::Zoo`] for a published version's folder, [`Error::Io`].
pub(super) fn write(dir: &Path, files: &[(&str, Vec<u8>)], obsolete: &[PathBuf]) -> Result<Vec<PathBuf>> {
    refuse_published(dir)?;
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.join(name)).collect();
    if let Some(folder) = paths.iter().find(|path| path.is_dir()) {
        return Err(Error::io(folder)(ErrorKind::IsADirectory.into()));
    }
    let staging = dir.join(STAGING);
    if std::fs::symlink_metadata(&staging).is_ok_and(|found| found.is_dir()) {
        std::fs::remove_dir_all(&staging).map_err(Error::io(&staging))?;
    }
    std::fs::create_dir(&staging).map_err(Error::io(&staging))?;
    let written = files.iter().try_for_each(|(name, bytes)| write_atomic(&staging.join(name), bytes));
    if let Err(error) = written {
        // What is wrong is told; what is left is swept by the next one.
        let _ = std::fs::remove_dir_all(&staging);
        return Err(error.into());
    }
    for path in obsolete.iter().filter(|path| !paths.contains(path)) {
        std::fs::remove_file(path).map_err(Error::io(path))?;
    }
    for ((name, _), path) in files.iter().zip(&paths) {
        std::fs::rename(staging.join(name), path).map_err(Error::io(path))?;
    }
    std::fs::remove_dir(&staging).map_err(Error::io(&staging))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io(dir))?;
    Ok(paths)
}

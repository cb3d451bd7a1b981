//! Folders of several files that belong together.

use std::fs::File;
use std::path::{Path, PathBuf};

use zoo::{refuse_published, write_atomic};

use crate::error::{Error, Result};

/// How the names of folders begin in which files are made; what a killed program left of them is swept by the next one.
const STAGING: &str = ".export-";

/// Writes files into `dir`, in this order: all are written whole beside their places before the first is moved there, so that
/// a full disk leaves the folder as it was.
///
/// # Errors
/// [`Error::Zoo`] for a published version's folder, [`Error::Io`].
pub(super) fn write(dir: &Path, files: &[(&str, Vec<u8>)]) -> Result<Vec<PathBuf>> {
    refuse_published(dir)?;
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let entry = entry.map_err(Error::io(dir))?;
        if entry.file_name().to_string_lossy().starts_with(STAGING) {
            std::fs::remove_dir_all(entry.path()).map_err(Error::io(&entry.path()))?;
        }
    }
    let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(dir).map_err(Error::io(dir))?;
    for (name, bytes) in files {
        write_atomic(&staging.path().join(name), bytes)?;
    }
    let mut written = Vec::new();
    for (name, _) in files {
        let path = dir.join(name);
        std::fs::rename(staging.path().join(name), &path).map_err(Error::io(&path))?;
        written.push(path);
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io(dir))?;
    Ok(written)
}

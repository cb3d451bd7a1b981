//! Writing so that a kill at any instant leaves either the old state or the new one.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// How the names of files begin that are being written.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Writes a file beside `path`, flushes it to disk and renames it over `path`.
///
/// # Errors
/// [`Error::Io`]; `path` is then as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir).map_err(Error::io(dir))?;
    file.write_all(bytes).map_err(Error::io(path))?;
    allow_reading(file.as_file()).map_err(Error::io(path))?;
    file.as_file().sync_all().map_err(Error::io(path))?;
    file.persist(path).map_err(|e| Error::Io { path: path.to_owned(), source: e.error })?;
    sync_dir(dir)
}

/// Writes what a command made to where its user says: whole as [`write_atomic`] does, but into what a device, a pipe or a
/// link stands for, such as `/dev/stdout`, instead of putting a file in its place.
///
/// # Errors
/// [`Error::Io`].
pub fn write_output(path: &Path, bytes: &[u8]) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => {
            let file = File::options().write(true).create(true).truncate(true).open(path);
            file.and_then(|mut file| file.write_all(bytes)).map_err(Error::io(path))
        }
        _ => write_atomic(path, bytes),
    }
}

/// Temporary files are private to the user; published ones are for everybody.
#[cfg(unix)]
fn allow_reading(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn allow_reading(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// Flushes a directory, so that renames in it survive a power cut.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io(dir))
}

//! Writing so that a kill at any instant leaves either the old state or the new one.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

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

/// Writes what a command made to where its user says: whole as [`write_atomic`] does, through links too; a device or a pipe
/// gets the bytes. What a descriptor such as `/dev/stdout` has already is kept, also where it is a file.
///
/// # Errors
/// [`Error::Io`].
pub fn write_output(path: &Path, bytes: &[u8]) -> Result<()> {
    // Opened anew, such a file would be written from its beginning, over what the process printed.
    match path.to_str() {
        Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => {
            return write_all(std::io::stdout().lock(), bytes).map_err(Error::io(path));
        }
        Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => {
            return write_all(std::io::stderr().lock(), bytes).map_err(Error::io(path));
        }
        _ => {}
    }
    let is_descriptor = path.starts_with("/dev/fd") || path.starts_with("/proc");
    match std::fs::metadata(path) {
        Ok(found) if is_descriptor || !found.is_file() && !found.is_dir() => {
            let file = File::options().append(true).open(path);
            file.and_then(|file| write_all(file, bytes)).map_err(Error::io(path))
        }
        Ok(_) => write_atomic(&path.canonicalize().map_err(Error::io(path))?, bytes),
        // Not there yet, or a link to what is not there yet.
        Err(_) => write_atomic(&target(path), bytes),
    }
}

fn write_all(mut file: impl Write, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all(bytes)?;
    file.flush()
}

/// What a link names, relative to its folder; other paths name themselves.
fn target(path: &Path) -> PathBuf {
    let named = std::fs::read_link(path).ok();
    named.map_or(path.to_owned(), |to| path.parent().unwrap_or(Path::new("")).join(to))
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

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
    let place = place(path).map_err(Error::io(path))?;
    let written = match descriptor(&place) {
        // Opened anew, a file would be written from its beginning, over what the process printed.
        Some("1") => write_all(std::io::stdout().lock(), bytes),
        Some("2") => write_all(std::io::stderr().lock(), bytes),
        None if !std::fs::metadata(&place).is_ok_and(|found| !found.is_file() && !found.is_dir()) => {
            return write_atomic(&place, bytes);
        }
        Some(_) | None => File::options().append(true).open(&place).and_then(|file| write_all(file, bytes)),
    };
    written.map_err(Error::io(path))
}

/// Most links that lead to each other, as on Linux.
const MOST_LINKS: usize = 40;

/// Where links lead, if need be to what is not there yet.
fn place(path: &Path) -> std::io::Result<PathBuf> {
    // The system follows them first: it may forbid a link that somebody else left in a shared folder.
    match std::fs::metadata(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut place = path.to_owned();
    for _ in 0..MOST_LINKS {
        if descriptor(&place).is_some() || !place.is_symlink() {
            return Ok(place);
        }
        let to = std::fs::read_link(&place)?;
        place = place.parent().unwrap_or(Path::new("")).join(to);
    }
    Err(std::io::Error::other(format!("more than {MOST_LINKS} links that lead to each other")))
}

/// The number of an open file that a path stands for: `/dev/stdout`, `/dev/fd/3`, `/proc/self/fd/3`.
fn descriptor(path: &Path) -> Option<&str> {
    let parts: Vec<&str> = path.to_str()?.split('/').collect();
    match parts.as_slice() {
        ["", "dev", "stdout"] => Some("1"),
        ["", "dev", "stderr"] => Some("2"),
        ["", "dev", "fd", number] | ["", "proc", _, "fd", number] => Some(number),
        _ => None,
    }
}

fn write_all(mut file: impl Write, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all(bytes)?;
    file.flush()
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

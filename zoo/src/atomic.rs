//! Writing so that a kill at any instant leaves either the old state or the new one.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::refuse_published;

/// How the names of files begin that are being written.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Writes a file beside `path`, flushes it to disk and renames it over `path`.
///
/// # Errors
/// [`Error::Io`]; `path` is then as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with_mode(path, bytes, Some(PUBLISHED))
}

/// Without a mode, the file is what the user's mask leaves of any new one: it may show a private photo.
fn write_with_mode(path: &Path, bytes: &[u8], mode: Option<u32>) -> Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    // Else the error would name a file of ours.
    std::fs::metadata(dir).map_err(Error::io(dir))?;
    if path.is_dir() {
        let problem = "is a folder, expected a file";
        return Err(Error::io(path)(std::io::Error::new(std::io::ErrorKind::IsADirectory, problem)));
    }
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    if mode.is_none() {
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    }
    let mut file = builder.prefix(TEMPORARY).tempfile_in(dir).map_err(Error::io(dir))?;
    file.write_all(bytes).map_err(Error::io(path))?;
    mode.map_or(Ok(()), |mode| set_mode(file.as_file(), mode)).map_err(Error::io(path))?;
    file.as_file().sync_all().map_err(Error::io(path))?;
    file.persist(path).map_err(|e| Error::Io { path: path.to_owned(), source: e.error })?;
    sync_dir(dir)
}

/// Writes what a command made to where its user says: whole as [`write_atomic`] does, through links too; a device or a pipe
/// gets the bytes. What a descriptor such as `/dev/stdout` has already is kept, also where it is a file.
///
/// # Errors
/// [`Error::Published`] for a place in a published version, [`Error::Io`].
pub fn write_output(path: &Path, bytes: &[u8]) -> Result<()> {
    let place = place(path).map_err(Error::io(path))?;
    refuse_published(&place)?;
    let written = match descriptor(&place) {
        // Opened anew, a file would be written from its beginning, over what the process printed.
        // A reader who leaves early is no error, as for everything else that is printed.
        Some(("1", true)) => match write_all(std::io::stdout().lock(), bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        },
        Some(("2", true)) => write_all(std::io::stderr().lock(), bytes),
        None if !std::fs::metadata(&place).is_ok_and(|found| !found.is_file() && !found.is_dir()) => {
            return write_with_mode(&place, bytes, mode_of(&place));
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

/// The number of an open file that a path stands for, and whether it is this process's: `/dev/stdout`, `/dev/fd/3`,
/// `/proc/self/fd/3`.
fn descriptor(path: &Path) -> Option<(&str, bool)> {
    let parts: Vec<&str> = path.to_str()?.split('/').collect();
    match parts.as_slice() {
        ["", "dev", "stdout"] => Some(("1", true)),
        ["", "dev", "stderr"] => Some(("2", true)),
        ["", "dev", "fd", number] => Some((number, true)),
        ["", "proc", process, "fd", number] => Some((number, is_own(process))),
        _ => None,
    }
}

/// Another process's first file is not this one's.
fn is_own(process: &str) -> bool {
    ["self", "thread-self"].contains(&process) || process.parse() == Ok(std::process::id())
}

fn write_all(mut file: impl Write, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all(bytes)?;
    file.flush()
}

/// Temporary files are private to the user; published ones are for everybody to read.
const PUBLISHED: u32 = 0o644;

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: u32) -> std::io::Result<()> {
    Ok(())
}

/// The mode of the file that is there.
#[cfg(unix)]
fn mode_of(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).ok().map(|found| found.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode_of(_: &Path) -> Option<u32> {
    None
}

/// Flushes a directory, so that renames in it survive a power cut.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io(dir))
}

//! Opening and reading files that other people made.
//!
//! A folder that was copied from somewhere can hold anything under a file's name: a named pipe, on which reading waits
//! for ever; a device that never ends; a sparse file of a terabyte. Only regular files are opened here, and no more is
//! read than the caller expects.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Opens a regular file, or a link to one, for reading.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for what is not a regular file; else what the system says.
pub fn open(path: &Path) -> Result<File> {
    // Looked at before it is opened, since opening alone does something to some devices; and after, since it may have
    // become another one between.
    check(&std::fs::metadata(path)?)?;
    let file = with_flags(OpenOptions::new().read(true), DO_NOT_WAIT).open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// As for [`open`], and [`ErrorKind::FileTooLarge`] for a longer one.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = open(path)?;
    let too_large = || Error::new(ErrorKind::FileTooLarge, format!("more than {limit} bytes"));
    let length = file.metadata()?.len();
    if length > limit {
        return Err(too_large());
    }
    // What is read counts, not what was announced.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// As [`read`], for text.
///
/// # Errors
/// As for [`read`], and [`ErrorKind::InvalidData`] for what is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        Error::new(ErrorKind::InvalidData, format!("invalid UTF-8 at byte {place}, expected UTF-8 text"))
    })
}

/// Opens a file to lock, and makes it if it is not there; nothing is ever written into it. A link is not followed: a
/// folder from somewhere else could name any file of this machine with it.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a link and whatever else is not a regular file; else what the system says.
pub fn open_lock(path: &Path) -> Result<File> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => check(&metadata)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match OpenOptions::new().write(true).create_new(true).open(path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => return made,
            }
        }
        Err(error) => return Err(error),
    }
    let open = |options: &mut OpenOptions| with_flags(options, DO_NOT_WAIT | DO_NOT_FOLLOW).open(path);
    // Some file systems lock only what is open for writing. A file that another user of the group made may be open for
    // reading alone, which is enough elsewhere.
    let file = match open(OpenOptions::new().read(true).write(true)) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => open(OpenOptions::new().read(true))?,
        opened => opened?,
    };
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(metadata: &Metadata) -> Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, format!("{}, expected a regular file", kind(metadata))))
}

/// What there is instead of a regular file.
fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() {
        return "a folder";
    }
    if metadata.is_symlink() {
        return "a symbolic link";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    "not a regular file"
}

/// Opening a named pipe waits for a writer, unless it is told not to.
#[cfg(unix)]
const DO_NOT_WAIT: i32 = libc::O_NONBLOCK;
#[cfg(unix)]
const DO_NOT_FOLLOW: i32 = libc::O_NOFOLLOW;
#[cfg(not(unix))]
const DO_NOT_WAIT: i32 = 0;
#[cfg(not(unix))]
const DO_NOT_FOLLOW: i32 = 0;

#[cfg(unix)]
fn with_flags(options: &mut OpenOptions, flags: i32) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags(flags)
}

#[cfg(not(unix))]
fn with_flags(options: &mut OpenOptions, _: i32) -> &mut OpenOptions {
    options
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("device")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        for name in ["file", "link"] {
            assert_eq!(read(&at(name), 4).unwrap(), b"text");
            assert_eq!(read(&at(name), 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        }
        for (name, found) in
            [("device", "a device"), ("socket", "a socket"), ("pipe", "a named pipe"), (".", "a folder")]
        {
            let error = read(&at(name), 4).unwrap_err();
            assert_eq!(error.to_string(), format!("{found}, expected a regular file"));
        }
        assert_eq!(open(&at("nothing")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn locks_are_files_of_their_folder() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("victim"), "text").unwrap();
        std::os::unix::fs::symlink(at("victim"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("nothing"), at("dangling")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        for (name, found) in
            [("link", "a symbolic link"), ("dangling", "a symbolic link"), ("pipe", "a named pipe")]
        {
            let error = open_lock(&at(name)).unwrap_err();
            assert_eq!(error.to_string(), format!("{found}, expected a regular file"));
        }
        assert_eq!(std::fs::read(at("victim")).unwrap(), b"text");
        assert!(!at("nothing").exists());
        let first = open_lock(&at("lock")).unwrap();
        first.lock().unwrap();
        assert!(open_lock(&at("lock")).unwrap().try_lock().is_err());
        // One that may be read only.
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(at("lock"), std::fs::Permissions::from_mode(0o444)).unwrap();
        open_lock(&at("lock")).unwrap();
    }

    #[test]
    fn a_sparse_terabyte_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&path, 1 << 20).unwrap_err().to_string(), "more than 1048576 bytes");
    }

    #[test]
    fn text_is_utf_8() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        std::fs::write(&path, b"ab\xff").unwrap();
        assert!(read_text(&path, 9).unwrap_err().to_string().contains("byte 2"));
    }
}

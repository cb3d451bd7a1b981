//! The lock of a zoo: who changes one holds it, and takes away first what killed programs left.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use datasets::files;

use crate::atomic::TEMPORARY;
use crate::error::{Error, Result};
use crate::store::Zoo;

/// How long a program waits for others that change the zoo. Each holds the lock for as long as it takes to check and
/// move the files of a version.
const LOCK_TIME: Duration = Duration::from_secs(60);

/// How the names of folders begin into which files are fetched.
const DOWNLOAD: &str = ".pull-";
/// The lock in such a folder.
const DOWNLOAD_LOCK: &str = "lock";

impl Zoo {
    /// Waits for the zoo's lock, but not for ever; it is released when the file is closed, also by a kill.
    pub(crate) fn lock(&self) -> Result<File> {
        self.lock_within(LOCK_TIME)
    }

    fn lock_within(&self, most: Duration) -> Result<File> {
        let path = self.root().join(".lock");
        let file = files::open_lock(&path).map_err(Error::io(&path))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => {
                    self.sweep();
                    self.end_change()?;
                    return Ok(file);
                }
                Err(TryLockError::WouldBlock) if start.elapsed() < most => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Err(Error::Busy { path, waited: most }),
                Err(TryLockError::Error(source)) => return Err(Error::Io { path, source }),
            }
        }
    }

    /// Takes away what killed programs left in the zoo's folder. Call with the lock held. What cannot be taken away is
    /// in nobody's way.
    fn sweep(&self) {
        for entry in std::fs::read_dir(self.root()).into_iter().flatten().flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            if name.starts_with(TEMPORARY) {
                let _ = std::fs::remove_file(&path);
            }
            // A program that still fetches holds a lock in its folder; it makes both with the zoo's lock held.
            let is_free = || match files::open(&path.join(DOWNLOAD_LOCK)) {
                Ok(lock) => lock.try_lock().is_ok(),
                Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            };
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if name.starts_with(DOWNLOAD) && is_folder && is_free() {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
    }

    /// A folder in the zoo for files that are being fetched, in the folder that is swept with it, and the lock that keeps
    /// both from that.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn download_folder(&self) -> Result<(tempfile::TempDir, PathBuf, File)> {
        let wrong = |source| Error::Io { path: self.root().to_owned(), source };
        std::fs::create_dir_all(self.root()).map_err(wrong)?;
        let _lock = self.lock()?;
        let folder = tempfile::Builder::new().prefix(DOWNLOAD).tempdir_in(self.root()).map_err(wrong)?;
        let lock = files::open_lock(&folder.path().join(DOWNLOAD_LOCK)).map_err(wrong)?;
        lock.try_lock().map_err(|e| wrong(e.into()))?;
        let files = folder.path().join("files");
        std::fs::create_dir(&files).map_err(wrong)?;
        Ok((folder, files, lock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_of_another_is_waited_for_but_not_for_ever() {
        let root = tempfile::tempdir().unwrap();
        let zoo = Zoo::new(root.path());
        let other = files::open_lock(&root.path().join(".lock")).unwrap();
        other.try_lock().unwrap();
        let short = Duration::from_millis(100);
        let refused = zoo.lock_within(short);
        assert!(matches!(&refused, Err(Error::Busy { waited, .. }) if *waited == short), "{refused:?}");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| zoo.lock_within(Duration::from_secs(30)).map(|_| ()));
            std::thread::sleep(short);
            assert!(!waiting.is_finished());
            drop(other);
            waiting.join().unwrap().unwrap();
        });
    }
}

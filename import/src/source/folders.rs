//! Where the files are that a list names.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::tree::is_litter;

/// Endings that lists leave out.
const ENDINGS: [&str; 16] = [
    "png", "jpg", "jpeg", "bmp", "gif", "tif", "tiff", "webp", "PNG", "JPG", "JPEG", "BMP", "GIF", "TIF",
    "TIFF", "WEBP",
];

/// Where the files of a list may be: in a folder, or in one of those in it.
pub(super) struct Folders {
    root: PathBuf,
    /// The same from the root of the file system, as it is named and without links.
    pub(super) absolute: [PathBuf; 2],
    inner: Vec<PathBuf>,
    /// Names of the files in the folders that were looked into.
    known: RefCell<HashMap<PathBuf, HashSet<OsString>>>,
}

impl Folders {
    pub(super) fn of(root: &Path) -> Folders {
        let entries = std::fs::read_dir(here(root)).into_iter().flatten().flatten();
        let mut inner: Vec<PathBuf> =
            entries.map(|entry| root.join(entry.file_name())).filter(|path| path.is_dir()).collect();
        inner.retain(|path| path.file_name().is_some_and(|name| !is_litter(&name.to_string_lossy())));
        inner.sort();
        inner.truncate(64);
        let absolute = [std::path::absolute(here(root)), std::fs::canonicalize(here(root))];
        let absolute = absolute.map(|path| path.unwrap_or_else(|_| root.to_owned()));
        Folders { root: root.to_owned(), absolute, inner, known: RefCell::default() }
    }

    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        self.places(name).into_iter().next()
    }

    /// Where the file is, if it is anywhere; or two places where it is: a `1.jpg` may be in `test` and another in `train`.
    pub(super) fn only(&self, name: &str) -> std::result::Result<Option<PathBuf>, [PathBuf; 2]> {
        let mut places = self.places(name).into_iter();
        match (places.next(), places.next()) {
            (Some(one), Some(other)) => Err([one, other]),
            (found, _) => Ok(found),
        }
    }

    /// The places of a file, whose name may be as Windows writes it.
    fn places(&self, name: &str) -> Vec<PathBuf> {
        let found = self.places_of(name);
        match found.is_empty() && name.contains('\\') {
            true => self.places_of(&name.replace('\\', "/")),
            false => found,
        }
    }

    /// The file in the outer folder, which is meant then, or in the first two inner ones that have it.
    fn places_of(&self, name: &str) -> Vec<PathBuf> {
        let path = Path::new(name);
        // Many lists name files from the root of the file system.
        let path = self.absolute.iter().find_map(|root| path.strip_prefix(root).ok()).unwrap_or(path);
        // Names that lead out of the folder are not followed.
        let plain = path
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
        if path.as_os_str().is_empty() || !plain {
            return Vec::new();
        }
        let within = |folder: &PathBuf| {
            let file = folder.join(path);
            let stem = file.clone();
            let with_ending = ENDINGS.iter().map(|ending| {
                let mut name = stem.clone().into_os_string();
                name.push(format!(".{ending}"));
                PathBuf::from(name)
            });
            // `3` may be `3.png` or `3.jpg`.
            match self.is_file(&file) {
                true => vec![file],
                false => with_ending.filter(|path| self.is_file(path)).take(2).collect(),
            }
        };
        let found = within(&self.root);
        if found.is_empty() { self.inner.iter().flat_map(within).take(2).collect() } else { found }
    }

    fn is_file(&self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let mut known = self.known.borrow_mut();
        known.entry(folder.to_owned()).or_insert_with(|| file_names(folder)).contains(name)
    }
}

/// The folder that an empty path means.
fn here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Names of the files in a folder; none if it cannot be read.
fn file_names(folder: &Path) -> HashSet<OsString> {
    let entries = std::fs::read_dir(here(folder)).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name()).collect()
}

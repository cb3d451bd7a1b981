//! Where the files are that a list names.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use crate::text::composed;
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
    /// What is in the folders that were looked into.
    known: RefCell<HashMap<PathBuf, Names>>,
}

/// Names in a folder, as they are and with composed characters, and whether each is a file's.
type Names = HashMap<String, (OsString, bool)>;

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
        let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if path.as_os_str().is_empty() || !plain {
            return Vec::new();
        }
        let within = |folder: &PathBuf| {
            let with_ending = ENDINGS.iter().map(|ending| {
                let mut name = path.as_os_str().to_owned();
                name.push(format!(".{ending}"));
                PathBuf::from(name)
            });
            // `3` may be `3.png` or `3.jpg`.
            match self.file(folder, path) {
                Some(file) => vec![file],
                None => with_ending.filter_map(|path| self.file(folder, &path)).take(2).collect(),
            }
        };
        let found = within(&self.root);
        if found.is_empty() { self.inner.iter().flat_map(within).take(2).collect() } else { found }
    }

    /// The file that a list calls `path`. macOS writes `é` as two characters, lists mostly as one.
    fn file(&self, folder: &Path, path: &Path) -> Option<PathBuf> {
        let (mut place, mut is_file) = (folder.to_owned(), false);
        for part in path.components().filter(|part| *part != Component::CurDir) {
            let name = part.as_os_str().to_str()?;
            let mut known = self.known.borrow_mut();
            let names = known.entry(place.clone()).or_insert_with(|| names(&place));
            let (found, found_file) = names.get(name).or_else(|| names.get(&composed(name)))?;
            place.push(found);
            is_file = *found_file;
        }
        is_file.then_some(place)
    }
}

/// The folder that an empty path means.
fn here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Names in a folder; none if it cannot be read.
fn names(folder: &Path) -> Names {
    let mut names = Names::new();
    for entry in std::fs::read_dir(here(folder)).into_iter().flatten().flatten() {
        let (name, is_file) = (entry.file_name(), entry.path().is_file());
        let Some(text) = name.to_str().map(str::to_owned) else { continue };
        names.entry(composed(&text)).or_insert_with(|| (name.clone(), is_file));
        names.insert(text, (name, is_file));
    }
    names
}

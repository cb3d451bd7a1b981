//! Files below a folder, or in a zip or tar file, under one view: their names with `/`, in a fixed order.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use walkdir::WalkDir;

use crate::archive::{Form, GZIP, form_of, zip_entry_count};
use crate::error::{Error, Result, open};
use crate::report::LeftOut;

/// Most files that are looked at.
pub(crate) const MAX_FILES: usize = 20_000_000;
/// Deepest folder.
const MAX_DEPTH: usize = 64;
/// Longest file that is read.
pub(crate) const MAX_BYTES: u64 = 64 << 20;
/// Names that file managers and archivers leave, in lower case; hidden files are litter too.
const LITTER: [&str; 9] = [
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "icon\r",
    "lost+found",
    "system volume information",
];

/// The files of a source.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    form: Form,
    pub(crate) files: Vec<Entry>,
    /// Folders without any file, litter aside.
    pub(crate) empty: Vec<String>,
    /// What is no file that can be read: links that lead nowhere, devices.
    pub(crate) left_out: Vec<LeftOut>,
    /// What may be images, and cannot be read: folders of somebody else, encrypted files.
    pub(crate) unreadable: Vec<LeftOut>,
    /// Files and folders that file managers left.
    pub(crate) litter: usize,
}

/// A file.
pub(crate) struct Entry {
    /// From the root, with `/`.
    pub(crate) name: String,
    /// Number in an archive.
    place: usize,
    /// In a folder.
    path: PathBuf,
}

impl Entry {
    /// What follows the last dot of the name, in lower case.
    pub(crate) fn ending(&self) -> String {
        let name = self.name.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').map_or(String::new(), |(_, ending)| ending.to_ascii_lowercase())
    }
}

/// Whether a name of a file or folder is litter.
pub(crate) fn is_litter(name: &str) -> bool {
    name.starts_with('.') || LITTER.contains(&name.to_lowercase().as_str())
}

/// An archive's name without what leads nowhere or out of it: `./cat/1.png`, `/cat/1.png` and `../cat/1.png` are
/// `cat/1.png`.
fn plain(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').filter(|part| !["", ".", ".."].contains(part)).collect();
    parts.join("/")
}

/// The folders, with `/` at the end, that are around all files but hidden ones and what file managers leave.
fn common_folder(files: &[(String, usize)]) -> &str {
    let is_left = |name: &str| name.split('/').any(|part| LITTER.contains(&part.to_lowercase().as_str()));
    let is_hidden = |name: &str| name.rsplit('/').next().is_some_and(|file| file.starts_with('.'));
    let mut names =
        files.iter().map(|(name, _)| name.as_str()).filter(|name| !is_left(name) && !is_hidden(name));
    let folder = |name: &str| name.rfind('/').map_or(0, |slash| slash + 1);
    let Some(first) = names.next() else { return "" };
    names.fold(&first[..folder(first)], |common, name| {
        let same = common.bytes().zip(name.bytes()).take_while(|(one, other)| one == other).count();
        // Of whole folders, and so of whole characters.
        &common
            [..common.as_bytes()[..same].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1)]
    })
}

impl Tree {
    /// Lists a folder, or an archive by its content; `None` for other files.
    ///
    /// # Errors
    /// If it cannot be read, is an archive of a kind that is not read here, or has too many files.
    pub(crate) fn open(root: &Path) -> Result<Option<Tree>> {
        let mut tree = Tree {
            root: root.to_owned(),
            form: Form::Folder,
            files: Vec::new(),
            empty: Vec::new(),
            left_out: Vec::new(),
            unreadable: Vec::new(),
            litter: 0,
        };
        if root.is_dir() {
            tree.list_folder()?;
        } else {
            match form_of(root)? {
                Some(form @ Form::Zip) => {
                    tree.form = form;
                    tree.list_zip()?;
                }
                Some(form) => {
                    tree.form = form;
                    tree.list_tar()?;
                }
                None => return Ok(None),
            }
        }
        tree.files.sort_by(|a, b| a.name.cmp(&b.name));
        tree.empty.sort();
        Ok(Some(tree))
    }

    fn push(&mut self, name: String, place: usize, path: PathBuf) -> Result<()> {
        if self.files.len() >= MAX_FILES {
            return Err(Error::new(&self.root, format!("more than {MAX_FILES} files")));
        }
        self.files.push(Entry { name, place, path });
        Ok(())
    }

    /// Takes what an archive holds, without litter; `folders` are those that it names by themselves.
    fn push_archived(&mut self, found: Vec<(String, usize)>, mut folders: Vec<String>) -> Result<()> {
        let common = common_folder(&found).to_owned();
        // Folders around everything may have any name, as `.keras/datasets/flowers`.
        let is_litter = |name: &str| name.strip_prefix(&common).unwrap_or(name).split('/').any(is_litter);
        for (name, place) in found {
            match is_litter(&name) {
                true => self.litter += 1,
                false => self.push(name, place, PathBuf::new())?,
            }
        }
        folders.retain(|folder| {
            !folder.is_empty() && !common.starts_with(&format!("{folder}/")) && !is_litter(folder)
        });
        self.note_empty(folders);
        Ok(())
    }

    fn list_folder(&mut self) -> Result<()> {
        let root = self.root.clone();
        let mut folders = Vec::new();
        let mut litter = 0;
        let walk = WalkDir::new(&root).follow_links(true).max_depth(MAX_DEPTH + 1).sort_by_file_name();
        let entries = walk.into_iter().filter_entry(|entry| {
            let keep = entry.depth() == 0 || !is_litter(&entry.file_name().to_string_lossy());
            litter += usize::from(!keep);
            keep
        });
        let mut found = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) if entry.depth() > MAX_DEPTH => {
                    let why = format!("deeper than {MAX_DEPTH} folders");
                    self.unreadable.push(LeftOut { name: name_of(&root, entry.path()), why });
                }
                Ok(entry) => found.push(entry),
                Err(error) => {
                    let name = error.path().map_or("(behind a link)".into(), |path| name_of(&root, path));
                    let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                    if error.depth() == 0 {
                        return Err(Error::new(&root, why));
                    }
                    // A link that leads nowhere is no image; a folder or file of somebody else may be some.
                    let is_link = error.path().is_some_and(Path::is_symlink);
                    let place = if is_link { &mut self.left_out } else { &mut self.unreadable };
                    place.push(LeftOut { name, why });
                }
            }
        }
        self.litter += litter;
        for entry in found {
            let name = name_of(&root, entry.path());
            if entry.file_type().is_dir() {
                if entry.depth() > 0 {
                    folders.push(name);
                }
            } else if entry.file_type().is_file() {
                self.push(name, 0, entry.path().to_owned())?;
            } else {
                self.left_out.push(LeftOut { name, why: "neither a file nor a folder".into() });
            }
        }
        self.note_empty(folders);
        Ok(())
    }

    fn note_empty(&mut self, folders: Vec<String>) {
        let full: std::collections::HashSet<&str> = self
            .files
            .iter()
            .flat_map(|file| file.name.match_indices('/').map(|(at, _)| &file.name[..at]))
            .collect();
        let empty = folders.into_iter().filter(|folder| !full.contains(folder.as_str()));
        self.empty = empty.collect();
    }

    fn list_zip(&mut self) -> Result<()> {
        let root = self.root.clone();
        let mut archive = self.zip()?;
        let (mut found, mut folders) = (Vec::new(), Vec::new());
        // The library knows entries by their names: the last of each.
        let hidden = zip_entry_count(&root)?.saturating_sub(archive.len());
        if hidden > 0 {
            let name = format!("{hidden} entries");
            self.left_out
                .push(LeftOut { name, why: "another one of the same name is in the archive".into() });
        }
        for place in 0..archive.len() {
            let file = archive.by_index_raw(place).map_err(|error| Error::new(&root, error.to_string()))?;
            let name = match file.name() {
                Ok(name) => name.replace('\\', "/"),
                Err(_) => readable(file.name_raw()).replace('\\', "/"),
            };
            let name = plain(&name);
            if file.is_dir() {
                folders.push(name);
            } else if file.encrypted() {
                self.unreadable.push(LeftOut { name, why: "encrypted".into() });
            } else {
                found.push((name, place));
            }
        }
        self.push_archived(found, folders)
    }

    fn list_tar(&mut self) -> Result<()> {
        let root = self.root.clone();
        let mut found = Vec::new();
        let (mut folders, mut left_out) = (Vec::new(), Vec::new());
        self.each_of_tar(&mut |place, entry| {
            let name = entry.path_bytes();
            let name = plain(&readable(&name));
            match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous => found.push((name, place)),
                tar::EntryType::Directory => folders.push(name),
                tar::EntryType::XGlobalHeader => {}
                _ => left_out.push(LeftOut { name, why: "a link, or no file at all".into() }),
            }
            if found.len() > MAX_FILES {
                return Err(Error::new(&root, format!("more than {MAX_FILES} files")));
            }
            Ok(())
        })?;
        self.left_out.extend(left_out);
        self.push_archived(found, folders)
    }

    fn zip(&self) -> Result<zip::ZipArchive<BufReader<File>>> {
        let file = open(&self.root)?;
        zip::ZipArchive::new(BufReader::new(file)).map_err(|error| Error::new(&self.root, error.to_string()))
    }

    fn each_of_tar(&self, each: &mut TarVisitor<'_>) -> Result<()> {
        let mut reader = BufReader::with_capacity(1 << 16, open(&self.root)?);
        let start = std::io::BufRead::fill_buf(&mut reader).map_err(Error::io(&self.root))?;
        let packed: Box<dyn Read> = match start.starts_with(&GZIP) {
            true => Box::new(MultiGzDecoder::new(reader)),
            false => Box::new(reader),
        };
        let mut archive = tar::Archive::new(packed);
        let broken = |error: std::io::Error| Error::new(&self.root, format!("broken tar file: {error}"));
        for (place, entry) in archive.entries().map_err(broken)?.enumerate() {
            each(place, &mut entry.map_err(broken)?)?;
        }
        // gzip's checksum comes after the last file, so the padding there is read as well.
        let mut rest = archive.into_inner().take(MAX_BYTES);
        std::io::copy(&mut rest, &mut std::io::sink()).map_err(broken)?;
        Ok(())
    }

    /// Reads files, in the order of `wanted` or of the archive, and gives each of their numbers and bytes to `each`.
    ///
    /// # Errors
    /// Those of `each`, and if an archive ends early. What cannot be read of one file is told to `each`.
    pub(crate) fn read(&self, wanted: &[usize], each: &mut Reader<'_>) -> Result<()> {
        match self.form {
            Form::Folder => {
                for &index in wanted {
                    each(index, self.file(index))?;
                }
            }
            Form::Zip => {
                let mut archive = self.zip()?;
                for &index in wanted {
                    let bytes = match archive.by_index(self.files[index].place) {
                        Ok(mut file) => bytes_of(&mut file),
                        Err(error) => Err(error.to_string()),
                    };
                    each(index, bytes)?;
                }
            }
            Form::Tar => {
                let places = wanted.iter().map(|&index| (self.files[index].place, index));
                let places: std::collections::HashMap<usize, usize> = places.collect();
                self.each_of_tar(&mut |place, entry| match places.get(&place) {
                    Some(&index) => each(index, bytes_of(entry)),
                    None => Ok(()),
                })?;
            }
        }
        Ok(())
    }

    fn file(&self, index: usize) -> std::result::Result<Vec<u8>, String> {
        let mut file = datasets::files::open(&self.files[index].path).map_err(|error| error.to_string())?;
        bytes_of(&mut file)
    }
}

type Reader<'a> = dyn FnMut(usize, std::result::Result<Vec<u8>, String>) -> Result<()> + 'a;
type TarVisitor<'a> = dyn FnMut(usize, &mut tar::Entry<'_, Box<dyn Read>>) -> Result<()> + 'a;

fn name_of(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> =
        below.components().map(|part| readable(part.as_os_str().as_encoded_bytes())).collect();
    parts.join("/")
}

/// A name as text. What is no UTF-8 is written as `%E9`: were it left out, two names could become one.
fn readable(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    text
}

fn bytes_of(reader: &mut impl Read) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes"));
    }
    Ok(bytes)
}

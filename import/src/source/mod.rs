//! What people have, told apart by what is there, not by what it is called.

mod idx;
mod list;
mod numpy;
mod parquet;
mod rows;
mod shards;
mod splits;
mod table;

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::item::{Content, Item, Part};
use crate::layout::{Layout, layout};
use crate::report::LeftOut;
use crate::request::Request;
use crate::tree::{Entry, Tree};

/// A source that was recognised.
pub(crate) struct Source {
    kind: Kind,
    /// What was left out before anything was read.
    pub(crate) left_out: Vec<LeftOut>,
    /// What may be images, and could not be looked at.
    pub(crate) unreadable: Vec<LeftOut>,
    pub(crate) litter: usize,
    pub(crate) notes: Vec<String>,
    /// Names of labels that are numbers, if the source has them.
    pub(crate) classes: Vec<String>,
}

enum Kind {
    Folders { tree: Tree, layout: Layout },
    List { path: PathBuf, list: list::List },
    Table { files: Vec<(PathBuf, Part)>, form: table::Form },
    Idx { splits: Vec<idx::Files>, form: idx::Form },
    Numpy { splits: Vec<numpy::Split>, form: numpy::Form },
    Parquet(parquet::Shards),
}

/// Options that only some kinds of source have, with whether they are given.
fn given(request: &Request) -> [(&'static str, bool); 9] {
    [
        ("--class-level", request.class_level.is_some()),
        ("--white", request.white.is_some()),
        ("--label-column", request.label_column.is_some()),
        ("--images", request.images.is_some()),
        ("--labels", request.labels.is_some()),
        ("--test", request.test.is_some()),
        ("--test-labels", request.test_labels.is_some()),
        ("--classes", !request.classes.is_empty()),
        ("--transpose", request.transpose),
    ]
}

impl Source {
    /// Looks at a source.
    ///
    /// # Errors
    /// If it is nothing that is known, or an option does not apply to it.
    pub(crate) fn open(request: &Request) -> Result<Source> {
        let path = request.source.as_path();
        if path.is_file() {
            if let Some((splits, left_out)) = numpy_splits(request)? {
                return Ok(Source { left_out, ..Source::of_numpy(splits, request)? });
            }
            if parquet::is_parquet(path)? {
                return Source::of_parquet(shards::files(path, request.test.as_deref())?, request);
            }
            if let Some(what) = lone(path)? {
                let expected = "expected a folder, an archive, a list of files, a table of pixels, IDX, numpy's arrays or Parquet";
                return Err(Error::new(path, format!("{what}; {expected}")));
            }
        }
        if let Some(tree) = Tree::open(path)? {
            return Source::of_tree(tree, request);
        }
        if idx::is_idx(path) {
            return Source::of_idx(idx::named(request)?, request);
        }
        let list = list::List::open(path, request.images.as_deref(), request.label_column.as_deref());
        match list {
            Ok(Some(list)) => Source::of_list(path, list, request),
            Ok(None) if request.images.is_some() => {
                Err(Error::new(path, "no column names files that are in the folder of --images"))
            }
            Ok(None) => Source::of_table(request),
            // What is no text at all.
            Err(error) => Err(error),
        }
    }

    fn of_tree(tree: Tree, request: &Request) -> Result<Source> {
        if let Some((source, used, why)) = Source::of_files(&tree, request)? {
            return Ok(source.beside(tree, why, |path| used.contains(path)));
        }
        let root = tree.root.clone();
        let found = layout(&tree, request.class_level.unwrap_or(1));
        // One folder beside a list is no class.
        let mut classes = found.places.iter().map(|place| &place.class);
        let has_classes = classes.next().is_some_and(|first| classes.any(|other| other != first));
        let list = if !has_classes && root.is_dir() { only_list(&tree, request)? } else { None };
        if let Some((path, list)) = list {
            let used = list.files();
            let source = Source::of_list(&path, list, request)?;
            return Ok(source.beside(tree, "not in the list", |file| *file == path || used.contains(file)));
        }
        if found.places.is_empty() {
            return Err(nothing(&tree, &found));
        }
        allow(request, "folders", &["--class-level"])?;
        let left_out = tree.left_out.iter().chain(&found.left_out).cloned().collect();
        let (litter, notes) = (tree.litter, found.notes.clone());
        let unreadable = tree.unreadable.clone();
        let kind = Kind::Folders { tree, layout: found };
        Ok(Source { kind, left_out, unreadable, litter, notes, classes: Vec::new() })
    }

    /// The IDX or Parquet files of a folder if it has any, their paths, and why others are left out.
    fn of_files(tree: &Tree, request: &Request) -> Result<Option<(Source, Vec<PathBuf>, &'static str)>> {
        if !tree.root.is_dir() {
            return Ok(None);
        }
        let splits = idx::in_folder(tree)?;
        if !splits.is_empty() {
            let used = splits.iter().flat_map(|files| [files.images.clone(), files.labels.clone()]).collect();
            return Ok(Some((Source::of_idx(splits, request)?, used, "not of the IDX files")));
        }
        let files = shards::in_folder(tree)?;
        if files.is_empty() {
            return Ok(None);
        }
        if !layout(tree, 1).places.is_empty() {
            let both = "images and Parquet files: which are meant? Name a folder that has only one kind";
            return Err(Error::new(&tree.root, both));
        }
        let used = files.iter().map(|(path, _)| path.clone()).collect();
        Ok(Some((Source::of_parquet(files, request)?, used, "not a Parquet file")))
    }

    /// With what else is in the folder.
    fn beside(mut self, tree: Tree, why: &str, is_used: impl Fn(&PathBuf) -> bool) -> Source {
        let others = tree.files.iter().filter(|file| !is_used(&tree.root.join(&file.name)));
        self.left_out.extend(others.map(|file| LeftOut { name: file.name.clone(), why: why.into() }));
        self.left_out.extend(tree.left_out);
        self.unreadable.extend(tree.unreadable);
        self.litter = tree.litter;
        self
    }

    fn of_list(path: &Path, list: list::List, request: &Request) -> Result<Source> {
        allow(request, "a list of files", &["--label-column", "--images", "--classes"])?;
        let notes = list.notes.clone();
        Ok(Source::plain(Kind::List { path: path.to_owned(), list }, notes))
    }

    fn of_table(request: &Request) -> Result<Source> {
        let allowed = ["--white", "--label-column", "--test", "--classes", "--transpose"];
        allow(request, "a table of pixels", &allowed)?;
        let mut files = vec![(request.source.clone(), Part::All)];
        if let Some(test) = &request.test {
            files[0].1 = Part::Train;
            files.push((test.clone(), Part::Test));
        }
        let form = table::Form {
            label_column: request.label_column.clone(),
            size: request.size,
            channels: request.channels.unwrap_or(1),
            white: request.white,
            transpose: request.transpose,
        };
        let note = table::label_note(&request.source, &form)?;
        Ok(Source::plain(Kind::Table { files, form }, vec![note]))
    }

    fn of_idx(splits: Vec<idx::Files>, request: &Request) -> Result<Source> {
        let (what, files): (_, &[&str]) = match request.source.is_dir() {
            true => ("a folder of IDX files, whose names say what they are", &[]),
            false => ("IDX files", &FILES),
        };
        allow(request, what, &[&["--white", "--classes", "--transpose"], files].concat())?;
        let form = idx::Form { white: request.white, transpose: request.transpose };
        Ok(Source::plain(Kind::Idx { splits, form }, Vec::new()))
    }

    fn of_numpy(splits: Vec<numpy::Split>, request: &Request) -> Result<Source> {
        let (what, files): (_, &[&str]) = match splits.iter().any(numpy::Split::is_in_archive) {
            true => ("an .npz file, whose arrays' names say what they are", &[]),
            false => ("numpy's arrays", &FILES),
        };
        allow(request, what, &[&["--white", "--classes", "--transpose"], files].concat())?;
        let form = numpy::Form { white: request.white, size: request.size, transpose: request.transpose };
        Ok(Source::plain(Kind::Numpy { splits, form }, Vec::new()))
    }

    fn of_parquet(files: Vec<(PathBuf, Part)>, request: &Request) -> Result<Source> {
        let test: &[&'static str] = if request.source.is_file() { &["--test"] } else { &[] };
        allow(request, "Parquet", &[&["--label-column", "--classes"], test].concat())?;
        let shards = parquet::Shards::open(files, request.label_column.as_deref())?;
        let (classes, note) = (shards.classes.clone(), shards.note.clone());
        Ok(Source { classes, ..Source::plain(Kind::Parquet(shards), vec![note]) })
    }

    fn plain(kind: Kind, notes: Vec<String>) -> Source {
        Source { kind, left_out: Vec::new(), unreadable: Vec::new(), litter: 0, notes, classes: Vec::new() }
    }

    /// How many images there may be, if that is known.
    pub(crate) fn count(&self) -> Option<usize> {
        match &self.kind {
            Kind::Folders { layout, .. } => Some(layout.places.len()),
            Kind::List { list, .. } => Some(list.len()),
            Kind::Parquet(shards) => Some(shards.rows),
            Kind::Table { .. } | Kind::Idx { .. } | Kind::Numpy { .. } => None,
        }
    }

    /// Whether it consists of rows of values, of which `--size` says how they lie.
    pub(crate) fn is_rows(&self) -> bool {
        match &self.kind {
            Kind::Table { .. } => true,
            Kind::Numpy { splits, .. } => splits.iter().any(numpy::Split::is_rows),
            Kind::Folders { .. } | Kind::List { .. } | Kind::Idx { .. } | Kind::Parquet(_) => false,
        }
    }

    /// Gives all images.
    ///
    /// # Errors
    /// Those of `each`, and what is wrong with the source.
    pub(crate) fn read(&self, each: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        match &self.kind {
            Kind::List { path, list } => list.read(path, each),
            Kind::Table { files, form } => table::read(files, form, each),
            Kind::Idx { splits, form } => idx::read(splits, form, each),
            Kind::Numpy { splits, form } => numpy::read(splits, form, each),
            Kind::Parquet(shards) => shards.read(each),
            Kind::Folders { tree, layout } => {
                let places = layout.places.iter().map(|place| (place.file, place));
                let places: std::collections::HashMap<_, _> = places.collect();
                let wanted: Vec<usize> = layout.places.iter().map(|place| place.file).collect();
                tree.read(&wanted, &mut |file, bytes| {
                    let place = places[&file];
                    let content = bytes.map_or_else(Content::Unreadable, Content::File);
                    let origin = tree.root.join(&tree.files[file].name).display().to_string();
                    let (part, label) = (place.part, place.class.clone());
                    each(Item { part, label, origin, content, is_surely_image: false })
                })
            }
        }
    }
}

/// The only list of files in a folder, with its path, if it is one.
fn only_list(tree: &Tree, request: &Request) -> Result<Option<(PathBuf, list::List)>> {
    let endings = ["csv", "tsv", "jsonl", "ndjson"];
    let is_list = |file: &&Entry| !file.name.contains('/') && endings.contains(&file.ending().as_str());
    let lists: Vec<&Entry> = tree.files.iter().filter(is_list).collect();
    let [only] = lists.as_slice() else { return Ok(None) };
    let path = tree.root.join(&only.name);
    let list = list::List::open(&path, Some(&tree.root), request.label_column.as_deref())?;
    Ok(list.map(|list| (path, list)))
}

/// Why a tree has no images to train on.
fn nothing(tree: &Tree, found: &Layout) -> Error {
    let kinds = "class folders of images, IDX files, or one list of files (CSV, JSON lines)";
    let others: Vec<&LeftOut> = tree.unreadable.iter().chain(&tree.left_out).chain(&found.left_out).collect();
    let what = match (others.first(), tree.litter) {
        (Some(LeftOut { name, why }), _) => {
            format!("{} files or folders, the first {name:?}: {why}", others.len())
        }
        (None, 0) => "no files".into(),
        (None, hidden) => {
            format!("no files but {hidden} with hidden names, which begin with a dot, or of file managers")
        }
    };
    Error::new(&tree.root, format!("{what}; expected {kinds}"))
}

/// Options that name the files beside that of the images.
const FILES: [&str; 3] = ["--labels", "--test", "--test-labels"];

/// An option that does not apply is an error: it would be dropped without a word.
fn allow(request: &Request, what: &str, allowed: &[&str]) -> Result<()> {
    match given(request).into_iter().find(|(option, is_given)| *is_given && !allowed.contains(option)) {
        None => Ok(()),
        Some((option, _)) => Err(Error::new(&request.source, format!("{option} does not apply to {what}"))),
    }
}

/// The arrays of a source, if it is a file of numpy's.
fn numpy_splits(request: &Request) -> Result<Option<(Vec<numpy::Split>, Vec<LeftOut>)>> {
    let test = request.test.as_deref().map(|test| (test, request.test_labels.as_deref()));
    let found = numpy::npy(&request.source, request.labels.as_deref(), test)?;
    if let Some(found) = found {
        return Ok(Some((found, Vec::new())));
    }
    numpy::npz(&request.source)
}

/// Whether a file begins with these bytes.
fn starts_with(path: &Path, magic: &[u8]) -> Result<bool> {
    let file = crate::error::open(path)?;
    let mut start = Vec::new();
    file.take(magic.len() as u64).read_to_end(&mut start).map_err(Error::io(path))?;
    Ok(start == magic)
}

/// What a file is that is no source, if it is known.
fn lone(path: &Path) -> Result<Option<&'static str>> {
    let mut start = Vec::new();
    let file = crate::error::open(path)?;
    file.take(64).read_to_end(&mut start).map_err(Error::io(path))?;
    Ok(match start.as_slice() {
        [] => Some("an empty file"),
        start if image::guess_format(start).is_ok() => Some("one image"),
        start if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") => {
            Some("text in UTF-16, as Excel's \"Unicode text\", which is not read here: save it as UTF-8")
        }
        start if is_json_array(start) => {
            Some("a JSON array, which is not read here: write one object to a line, as jq -c '.[]' does")
        }
        start if start.starts_with(b"\x80") => Some(
            "Python's pickle, which can run programs and is not read here: save its arrays with numpy.savez",
        ),
        start if start.starts_with(b"\x89HDF") || start.starts_with(b"MATLAB") => {
            Some("HDF5 or MATLAB data, which is not read here: save its arrays with numpy.savez")
        }
        start if start.starts_with(b"version https://git-lfs") => {
            Some("the pointer of Git LFS, not the file: git lfs pull fetches it")
        }
        _ => None,
    })
}

/// Whether a text begins with a list of objects.
fn is_json_array(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let mut words = start.iter().filter(|byte| !byte.is_ascii_whitespace());
    words.next() == Some(&b'[') && words.next() == Some(&b'{')
}

/// Rows and columns change places.
fn transposed([channels, height, width]: [usize; 3], pixels: &[u8]) -> ([usize; 3], Vec<u8>) {
    let mut turned = Vec::with_capacity(pixels.len());
    for plane in pixels.chunks_exact(height * width) {
        for x in 0..width {
            turned.extend((0..height).map(|y| plane[y * width + x]));
        }
    }
    ([channels, width, height], turned)
}

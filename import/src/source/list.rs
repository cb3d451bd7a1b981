//! Lists of image files and their classes: CSV with or without a header, or JSON lines, as `metadata.jsonl` beside the images.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::rows::{LABELS, Rows};
use crate::error::{Error, Result};
use crate::item::{Content, Item, Part};
use crate::layout::part;
use crate::tree::{MAX_BYTES, is_litter};

/// Column names that usually hold the file, and the split.
const FILES: [&str; 14] = [
    "file_name",
    "filename",
    "file",
    "path",
    "filepath",
    "file_path",
    "image",
    "image_path",
    "img",
    "img_path",
    "image_name",
    "image_id",
    "id_code",
    "id",
];
const PARTS: [&str; 4] = ["split", "set", "subset", "partition"];
/// Endings that lists leave out.
const ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "JPG", "bmp", "tif", "webp"];
/// Most names in all lines of JSON: each line has a field for each.
const MAX_COLUMNS: usize = 1024;
/// Rows that are looked at to see what a table is.
const ROWS: usize = 20;

/// A list of files.
pub(crate) struct List {
    rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
}

struct Row {
    file: String,
    /// Where it was found.
    path: Option<PathBuf>,
    label: String,
    part: Part,
    line: u64,
}

impl List {
    /// Reads a list; `None` if the file is none, because no column names files that are there.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn open(path: &Path, images: Option<&Path>, label: Option<&str>) -> Result<Option<List>> {
        let read = |most: usize| match path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl" | "ndjson") => json_lines(path, most),
            _ => text(path, most),
        };
        let beside = path.parent().unwrap_or(Path::new(""));
        let folders = Folders::of(images.unwrap_or(beside));
        // A table of pixels would take a hundred times its size in memory: the rest of what is no list is not read.
        let (header, start) = read(ROWS)?;
        let Some(file) = file_column(&header, &start, &folders) else { return Ok(None) };
        let (header, table) = read(usize::MAX)?;
        let column = |names: &[&str]| {
            let found = names
                .iter()
                .find_map(|name| header.iter().position(|field| field.eq_ignore_ascii_case(name)));
            found.filter(|&column| column != file)
        };
        let class = match label {
            Some(name) => header
                .iter()
                .position(|field| field == name)
                .or_else(|| name.parse::<usize>().ok()?.checked_sub(1))
                .ok_or_else(|| Error::new(path, format!("no column {name:?}; there are {header:?}")))?,
            None => column(&LABELS).or_else(|| only_other(&header, file)).ok_or_else(|| {
                Error::new(path, format!("which column has the class? --label-column, of {header:?}"))
            })?,
        };
        let parts = match column(&PARTS) {
            Some(split) => parts(path, &table, split)?,
            None => vec![Part::All; table.len()],
        };
        let row = |((line, fields), part): ((u64, Vec<String>), Part)| {
            let field = |column: usize| fields.get(column).map_or("", |field| field.trim()).to_owned();
            let name = field(file);
            let path = folders.only(&name).map_err(|[one, other]| {
                let (one, other) = (one.display(), other.display());
                Error::new(
                    path,
                    format!("line {line}: {name:?} is {one} or {other}; --images names the folder"),
                )
            })?;
            Ok(Row { path, file: name, label: field(class), part, line })
        };
        let rows = table.into_iter().zip(parts).map(row).collect::<Result<Vec<Row>>>()?;
        let name =
            |column: usize| header.get(column).cloned().unwrap_or_else(|| format!("column {}", column + 1));
        let notes = vec![format!("{:?} has the files, {:?} the classes", name(file), name(class))];
        Ok(Some(List { rows, notes }))
    }

    /// The files that it names.
    pub(crate) fn files(&self) -> HashSet<PathBuf> {
        self.rows.iter().filter_map(|row| row.path.clone()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Gives all images.
    ///
    /// # Errors
    /// Those of `each`.
    pub(crate) fn read(&self, list: &Path, each: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        for row in &self.rows {
            let content = match &row.path {
                _ if row.label.is_empty() => Content::NoLabel,
                None => Content::Unreadable(format!("line {} of {}: no such file", row.line, list.display())),
                Some(path) => match datasets::files::read(path, MAX_BYTES) {
                    Ok(bytes) => Content::File(bytes),
                    Err(error) => Content::Unreadable(error.to_string()),
                },
            };
            let origin = row.path.as_ref().map_or(row.file.clone(), |path| path.display().to_string());
            let (part, label) = (row.part, row.label.clone());
            each(Item { part, label, origin, content, is_surely_image: true })?;
        }
        Ok(())
    }
}

/// The split of every row. A column of which no field says a split is another one; if some do, all must.
fn parts(path: &Path, table: &[(u64, Vec<String>)], column: usize) -> Result<Vec<Part>> {
    let field = |row: &[String]| row.get(column).map_or("", |field| field.trim()).to_owned();
    let found: Vec<Option<Part>> = table.iter().map(|(_, row)| part(&field(row))).collect();
    let has_splits =
        found.contains(&Some(Part::Train)) && found.iter().flatten().any(|part| *part != Part::Train);
    if !has_splits {
        return Ok(vec![Part::All; table.len()]);
    }
    let known = found.into_iter().zip(table).map(|(part, (line, row))| {
        let problem = || format!("line {line}: split {:?}, expected train, validation or test", field(row));
        part.ok_or_else(|| Error::new(path, problem()))
    });
    known.collect()
}

type Table = (Vec<String>, Vec<(u64, Vec<String>)>);

fn text(path: &Path, most: usize) -> Result<Table> {
    let rows = Rows::open(path, true)?;
    let mut header = rows.header.clone();
    let mut table = rows.take(path, most)?;
    // A first row that names a column of files is a header as well.
    let names_file =
        |row: &[String]| row.iter().any(|field| FILES.contains(&field.trim().to_lowercase().as_str()));
    if header.is_none() && table.first().is_some_and(|(_, row)| names_file(row)) {
        header = Some(table.remove(0).1);
    }
    let width = table.first().map_or(0, |(_, row)| row.len());
    Ok((header.unwrap_or_else(|| (1..=width).map(|n| n.to_string()).collect()), table))
}

fn json_lines(path: &Path, most: usize) -> Result<Table> {
    let text = datasets::files::read_text(path, 1 << 30).map_err(Error::io(path))?;
    let mut header: Vec<String> = Vec::new();
    let mut table = Vec::new();
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    for (index, line) in lines.take(most) {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)
            .map_err(|error| Error::new(path, format!("line {}: {error}", index + 1)))?;
        let mut row = vec![String::new(); header.len()];
        for (name, value) in object {
            let value = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Null => String::new(),
                other => other.to_string(),
            };
            match header.iter().position(|known| *known == name) {
                Some(column) => row[column] = value,
                None if header.len() == MAX_COLUMNS => {
                    let problem = format!(
                        "line {}: {name:?} is another name, expected {MAX_COLUMNS} at most in all lines",
                        index + 1
                    );
                    return Err(Error::new(path, problem));
                }
                None => {
                    header.push(name);
                    row.push(value);
                }
            }
        }
        table.push((index as u64 + 1, row));
    }
    Ok((header, table))
}

/// The only column beside that of the files.
fn only_other(header: &[String], file: usize) -> Option<usize> {
    let others: Vec<usize> = (0..header.len()).filter(|&column| column != file).collect();
    match others.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

/// The column of which most fields are files that are there: one that is called so, or the first. A number may be a file's name
/// by chance, where the files are numbered.
fn file_column(header: &[String], table: &[(u64, Vec<String>)], folders: &Folders) -> Option<usize> {
    let rows: Vec<&Vec<String>> = table.iter().map(|(_, row)| row).take(ROWS).collect();
    let found = |column: usize| {
        rows.iter()
            .filter(|row| row.get(column).is_some_and(|field| folders.find(field.trim()).is_some()))
            .count()
    };
    let mut candidates =
        (0..header.len().min(64)).filter(|&column| 2 * found(column) > rows.len()).peekable();
    let first = candidates.peek().copied();
    let is_called_so = |column: &usize| FILES.iter().any(|name| header[*column].eq_ignore_ascii_case(name));
    candidates.find(is_called_so).or(first)
}

/// Where the files of a list may be: in a folder, or in one of those in it.
struct Folders {
    root: PathBuf,
    inner: Vec<PathBuf>,
    /// Names of the files in the folders that were looked into.
    known: RefCell<HashMap<PathBuf, HashSet<OsString>>>,
}

impl Folders {
    fn of(root: &Path) -> Folders {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        let mut inner: Vec<PathBuf> =
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        inner.retain(|path| path.file_name().is_some_and(|name| !is_litter(&name.to_string_lossy())));
        inner.sort();
        inner.truncate(64);
        Folders { root: root.to_owned(), inner, known: RefCell::default() }
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        self.places(name).into_iter().next()
    }

    /// Where the file is, if it is anywhere; or two places where it is: a `1.jpg` may be in `test` and another in `train`.
    fn only(&self, name: &str) -> std::result::Result<Option<PathBuf>, [PathBuf; 2]> {
        let mut places = self.places(name).into_iter();
        match (places.next(), places.next()) {
            (Some(one), Some(other)) => Err([one, other]),
            (found, _) => Ok(found),
        }
    }

    /// The file in the outer folder, which is meant then, or in the first two inner ones that have it.
    fn places(&self, name: &str) -> Vec<PathBuf> {
        // Names that lead out of the folder are not followed.
        let plain = Path::new(name)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
        if name.is_empty() || !plain {
            return Vec::new();
        }
        let within = |folder: &PathBuf| {
            let with_ending = ENDINGS.iter().map(|ending| folder.join(format!("{name}.{ending}")));
            std::iter::once(folder.join(name)).chain(with_ending).find(|path| self.is_file(path))
        };
        match within(&self.root) {
            Some(path) => vec![path],
            None => self.inner.iter().filter_map(within).take(2).collect(),
        }
    }

    fn is_file(&self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let mut known = self.known.borrow_mut();
        known.entry(folder.to_owned()).or_insert_with(|| file_names(folder)).contains(name)
    }
}

/// Names of the files in a folder; none if it cannot be read.
fn file_names(folder: &Path) -> HashSet<OsString> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name()).collect()
}

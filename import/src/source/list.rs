//! Lists of image files and their classes: CSV with or without a header, or JSON lines, as `metadata.jsonl` beside the images.

mod places;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use infer::decode::has_image_ending;
use serde::de::IgnoredAny;

use self::places::Folders;
use super::rows::{LABELS, Row, Rows, check_count, whole};
use super::splits;
use crate::error::{Error, Result};
use crate::item::{Content, Item, Part};
use crate::tree::MAX_BYTES;

/// Column names that usually hold the file.
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
/// Longest file of JSON lines.
const MAX_JSON: u64 = 1 << 30;
/// Most names in all lines of JSON: each line has a field for each.
const MAX_COLUMNS: usize = 1024;
/// Rows that are looked at to see what a table is.
const ROWS: usize = 20;

/// A list of files.
pub(crate) struct List {
    listed: Vec<Listed>,
    pub(crate) notes: Vec<String>,
}

/// A file of the list.
struct Listed {
    name: String,
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
        let ending = path.extension().and_then(|ending| ending.to_str());
        let json = match ending {
            Some("jsonl" | "ndjson") => {
                Some(datasets::files::read_text(path, MAX_JSON).map_err(Error::io(path))?)
            }
            _ => None,
        };
        let read = |most: usize, wants: &dyn Fn(usize) -> bool| match &json {
            Some(lines) => json_lines(path, lines, most, wants),
            None => text(path, most, wants),
        };
        let beside = path.parent().unwrap_or(Path::new(""));
        let folders = Folders::of(images.unwrap_or(beside));
        // A table of pixels would take a hundred times its size in memory: the rest of what is no list is not read.
        let (mut header, start) = read(ROWS, &|_| true)?;
        let Some(file) = file_column(&header, &start, &folders) else {
            return missing_files(path, &header, &start, &folders).map(|()| None);
        };
        if json.is_some() {
            // Any line may have a name that no line before it has.
            (header, _) = read(usize::MAX, &|_| false)?;
        }
        let class = class_column(path, &header, file, label)?;
        let candidates = splits::candidates(&header, &start, [file, class]);
        let wanted = |column: usize| column == file || column == class || candidates.contains(&column);
        let (_, table) = read(usize::MAX, &wanted)?;
        let split = splits::of_rows(path, &header, &table, &candidates)?;
        // Of a column of whole numbers alone: `1.0` beside `1.5` is a name.
        let labels = || table.iter().map(|row| row.field(class)).filter(|label| !label.is_empty());
        let are_whole = labels().all(|label| whole(label).parse::<i64>().is_ok());
        let listed = |(row, part): (Row, Part)| {
            let (line, name, label) = (row.line, row.field(file), row.field(class));
            let label = if are_whole { whole(label) } else { label };
            let path = folders.only(name).map_err(|[one, other]| {
                let hint = match one.parent() == other.parent() {
                    true => "write their ending",
                    false => "--images names the folder",
                };
                let (one, other) = (one.display(), other.display());
                Error::new(path, format!("line {line}: {name:?} is {one} or {other}; {hint}"))
            })?;
            Ok(Listed { path, name: name.to_owned(), label: label.to_owned(), part, line })
        };
        let splits::Found { parts, note } = split;
        let listed = table.into_iter().zip(parts).map(listed).collect::<Result<Vec<Listed>>>()?;
        let name =
            |column: usize| header.get(column).cloned().unwrap_or_else(|| format!("column {}", column + 1));
        let mut notes = vec![format!("{:?} has the files, {:?} the classes", name(file), name(class))];
        notes.extend(note);
        Ok(Some(List { listed, notes }))
    }

    /// The files that it names.
    pub(crate) fn files(&self) -> HashSet<PathBuf> {
        self.listed.iter().filter_map(|file| file.path.clone()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.listed.len()
    }

    /// Gives all images.
    ///
    /// # Errors
    /// Those of `each`.
    pub(crate) fn read(&self, list: &Path, each: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        for file in &self.listed {
            let content = match &file.path {
                _ if file.label.is_empty() => Content::NoLabel,
                None => {
                    Content::Unreadable(format!("line {} of {}: no such file", file.line, list.display()))
                }
                Some(path) => match datasets::files::read(path, MAX_BYTES) {
                    Ok(bytes) => Content::File(bytes),
                    Err(error) => Content::Unreadable(error.to_string()),
                },
            };
            let origin = file.path.as_ref().map_or(file.name.clone(), |path| path.display().to_string());
            let (part, label) = (file.part, file.label.clone());
            each(Item { part, label, origin, content, is_surely_image: true })?;
        }
        Ok(())
    }
}

/// Names of the columns, and rows with the fields of those that are wanted.
type Table = (Vec<String>, Vec<Row>);

fn text(path: &Path, most: usize, wants: &dyn Fn(usize) -> bool) -> Result<Table> {
    let rows = Rows::open(path, true)?;
    let mut header = rows.header.clone();
    let mut table = rows.take(path, most, wants)?;
    // A first row that names a column of files is a header as well.
    let names_file =
        |row: &Row| row.fields.iter().any(|(_, field)| FILES.contains(&field.trim().to_lowercase().as_str()));
    if header.is_none() && table.first().is_some_and(names_file) {
        header = Some(table.remove(0).fields.into_iter().map(|(_, name)| name).collect());
    }
    let width = table.first().map_or(0, |row| row.fields.len());
    Ok((header.unwrap_or_else(|| (1..=width).map(|n| n.to_string()).collect()), table))
}

fn json_lines(path: &Path, text: &str, most: usize, wants: &dyn Fn(usize) -> bool) -> Result<Table> {
    let mut header: Vec<String> = Vec::new();
    let mut table = Vec::new();
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()).take(most) {
        check_count(path, table.len())?;
        let object = json_object(line).map_err(|e| Error::new(path, format!("line {}: {e}", index + 1)))?;
        let mut fields = Vec::new();
        for (name, value) in object {
            let is_one = !value.is_array() && !value.is_object();
            let value = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Null => String::new(),
                other => other.to_string(),
            };
            let column = match header.iter().position(|known| *known == name) {
                Some(column) => column,
                None if header.len() == MAX_COLUMNS => {
                    let problem = format!(
                        "line {}: {name:?} is another name, expected {MAX_COLUMNS} at most in all lines",
                        index + 1
                    );
                    return Err(Error::new(path, problem));
                }
                None => {
                    header.push(name);
                    header.len() - 1
                }
            };
            if wants(column) {
                // The first lines are read with all columns, to see which are meant.
                if !is_one && most == usize::MAX {
                    let problem = format!(
                        "line {}: {:?} is a list or an object, expected one value",
                        index + 1,
                        header[column]
                    );
                    return Err(Error::new(path, problem));
                }
                fields.push((column, value));
            }
        }
        table.push(Row { line: index as u64 + 1, fields });
    }
    Ok((header, table))
}

/// A line's names and values, in their order. Of equal names the library takes the last, in silence.
fn json_object(line: &str) -> serde_json::Result<serde_json::Map<String, serde_json::Value>> {
    datasets::yaml::unique::<_, IgnoredAny>(&mut serde_json::Deserializer::from_str(line))?;
    serde_json::from_str(line)
}

/// The column with the classes: the one that is asked for by name or number, else by its name, else the only other one.
fn class_column(path: &Path, header: &[String], file: usize, asked: Option<&str>) -> Result<usize> {
    let named = |name: &str| header.iter().position(|field| field.eq_ignore_ascii_case(name));
    let Some(asked) = asked else {
        let known = LABELS.iter().find_map(|name| named(name)).filter(|&column| column != file);
        let class = known.or_else(|| only_other(header, file)).ok_or_else(|| {
            Error::new(path, format!("which column has the class? --label-column, of {header:?}"))
        })?;
        return once(path, header, class);
    };
    if let Some(class) = header.iter().position(|field| field == asked) {
        return once(path, header, class);
    }
    let number = asked.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    number
        .filter(|at| *at < header.len())
        .ok_or_else(|| Error::new(path, format!("no column {asked:?}; there are {header:?}")))
}

/// A column of whose name there is no other.
fn once(path: &Path, header: &[String], column: usize) -> Result<usize> {
    let name = header.get(column);
    if name.is_some() && header.iter().filter(|other| Some(*other) == name).count() > 1 {
        let problem = format!("column {:?} twice; --label-column takes a number, too", header[column]);
        return Err(Error::new(path, problem));
    }
    Ok(column)
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
fn file_column(header: &[String], rows: &[Row], folders: &Folders) -> Option<usize> {
    let mut candidates = most_are(header, rows, |field| folders.find(field).is_some()).peekable();
    let first = candidates.peek().copied();
    let is_called_so = |column: &usize| FILES.iter().any(|name| header[*column].eq_ignore_ascii_case(name));
    candidates.find(is_called_so).or(first)
}

/// Columns of which most fields are as asked for.
fn most_are(header: &[String], rows: &[Row], is: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    let count = move |column: usize| rows.iter().filter(|row| is(row.field(column))).count();
    (0..header.len().min(64)).filter(move |&column| 2 * count(column) > rows.len())
}

/// A column that names images which are nowhere makes a list, too, not a table of pixels.
///
/// # Errors
/// If there is one.
fn missing_files(path: &Path, header: &[String], rows: &[Row], folders: &Folders) -> Result<()> {
    let Some(column) = most_are(header, rows, has_image_ending).next() else { return Ok(()) };
    let name =
        rows.iter().map(|row| row.field(column)).find(|name| has_image_ending(name)).unwrap_or_default();
    let (column, folder) = (&header[column], folders.absolute[0].display());
    let problem = format!(
        "column {column:?} names files that are not in {folder}, as {name:?}; --images names their folder"
    );
    Err(Error::new(path, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line may name a thousand columns; those that follow must not take room for them.
    #[test]
    fn rows_hold_only_the_fields_that_are_wanted_and_there() {
        let names: Vec<String> = (0..1022).map(|n| format!("\"n{n}\": \"x\"")).collect();
        let last = "{\"label\": \"cat\", \"file\": \"1.png\"}\n";
        let text = format!("{{{}}}\n{}{last}", names.join(","), "{}\n".repeat(1000));
        let (header, rows) =
            json_lines(Path::new("x.jsonl"), &text, usize::MAX, &|column| column >= 1022).unwrap();
        assert_eq!((header.len(), rows.len(), rows[1001].line), (1024, 1002, 1002));
        assert_eq!(rows.iter().map(|row| row.fields.len()).sum::<usize>(), 2);
        let place = |name: &str| header.iter().position(|known| known == name).unwrap();
        assert_eq!((rows[1001].field(place("file")), rows[1001].field(place("label"))), ("1.png", "cat"));
        assert_eq!(rows[1].field(place("file")), "");
    }
}

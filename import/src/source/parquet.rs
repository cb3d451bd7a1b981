//! Parquet files as the Hugging Face Hub has them: a column of image files, `struct<bytes, path>` or bytes, and one of labels,
//! in one or several shards for each split (`train-00000-of-00002.parquet`).

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::Type as Physical;
use parquet::file::metadata::FileMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use terminal::catch_panic;

use super::rows;
use crate::error::{Error, Result};
use crate::item::{Content, Item, Part};
use crate::layout::part;
use crate::tree::{MAX_BYTES, Tree};

/// Columns that usually hold the image, if several hold bytes.
const IMAGES: [&str; 6] = ["image", "img", "images", "picture", "photo", "jpg"];
/// Rows that are decoded at a time: of images, each may be megabytes.
const BATCH: usize = 16;
/// Most bytes of a group of rows: a page of it is unpacked as a whole.
const MAX_GROUP: i64 = 2 << 30;

/// Files of rows, and the columns that matter.
pub(crate) struct Shards {
    files: Vec<(PathBuf, Part)>,
    columns: Columns,
    /// Names of the labels, if the files have them.
    pub(crate) classes: Vec<String>,
    pub(crate) rows: usize,
    pub(crate) note: String,
}

/// Numbers of columns in the schema.
#[derive(Debug, Clone, PartialEq)]
struct Columns {
    image: String,
    label: String,
}

/// Whether a file is one of Parquet.
pub(crate) fn is_parquet(path: &Path) -> Result<bool> {
    super::starts_with(path, b"PAR1")
}

/// The files of a folder, if it has any.
///
/// # Errors
/// If they are of several sets, or a shard is missing.
pub(crate) fn in_folder(tree: &Tree) -> Result<Vec<(PathBuf, Part)>> {
    let names: Vec<&str> =
        tree.files.iter().filter(|file| file.ending() == "parquet").map(|file| file.name.as_str()).collect();
    let folder = |name: &str| name.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    // `train/0000.parquet` is a split in a folder of its own.
    let set = |name: &str| {
        let folder = folder(name);
        match folder.rsplit_once('/') {
            Some((outer, last)) if part(last).is_some() => outer.to_owned(),
            None if part(&folder).is_some() => String::new(),
            _ => folder,
        }
    };
    let sets: std::collections::BTreeSet<String> = names.iter().map(|name| set(name)).collect();
    if sets.len() > 1 {
        return Err(Error::new(
            &tree.root,
            format!("Parquet files of several sets, in the folders {sets:?}: name the folder of one"),
        ));
    }
    complete(&tree.root, &names)?;
    let of = |name: &str| {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        part(file).or_else(|| part(folder.rsplit('/').next().unwrap_or_default()))
    };
    let parts: Vec<Option<Part>> = names.iter().map(|name| of(name)).collect();
    let has_splits =
        parts.contains(&Some(Part::Train)) && parts.iter().any(|part| *part != Some(Part::Train));
    if has_splits && let Some(at) = parts.iter().position(Option::is_none) {
        return Err(Error::new(&tree.root.join(names[at]), "which split is it? Its name does not say"));
    }
    let files = names.iter().zip(parts).map(|(name, part)| {
        (tree.root.join(name), if has_splits { part.unwrap_or(Part::All) } else { Part::All })
    });
    Ok(files.collect())
}

/// The place of a shard among its like: `train-00001-of-00002-3f2c.parquet` is `("train", 1, 2)`.
fn shard(name: &str) -> Option<(&str, usize, usize)> {
    let name = name.strip_suffix(".parquet")?;
    let (before, after) = name.split_once("-of-")?;
    let (split, place) = before.rsplit_once('-')?;
    let count: String = after.chars().take_while(char::is_ascii_digit).collect();
    Some((split, place.parse().ok()?, count.parse().ok()?))
}

/// A set of which a part is missing would be taken for the whole.
fn complete(root: &Path, names: &[&str]) -> Result<()> {
    let mut found: std::collections::BTreeMap<(&str, usize), Vec<usize>> = std::collections::BTreeMap::new();
    for (split, place, count) in names.iter().filter_map(|name| shard(name)) {
        found.entry((split, count)).or_default().push(place);
    }
    for ((split, count), places) in found {
        if let Some(missing) = (0..count).find(|place| !places.contains(place)) {
            let problem =
                format!("shard {split}-{missing:05}-of-{count:05} is not there; all {count} are needed");
            return Err(Error::new(root, problem));
        }
    }
    Ok(())
}

/// A single file and that of its test split.
///
/// # Errors
/// If it is one of several shards.
pub(crate) fn files(path: &Path, test: Option<&Path>) -> Result<Vec<(PathBuf, Part)>> {
    let lone = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match shard(name) {
            Some((_, _, count)) if count > 1 => {
                Err(Error::new(path, format!("one of {count} shards: name the folder that has all of them")))
            }
            _ => Ok(()),
        }
    };
    lone(path)?;
    let Some(test) = test else { return Ok(vec![(path.to_owned(), Part::All)]) };
    lone(test)?;
    Ok(vec![(path.to_owned(), Part::Train), (test.to_owned(), Part::Test)])
}

impl Shards {
    /// Looks at the files.
    ///
    /// # Errors
    /// If one cannot be read, or which columns are meant is not clear.
    pub(crate) fn open(files: Vec<(PathBuf, Part)>, label: Option<&str>) -> Result<Shards> {
        let mut found: Option<(Columns, Vec<String>)> = None;
        let mut rows = 0;
        for (path, _) in &files {
            let reader = open(path)?;
            let metadata = reader.metadata().file_metadata();
            let here = (columns(path, metadata.schema(), label)?, metadata);
            let names = class_names(metadata, &here.0.label);
            if found.as_ref().is_some_and(|(columns, known)| *columns != here.0 || *known != names) {
                return Err(Error::new(path, "other columns or classes than in the first file"));
            }
            found = Some((here.0, names));
            rows += usize::try_from(metadata.num_rows()).unwrap_or(0);
        }
        let first = files.first().map_or(PathBuf::new(), |(path, _)| path.clone());
        let (columns, classes) = found.ok_or_else(|| Error::new(&first, "no files"))?;
        let note = format!("{:?} has the images, {:?} the classes", columns.image, columns.label);
        Ok(Shards { files, columns, classes, rows, note })
    }

    /// Gives all images.
    ///
    /// # Errors
    /// Those of `each`, and what is wrong with a file.
    pub(crate) fn read(&self, each: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        for (path, part) in &self.files {
            let reader = open(path)?;
            let mut rows = guarded(path, || {
                let schema = reader.metadata().file_metadata().schema();
                let wanted = |field: &&std::sync::Arc<Type>| {
                    [&*self.columns.image, &*self.columns.label].contains(&field.name())
                };
                let fields = schema.get_fields().iter().filter(wanted).cloned().collect();
                let projection = Type::group_type_builder(schema.name()).with_fields(fields).build()?;
                Ok(RowIter::from_file_into(Box::new(reader))
                    .project(Some(projection))?
                    .with_batch_size(BATCH))
            })?;
            let mut index = 0;
            while let Some(row) = guarded(path, || rows.next().transpose())? {
                each(self.item(&row, *part, format!("{}[{index}]", path.display())))?;
                index += 1;
            }
        }
        Ok(())
    }

    fn item(&self, row: &Row, part: Part, mut origin: String) -> Item {
        let field = |name: &str| row.get_column_iter().find(|(column, _)| *column == name).map(|(_, f)| f);
        let label = field(&self.columns.label).map_or(String::new(), text);
        let content = match field(&self.columns.image) {
            Some(Field::Bytes(bytes)) => file(bytes.data()),
            Some(Field::Group(group)) => {
                let inner = |name: &str| group.get_column_iter().find(|(n, _)| *n == name).map(|(_, f)| f);
                let path = inner("path").map_or(String::new(), text);
                if !path.is_empty() {
                    origin = format!("{origin} {path}");
                }
                match inner("bytes") {
                    Some(Field::Bytes(bytes)) => file(bytes.data()),
                    _ => Content::Unreadable("the image is not in the file, only its name".into()),
                }
            }
            _ => Content::Unreadable("no image in this row".into()),
        };
        // The Hub's splits without labels have -1.
        let is_unlabelled = label.is_empty() || label == "-1" && !self.classes.is_empty();
        let content = if is_unlabelled { Content::NoLabel } else { content };
        Item { part, label, origin, content }
    }
}

fn file(bytes: &[u8]) -> Content {
    match bytes.len() as u64 > MAX_BYTES {
        true => Content::Unreadable(format!("{} bytes, expected at most {MAX_BYTES}", bytes.len())),
        false => Content::File(bytes.to_vec()),
    }
}

fn text(field: &Field) -> String {
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.trim().to_owned(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).trim().to_owned(),
        other => other.to_string(),
    }
}

fn open(path: &Path) -> Result<SerializedFileReader<File>> {
    let file = datasets::files::open(path).map_err(Error::io(path))?;
    let reader = guarded(path, || SerializedFileReader::new(file))?;
    let largest = reader.metadata().row_groups().iter().map(|group| group.total_byte_size()).max();
    match largest {
        Some(bytes) if !(0..=MAX_GROUP).contains(&bytes) => {
            let problem = format!("a group of rows of {bytes} bytes, expected at most {MAX_GROUP}");
            Err(Error::new(path, problem))
        }
        _ => Ok(reader),
    }
}

/// What the library says of a file; a damaged one may make it panic.
fn guarded<T>(path: &Path, read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    let outcome = catch_panic(read).map_err(|panic| Error::new(path, format!("damaged: {panic}")))?;
    outcome.map_err(|error| Error::new(path, error.to_string()))
}

/// The column of images and that of labels.
fn columns(path: &Path, schema: &Type, label: Option<&str>) -> Result<Columns> {
    let fields = schema.get_fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let images: Vec<&str> = fields.iter().filter(|f| holds_files(f)).map(|f| f.name()).collect();
    let usual = IMAGES.iter().find_map(|name| images.iter().find(|image| image.eq_ignore_ascii_case(name)));
    let image = *usual
        .or(images.first())
        .ok_or_else(|| Error::new(path, format!("no column of image files (bytes); there are {names:?}")))?;
    let label = match label {
        Some(name) => names
            .iter()
            .find(|column| **column == name)
            .ok_or_else(|| Error::new(path, format!("no column {name:?}; there are {names:?}")))?,
        None => {
            let others: Vec<&&str> = names.iter().filter(|name| **name != image).collect();
            let usual =
                rows::LABELS.iter().find_map(|name| names.iter().find(|n| n.eq_ignore_ascii_case(name)));
            let only = if let [only] = others.as_slice() { Some(*only) } else { None };
            usual.or(only).ok_or_else(|| {
                Error::new(path, format!("which column has the class? --label-column, of {names:?}"))
            })?
        }
    };
    Ok(Columns { image: image.to_owned(), label: (*label).to_owned() })
}

/// Whether a column is `struct<bytes, path>` or bytes that are no text.
fn holds_files(field: &Type) -> bool {
    let is_bytes = |field: &Type| field.is_primitive() && field.get_physical_type() == Physical::BYTE_ARRAY;
    match field.is_group() {
        true => field.get_fields().iter().any(|inner| inner.name() == "bytes" && is_bytes(inner)),
        false => {
            is_bytes(field)
                && field.get_basic_info().logical_type_ref().is_none()
                && field.get_basic_info().converted_type() == parquet::basic::ConvertedType::NONE
        }
    }
}

/// The names of a label's numbers that the Hub's `datasets` keeps in the file: a list, or an object by number.
fn class_names(metadata: &FileMetaData, label: &str) -> Vec<String> {
    let entries = metadata.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
    let text = entries.iter().find(|entry| entry.key == "huggingface").and_then(|entry| entry.value.as_ref());
    let Some(json) = text.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok()) else {
        return Vec::new();
    };
    let name = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    match &json["info"]["features"][label]["names"] {
        serde_json::Value::Array(names) => names.iter().map(name).collect::<Option<_>>().unwrap_or_default(),
        serde_json::Value::Object(names) => (0..names.len())
            .map(|number| names.get(&number.to_string()).and_then(name))
            .collect::<Option<_>>()
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_told_by_their_names_and_all_are_needed() {
        assert_eq!(shard("train-00001-of-00002-3f2c.parquet"), Some(("train", 1, 2)));
        assert_eq!(shard("data/test-00000-of-00001.parquet"), Some(("data/test", 0, 1)));
        assert_eq!(shard("0000.parquet"), None);
        let names = ["train-00000-of-00002.parquet", "test-00000-of-00001.parquet"];
        let error = complete(Path::new("x"), &names).unwrap_err().to_string();
        assert!(error.contains("train-00001-of-00002 is not there"), "{error}");
        let names = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"];
        complete(Path::new("x"), &names).unwrap();
    }
}

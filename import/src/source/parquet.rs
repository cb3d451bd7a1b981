//! Parquet files as the Hugging Face Hub has them: a column of image files, `struct<bytes, path>` or bytes, and one of labels,
//! in one or several shards for each split (`train-00000-of-00002.parquet`).

mod reader;

use std::path::{Path, PathBuf};

use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::file::metadata::{FileMetaData, RowGroupMetaData};
use parquet::file::reader::FileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use self::reader::{guarded, open};
use super::{rows, splits};
use crate::classes::MOST as MAX_CLASSES;
use crate::error::{Error, Result};
use crate::item::{Content, Item, Part};
use crate::tree::MAX_BYTES;

/// Columns that usually hold the image, if several hold bytes.
const IMAGES: [&str; 6] = ["image", "img", "images", "picture", "photo", "jpg"];
/// Rows that are decoded at a time: of images, each may be megabytes.
const BATCH: usize = 16;
/// How many times larger unpacked images may be: they are compressed already.
const MAX_RATIO: i64 = 64;
/// Most characters of a label or of an image's name.
const MAX_TEXT: usize = 256;

/// Files of rows, and the columns that matter.
pub(crate) struct Shards {
    files: Vec<(PathBuf, Part)>,
    columns: Columns,
    /// Names of the labels, if the files have them.
    pub(crate) classes: Vec<String>,
    pub(crate) rows: usize,
    pub(crate) note: String,
}

/// Names of the columns that matter.
#[derive(Debug, Clone, PartialEq)]
struct Columns {
    image: String,
    label: String,
    is_text: bool,
    /// A column that is usually that of splits.
    split: Option<String>,
}

/// Whether a file is one of Parquet.
pub(crate) fn is_parquet(path: &Path) -> Result<bool> {
    super::starts_with(path, b"PAR1")
}

impl Shards {
    /// Looks at the files.
    ///
    /// # Errors
    /// If one cannot be read, or which columns are meant is not clear.
    pub(crate) fn open(files: Vec<(PathBuf, Part)>, label: Option<&str>) -> Result<Shards> {
        let mut found: Option<(Columns, Vec<String>)> = None;
        let mut rows = 0usize;
        for (path, _) in &files {
            let reader = open(path)?;
            let metadata = reader.metadata().file_metadata();
            let columns = columns(path, metadata.schema(), label)?;
            let names = class_names(metadata, &columns.label);
            if names.len() > MAX_CLASSES {
                return Err(Error::new(
                    path,
                    format!("{} classes, expected at most {MAX_CLASSES}", names.len()),
                ));
            }
            if let Some((first, _)) = found.as_ref().filter(|(first, _)| *first != columns) {
                return Err(Error::new(path, format!("{columns:?}, in the first file {first:?}")));
            }
            if let Some((_, first)) = found.as_ref().filter(|(_, first)| *first != names) {
                return Err(Error::new(
                    path,
                    format!("names of classes {names:?}, in the first file {first:?}"),
                ));
            }
            found = Some((columns, names));
            rows = rows.saturating_add(row_count(path, metadata)?);
        }
        let first = files.first().map_or(PathBuf::new(), |(path, _)| path.clone());
        let (columns, classes) = found.ok_or_else(|| Error::new(&first, "no files"))?;
        let mut note = format!("{:?} has the images, {:?} the classes", columns.image, columns.label);
        if let Some(split) = &columns.split {
            note += &format!("; {split:?} is not looked at: of Parquet, files are splits (--test)");
        }
        Ok(Shards { files, columns, classes, rows, note })
    }

    /// Gives all images.
    ///
    /// # Errors
    /// Those of `each`, and what is wrong with a file.
    pub(crate) fn read(&self, each: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        for (path, part) in &self.files {
            let reader = open(path)?;
            let expected = row_count(path, reader.metadata().file_metadata())?;
            check_groups(path, reader.metadata().row_groups(), &self.columns)?;
            let mut rows = guarded(path, || {
                let schema = reader.metadata().file_metadata().schema();
                let wanted = |field: &&std::sync::Arc<Type>| {
                    [&*self.columns.image, &*self.columns.label].contains(&field.name())
                };
                let fields = schema.get_fields().iter().filter(wanted).cloned().collect();
                let projection = Type::group_type_builder(schema.name()).with_fields(fields).build()?;
                let rows = RowIter::from_file_into(Box::new(reader)).project(Some(projection))?;
                Ok(rows.with_batch_size(BATCH))
            })?;
            let mut index = 0;
            while let Some(row) = guarded(path, || rows.next().transpose())? {
                let item = self.item(&row, *part, format!("{}[{index}]", path.display()));
                each(item.map_err(|problem| Error::new(path, format!("row {index}: {problem}")))?)?;
                index += 1;
            }
            if index != expected {
                return Err(Error::new(path, format!("{index} rows, expected {expected}")));
            }
        }
        Ok(())
    }

    fn item(&self, row: &Row, part: Part, mut origin: String) -> std::result::Result<Item, String> {
        let field = |name: &str| row.get_column_iter().find(|(column, _)| *column == name).map(|(_, f)| f);
        let label = field(&self.columns.label).map_or(Ok(String::new()), text)?;
        let content = match field(&self.columns.image) {
            Some(Field::Bytes(bytes)) => file(bytes.data()),
            Some(Field::Group(group)) => {
                let inner = |name: &str| group.get_column_iter().find(|(n, _)| *n == name).map(|(_, f)| f);
                if let Some(Field::Str(path)) = inner("path") {
                    origin.push(' ');
                    origin.extend(path.chars().take(MAX_TEXT));
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
        Ok(Item { part, label, origin, content, is_surely_image: true })
    }
}

fn file(bytes: &[u8]) -> Content {
    match bytes.len() as u64 > MAX_BYTES {
        true => Content::Unreadable(format!("{} bytes, expected at most {MAX_BYTES}", bytes.len())),
        false => Content::File(bytes.to_vec()),
    }
}

/// A label as text; a number with a fraction of 0 is whole.
fn text(field: &Field) -> std::result::Result<String, String> {
    let text = match field {
        Field::Null => String::new(),
        Field::Str(text) => text.trim().to_owned(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).trim().to_owned(),
        Field::Bool(value) => u8::from(*value).to_string(),
        Field::Byte(value) => value.to_string(),
        Field::Short(value) => value.to_string(),
        Field::Int(value) => value.to_string(),
        Field::Long(value) => value.to_string(),
        Field::UByte(value) => value.to_string(),
        Field::UShort(value) => value.to_string(),
        Field::UInt(value) => value.to_string(),
        Field::ULong(value) => value.to_string(),
        Field::Float(value) => whole(f64::from(*value))?,
        Field::Double(value) => whole(*value)?,
        _ => return Err("a label that is neither a number nor text".into()),
    };
    match text.chars().count() > MAX_TEXT {
        true => Err(format!("a label of more than {MAX_TEXT} characters")),
        false => Ok(text),
    }
}

/// What is no number is no label.
fn whole(value: f64) -> std::result::Result<String, String> {
    match value {
        v if v.is_nan() => Ok(String::new()),
        v if v.fract() == 0.0 && v.abs() < 1e15 => Ok((v as i64).to_string()),
        v => Err(format!("label {v}, expected a whole number")),
    }
}

fn row_count(path: &Path, metadata: &FileMetaData) -> Result<usize> {
    let rows = metadata.num_rows();
    usize::try_from(rows).map_err(|_| Error::new(path, format!("{rows} rows")))
}

/// Images unpack to little more than they take.
fn check_groups(path: &Path, groups: &[RowGroupMetaData], wanted: &Columns) -> Result<()> {
    for column in groups.iter().flat_map(RowGroupMetaData::columns) {
        let is_wanted = column.column_path().parts().first().is_some_and(|name| *name == wanted.image);
        let (packed, unpacked) = (column.compressed_size(), column.uncompressed_size());
        if is_wanted && unpacked > packed.max(1 << 20).saturating_mul(MAX_RATIO) {
            let problem = format!(
                "images that grow from {packed} to {unpacked} bytes, expected {MAX_RATIO} times at most"
            );
            return Err(Error::new(path, problem));
        }
    }
    Ok(())
}

/// The column of images and that of labels.
fn columns(path: &Path, schema: &Type, label: Option<&str>) -> Result<Columns> {
    let fields = schema.get_fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let place_of =
        |usual: &[&str]| usual.iter().find_map(|n| names.iter().position(|o| o.eq_ignore_ascii_case(n)));
    let is_usual_label = |name: &str| rows::LABELS.iter().any(|usual| name.eq_ignore_ascii_case(usual));
    let images = fields.iter().filter(|field| holds_files(field) && !is_usual_label(field.name()));
    let images: Vec<&str> = images.map(|field| field.name()).collect();
    let usual = IMAGES.iter().find_map(|name| images.iter().find(|image| image.eq_ignore_ascii_case(name)));
    let image = *usual
        .or(images.first())
        .ok_or_else(|| Error::new(path, format!("no column of image files (bytes); there are {names:?}")))?;
    let is_one_value = |field: &Type| {
        let is_repeated = field.get_basic_info().has_repetition()
            && field.get_basic_info().repetition() == Repetition::REPEATED;
        field.name() != image && field.is_primitive() && !is_repeated
    };
    let place = match label {
        Some(name) => names
            .iter()
            .position(|column| *column == name)
            .or_else(|| name.parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < names.len()))
            .ok_or_else(|| Error::new(path, format!("no column {name:?}; there are {names:?}")))?,
        None => {
            let mut others = (0..fields.len()).filter(|&at| is_one_value(&fields[at]));
            match (place_of(&rows::LABELS), others.next(), others.next()) {
                (Some(usual), _, _) => usual,
                (None, Some(only), None) => only,
                _ => {
                    let problem = format!("which column has the class? --label-column, of {names:?}");
                    return Err(Error::new(path, problem));
                }
            }
        }
    };
    let field = &fields[place];
    if !is_one_value(field) {
        let found = format!("column {:?} is of images or of several values", field.name());
        return Err(Error::new(path, format!("{found}, expected one number or text for each image")));
    }
    for used in [image, field.name()] {
        if names.iter().filter(|name| **name == used).count() > 1 {
            return Err(Error::new(path, format!("column {used:?} twice, expected each name once")));
        }
    }
    let split = place_of(&splits::USUAL).filter(|at| *at != place).map(|at| names[at].to_owned());
    Ok(Columns {
        split,
        image: image.to_owned(),
        label: field.name().to_owned(),
        is_text: holds_bytes(field),
    })
}

fn holds_bytes(field: &Type) -> bool {
    field.is_primitive() && field.get_physical_type() == Physical::BYTE_ARRAY
}

/// Whether a column is `struct<bytes, path>` or bytes that are no text.
fn holds_files(field: &Type) -> bool {
    if field.is_group() {
        return field.get_fields().iter().any(|inner| inner.name() == "bytes" && holds_bytes(inner));
    }
    let info = field.get_basic_info();
    holds_bytes(field) && info.logical_type_ref().is_none() && info.converted_type() == ConvertedType::NONE
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
    fn labels_are_numbers_or_text() {
        assert_eq!(text(&Field::Double(3.0)), Ok("3".into()));
        assert_eq!(text(&Field::Float(f32::NAN)), Ok(String::new()));
        assert_eq!(text(&Field::Str(" cat ".into())), Ok("cat".into()));
        assert_eq!(text(&Field::Bool(true)), Ok("1".into()));
        for bad in [Field::Double(0.5), Field::Date(1 << 30), Field::Str("x".repeat(300))] {
            text(&bad).unwrap_err();
        }
    }
}

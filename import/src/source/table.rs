//! Tables of pixels: a row for each image, a column with its class, the others its pixels row by row.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::rows::{Rows, number, whole};
use crate::error::{Error, Result};
use crate::item::{Content, Item, Part};
use crate::range::{Range, Scale};

/// What a table does not say.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) label_column: Option<String>,
    /// `[height, width]`; without it the images are squares.
    pub(crate) size: Option<[usize; 2]>,
    /// 1, or 3 for all red, then all green, then all blue values.
    pub(crate) channels: usize,
    pub(crate) white: Option<f64>,
    pub(crate) transpose: bool,
}

/// What the first reading of a table tells.
struct Found {
    label: usize,
    shape: [usize; 3],
    range: Range,
}

/// Gives all images of all files.
///
/// # Errors
/// What is wrong, with line and column.
pub(crate) fn read(
    files: &[(PathBuf, Part)],
    form: &Form,
    each: &mut dyn FnMut(Item) -> Result<()>,
) -> Result<()> {
    let mut found = Vec::new();
    let mut range = Range::default();
    for (path, _) in files {
        let one = look(path, form)?;
        range.add(one.range.least);
        range.add(one.range.most);
        if one.range.least < one.range.most {
            // Whether all are whole numbers.
            range.add(one.range.middle());
        }
        found.push(one);
    }
    let Some((first, _)) = files.first() else { return Ok(()) };
    let scale = Scale::choose(first, range, form.white)?;
    for ((path, part), found) in files.iter().zip(&found) {
        give(path, *part, found, scale, form, each)?;
    }
    Ok(())
}

fn at(path: &Path, line: u64, problem: &str) -> Error {
    Error::new(path, format!("line {line}: {problem}"))
}

/// Which column has the class, for people.
///
/// # Errors
/// As for [`read`].
pub(crate) fn label_note(path: &Path, form: &Form) -> Result<String> {
    let rows = Rows::open(path, false)?;
    let label = label_column(path, &rows, form)?;
    let name = rows.header.as_ref().and_then(|header| header.get(label));
    Ok(name
        .map_or(format!("column {} has the classes", label + 1), |name| format!("{name:?} has the classes")))
}

/// The column that is asked for or called so, or the only one that is not called like others; else the first.
fn label_column(path: &Path, rows: &Rows, form: &Form) -> Result<usize> {
    if let Some(column) = rows.label_column(path, form.label_column.as_deref())? {
        return Ok(column);
    }
    let Some(header) = &rows.header else { return Ok(0) };
    // `pixel0` and `28x28` are names of one form; the class' has another.
    let form = |name: &String| name.to_lowercase().replace(|c: char| c.is_ascii_digit(), "");
    let mut count: HashMap<String, usize> = HashMap::new();
    header.iter().for_each(|name| *count.entry(form(name)).or_default() += 1);
    if header.len() > 1 && count.len() == 1 {
        return Err(Error::new(
            path,
            "no column has the class, only pixels: a test set without labels tells nothing",
        ));
    }
    let mut others = (0..header.len()).filter(|&column| count[&form(&header[column])] == 1);
    Ok(match (others.next(), others.next()) {
        (Some(only), None) => only,
        _ => 0,
    })
}

fn look(path: &Path, form: &Form) -> Result<Found> {
    let rows = Rows::open(path, false)?;
    let label = label_column(path, &rows, form)?;
    let (mut count, mut range) = (0, Range::default());
    let separator = rows.separator;
    rows.each(path, &mut |line, row| {
        count = row.len();
        if label >= count {
            return Err(at(path, line, &format!("no column {}, which should hold the class", label + 1)));
        }
        if row[label].trim().is_empty() {
            return Ok(());
        }
        for (column, field) in row.iter().enumerate().filter(|(column, _)| *column != label) {
            let value = number(field, separator).filter(|value| value.is_finite());
            let value = value.ok_or_else(|| {
                at(path, line, &format!("column {}: {field:?}, expected a number", column + 1))
            })?;
            range.add(value);
        }
        Ok(())
    })?;
    if count == 0 {
        return Err(Error::new(
            path,
            "no rows, expected a row for each image, or each image's file and class",
        ));
    }
    let count = count - 1;
    let plane = count / form.channels.max(1);
    let [height, width] = form.size.unwrap_or([plane.isqrt(); 2]);
    if count == 0 || height * width * form.channels != count {
        let problem = format!(
            "{count} values for an image, not {}x{height}x{width}; choose --size and --channels",
            form.channels
        );
        return Err(Error::new(path, problem));
    }
    Ok(Found { label, shape: [form.channels, height, width], range })
}

fn give(
    path: &Path,
    part: Part,
    found: &Found,
    scale: Scale,
    form: &Form,
    each: &mut dyn FnMut(Item) -> Result<()>,
) -> Result<()> {
    let rows = Rows::open(path, false)?;
    let separator = rows.separator;
    rows.each(path, &mut |line, row| {
        let label = row[found.label].trim();
        let mut shape = found.shape;
        let content = if label.is_empty() {
            Content::NoLabel
        } else {
            let fields = row.iter().enumerate().filter(|(column, _)| *column != found.label);
            let mut pixels: Vec<u8> =
                fields.map(|(_, field)| scale.pixel(number(field, separator).unwrap_or(0.0))).collect();
            if form.transpose {
                (shape, pixels) = super::transposed(shape, &pixels);
            }
            Content::Pixels { shape, pixels }
        };
        each(Item {
            part,
            label: whole(label).to_owned(),
            origin: format!("{}:{line}", path.display()),
            content,
            is_surely_image: true,
        })
    })
}

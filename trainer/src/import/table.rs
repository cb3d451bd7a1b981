//! CSV: a row for each image, a column with its class, the others its pixels row by row.

use std::path::Path;

use datasets::ImageShape;

use super::source::{Sample, Source};
use crate::error::{Error, Result};

/// What a CSV file does not say.
#[derive(Debug, Clone, Copy)]
pub struct Form<'a> {
    /// Name of the column with the class, or its number from 1; without it `label`, `target` or
    /// `class`, or the first.
    pub label: Option<&'a str>,
    /// `[height, width]`; without it the images are squares.
    pub size: Option<[usize; 2]>,
    /// 1, or 3 for all red, then all green, then all blue values.
    pub channels: usize,
    /// The value that means white.
    pub white: f64,
}

/// Column names that usually hold the class.
const LABELS: [&str; 3] = ["label", "target", "class"];

/// Reads a CSV file; the first line may be a header.
///
/// # Errors
/// [`Error::Import`] naming line and column.
pub fn read(path: &Path, form: &Form<'_>) -> Result<Source> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_path(path)
        .map_err(|e| Error::import(path, e.to_string()))?;
    let mut rows = reader.records().enumerate().peekable();
    let header = match rows.peek() {
        Some((_, Ok(row))) if is_header(row) => rows.next().and_then(|(_, row)| row.ok()),
        _ => None,
    };
    let column = label_column(path, header.as_ref(), form.label)?;
    let mut raw: Vec<(String, Vec<u8>, usize)> = Vec::new();
    let mut width = None;
    for (index, row) in rows {
        let row = row.map_err(|e| Error::import(path, e.to_string()))?;
        let expected = *width.get_or_insert(row.len());
        if row.len() != expected {
            return Err(at(path, index, format!("{} columns, expected {expected}", row.len())));
        }
        let label = label_at(path, index, &row, column)?;
        raw.push((label, pixels(path, index, &row, column, form.white)?, index + 1));
    }
    let shape = shape(path, width.unwrap_or(0).saturating_sub(1), form)?;
    let classes = class_names(raw.iter().map(|(label, _, _)| label.as_str()));
    let train = raw.into_iter().map(|(label, pixels, line)| Sample {
        label: classes.iter().position(|class| *class == label).expect("classes were made of these labels"),
        pixels,
        origin: format!("{}:{line}", path.display()),
    });
    Ok(Source { shape, train: train.collect(), classes, test: Vec::new(), unreadable: Vec::new() })
}

fn at(path: &Path, index: usize, problem: String) -> Error {
    Error::import(path, format!("line {}: {problem}", index + 1))
}

fn label_at(path: &Path, index: usize, row: &csv::StringRecord, column: usize) -> Result<String> {
    let label = row.get(column).map(|label| label.trim().to_owned());
    label.ok_or_else(|| at(path, index, format!("no column {}, which should hold the class", column + 1)))
}

/// A header has names where the pixels would be.
fn is_header(row: &csv::StringRecord) -> bool {
    row.iter().filter(|field| field.trim().parse::<f64>().is_err()).count() > 1
}

fn label_column(path: &Path, header: Option<&csv::StringRecord>, wanted: Option<&str>) -> Result<usize> {
    let find = |name: &str| header.and_then(|row| row.iter().position(|field| field.trim() == name));
    match wanted {
        Some(name) => find(name).or_else(|| name.parse::<usize>().ok()?.checked_sub(1)).ok_or_else(|| {
            let names: Vec<&str> = header.map(|row| row.iter().take(5).collect()).unwrap_or_default();
            Error::import(path, format!("no column {name:?}; the header begins with {names:?}"))
        }),
        None => Ok(LABELS.iter().find_map(|name| find(name)).unwrap_or(0)),
    }
}

fn pixels(path: &Path, index: usize, row: &csv::StringRecord, label: usize, white: f64) -> Result<Vec<u8>> {
    let fields = row.iter().enumerate().filter(|(column, _)| *column != label);
    let pixel = |(column, field): (usize, &str)| {
        let value: f64 =
            field.trim().parse().ok().filter(|v: &f64| (0.0..=white).contains(v)).ok_or_else(|| {
                let problem = format!(
                    "column {}: {field:?}, expected 0 to {white}; --white says what white is",
                    column + 1
                );
                at(path, index, problem)
            })?;
        Ok((value / white * 255.0).round() as u8)
    };
    fields.map(pixel).collect()
}

fn shape(path: &Path, count: usize, form: &Form<'_>) -> Result<ImageShape> {
    let plane = count / form.channels.max(1);
    let side = plane.isqrt();
    let [height, width] = form.size.unwrap_or([side, side]);
    if count == 0 || height * width * form.channels != count {
        let problem = format!(
            "{count} values for an image, not {}x{height}x{width}; choose --size and --channels",
            form.channels
        );
        return Err(Error::import(path, problem));
    }
    Ok(ImageShape { channels: form.channels, height, width })
}

/// In the order of numbers if they are whole numbers, else of the alphabet.
fn class_names<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<String> {
    let distinct: std::collections::BTreeSet<&str> = labels.collect();
    let mut names: Vec<&str> = distinct.into_iter().collect();
    if let Ok(mut numbers) = names
        .iter()
        .map(|name| Ok((name.parse::<i64>()?, *name)))
        .collect::<std::result::Result<Vec<_>, std::num::ParseIntError>>()
    {
        numbers.sort_unstable();
        names = numbers.into_iter().map(|(_, name)| name).collect();
    }
    names.into_iter().map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form<'_> = Form { label: None, size: None, channels: 1, white: 16.0 };

    fn read_text(text: &str, form: &Form<'_>) -> std::result::Result<Source, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, form).map_err(|e| e.to_string())
    }

    #[test]
    fn with_and_without_a_header() {
        let plain = read_text("10,0,16,8,4\n9,1,2,3,4\n", &FORM).unwrap();
        assert_eq!(
            (plain.classes.clone(), plain.shape.height, plain.shape.width),
            (vec!["9".into(), "10".into()], 2, 2)
        );
        assert_eq!((plain.train[0].label, plain.train[0].pixels.clone()), (1, vec![0, 255, 128, 64]));
        assert_eq!(plain.train[1].origin.rsplit(':').next(), Some("2"));
        let named = read_text("a,b,c,d,target\n0,16,8,4,cat\n1,2,3,4,dog\n", &FORM).unwrap();
        assert_eq!(
            (named.classes, named.train[0].pixels.clone()),
            (vec!["cat".into(), "dog".into()], vec![0, 255, 128, 64])
        );
    }

    #[test]
    fn wrong_tables_are_refused_with_their_line() {
        let wide = Form { size: Some([3, 3]), ..FORM };
        let named = Form { label: Some("kind"), ..FORM };
        for (text, form, expected) in [
            ("1,0,16,8,4\n1,0,16,8\n", &FORM, "record 1 (line: 2, byte: 11): found record with 4 fields"),
            ("1,0,16,8,4\n2,0,17,8,4\n", &FORM, "line 2: column 3: \"17\", expected 0 to 16"),
            ("1,0,16,8,4\n2,0,x,8,4\n", &FORM, "line 2: column 3: \"x\""),
            ("1,0,16,NaN,4\n", &FORM, "column 4"),
            ("1,0,16,8\n", &FORM, "3 values for an image"),
            ("1,0,16,8,4\n", &wide, "4 values for an image, not 1x3x3"),
            ("a,b,c,d,target\n0,16,8,4,1\n", &named, "no column \"kind\""),
            ("", &FORM, "0 values for an image"),
        ] {
            let problem = read_text(text, form).unwrap_err();
            assert!(problem.contains(expected), "{text:?}: {problem}");
        }
    }
}

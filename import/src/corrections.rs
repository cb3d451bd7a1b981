//! What people found out about single images: which to leave out, and which have another class. Both are CSV files with a column
//! `sha256`, that of the pixels, as `images.csv` of a dataset and `trainer audit` have it.

use std::collections::HashMap;
use std::path::Path;

use datasets::Digest;

use crate::error::{Error, Result};
use crate::pipeline::Record;
use crate::report::LeftOut;

/// Largest file that is read.
const MAX_BYTES: u64 = 256 << 20;

/// What was corrected.
#[derive(Debug, Default)]
pub(crate) struct Corrected {
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) relabelled: usize,
    pub(crate) warnings: Vec<String>,
}

/// Leaves out and relabels.
///
/// # Errors
/// If a file cannot be read, names a class that is not there, or no image of the source.
pub(crate) fn correct(
    records: &mut Vec<Record>,
    classes: &[String],
    exclude: Option<&Path>,
    relabel: Option<&Path>,
) -> Result<Corrected> {
    let mut corrected = Corrected::default();
    if let Some(path) = relabel {
        let wanted = read(path, Some("suggested"))?;
        let mut found = HashMap::new();
        for record in records.iter_mut() {
            let Some((line, class)) = wanted.get(&record.digest) else { continue };
            let label = classes.iter().position(|known| known == class).ok_or_else(|| {
                Error::new(path, format!("line {line}: no class {class:?}; there are {classes:?}"))
            })?;
            record.label = label as u32;
            found.insert(record.digest, ());
        }
        corrected.relabelled = found.len();
        corrected.warnings.extend(missed(path, wanted.len(), found.len())?);
    }
    if let Some(path) = exclude {
        let wanted = read(path, None)?;
        let mut found = HashMap::new();
        let why = format!("excluded by {}", path.display());
        records.retain(|record| {
            let is_wanted = wanted.contains_key(&record.digest);
            if is_wanted {
                found.insert(record.digest, ());
                corrected.left_out.push(LeftOut { name: record.origin.to_string(), why: why.clone() });
            }
            !is_wanted
        });
        corrected.warnings.extend(missed(path, wanted.len(), found.len())?);
    }
    Ok(corrected)
}

/// Rows that name no image.
fn missed(path: &Path, wanted: usize, found: usize) -> Result<Option<String>> {
    if wanted > 0 && found == 0 {
        let hint = "--size, --channels, --white and --preprocessing must be as they were";
        return Err(Error::new(path, format!("none of its {wanted} images is in the source; {hint}")));
    }
    let missed = wanted - found;
    Ok((missed > 0).then(|| format!("{}: {missed} of {wanted} images are not in the source", path.display())))
}

/// Line and value of `column` for each image that a file names.
fn read(path: &Path, column: Option<&str>) -> Result<HashMap<Digest, (u64, String)>> {
    let text = datasets::files::read_text(path, MAX_BYTES).map_err(Error::io(path))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let broken = |error: csv::Error| Error::new(path, error.to_string());
    let header = reader.headers().map_err(broken)?.clone();
    let place = |name: &str| {
        header.iter().position(|field| field == name).ok_or_else(|| {
            let found: Vec<&str> = header.iter().take(12).collect();
            Error::new(path, format!("no column {name:?}; there are {found:?}"))
        })
    };
    let digest = place("sha256")?;
    let column = column.map(place).transpose()?;
    let mut images = HashMap::new();
    for row in reader.records() {
        let row = row.map_err(broken)?;
        let line = row.position().map_or(0, csv::Position::line);
        let value = column.and_then(|column| row.get(column)).unwrap_or_default().to_owned();
        let digest = row.get(digest).unwrap_or_default().parse().map_err(|_| {
            Error::new(path, format!("line {line}: sha256 {:?}, expected 64 digits", row.get(digest)))
        })?;
        if images.insert(digest, (line, value)).is_some() {
            return Err(Error::new(path, format!("line {line}: {digest} is there twice")));
        }
    }
    Ok(images)
}

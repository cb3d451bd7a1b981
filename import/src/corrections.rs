//! What people found out about single images: which to leave out, and which have another class. Both are CSV files with a column
//! `sha256`, that of the pixels, as `images.csv` of a dataset and `trainer audit` have it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use datasets::Digest;

use crate::error::{Error, Result};
use crate::newlines::{Newlines, line_of};
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
    let relabelled = relabel.map(|path| read(path, Some("suggested"))).transpose()?.unwrap_or_default();
    let excluded = exclude.map(|path| read(path, None)).transpose()?.unwrap_or_default();
    let in_both = relabelled.keys().find(|digest| excluded.contains_key(digest));
    if let (Some(path), Some(both)) = (relabel, in_both) {
        return Err(Error::new(path, format!("{both} is to be left out as well (--exclude)")));
    }
    if let Some(path) = relabel {
        let mut labels = HashMap::new();
        for (digest, (line, class)) in relabelled {
            let label = classes.iter().position(|known| *known == class).ok_or_else(|| {
                Error::new(path, format!("line {line}: no class {class:?}; there are {classes:?}"))
            })?;
            labels.insert(digest, label as u32);
        }
        let mut found = HashSet::new();
        for record in records.iter_mut() {
            let Some(&label) = labels.get(&record.digest) else { continue };
            found.insert(record.digest);
            corrected.relabelled += usize::from(record.label != label);
            record.label = label;
        }
        corrected.warnings.extend(missed(path, labels.len(), found.len())?);
    }
    if let Some(path) = exclude {
        let mut found = HashSet::new();
        let why = format!("excluded by {}", name(path));
        records.retain(|record| {
            let is_excluded = excluded.contains_key(&record.digest);
            if is_excluded {
                found.insert(record.digest);
                corrected.left_out.push(LeftOut { name: record.origin.to_string(), why: why.clone() });
            }
            !is_excluded
        });
        corrected.warnings.extend(missed(path, excluded.len(), found.len())?);
    }
    Ok(corrected)
}

fn name(path: &Path) -> String {
    path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
}

/// Rows that name no image.
fn missed(path: &Path, wanted: usize, found: usize) -> Result<Option<String>> {
    if wanted > 0 && found == 0 {
        let hint = "--size, --channels, --white and --preprocessing must be as they were";
        return Err(Error::new(path, format!("none of its {wanted} images is in the source; {hint}")));
    }
    let missed = wanted - found;
    Ok((missed > 0).then(|| format!("{}: {missed} of {wanted} images are not in the source", name(path))))
}

/// Line and value of `column` for each image that a file names.
fn read(path: &Path, column: Option<&str>) -> Result<HashMap<Digest, (u64, String)>> {
    let text = datasets::files::read_text(path, MAX_BYTES).map_err(Error::io(path))?;
    let text = text.trim_start_matches('\u{feff}');
    // Programs for tables save what they read with semicolons, in much of the world.
    let first = text.split(['\r', '\n']).next().unwrap_or_default();
    let delimiter = if first.contains(';') && !first.contains(',') { b';' } else { b',' };
    let lines = Newlines::new(text.as_bytes());
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(lines);
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
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(broken)? {
        let line = line_of(&reader, &row);
        let value = column.and_then(|column| row.get(column)).unwrap_or_default().to_owned();
        let digest = row.get(digest).unwrap_or_default().trim().parse().map_err(|_| {
            Error::new(path, format!("line {line}: sha256 {:?}, expected 64 digits", row.get(digest)))
        })?;
        if images.insert(digest, (line, value)).is_some() {
            return Err(Error::new(path, format!("line {line}: {digest} is there twice")));
        }
    }
    Ok(images)
}

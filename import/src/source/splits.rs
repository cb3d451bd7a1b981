//! The column of a list that says which images are to train on and which to test.

use std::path::Path;

use super::rows::Row;
use crate::error::{Error, Result};
use crate::item::Part;
use crate::layout::part;

/// Column names that usually hold the split.
pub(super) const USUAL: [&str; 4] = ["split", "set", "subset", "partition"];

/// Longest name of a split in bytes: paths may have such a word in them.
const LONGEST: usize = 24;

/// The split of every row, and what to tell of it.
pub(super) struct Found {
    pub(super) parts: Vec<Part>,
    pub(super) note: Option<String>,
}

fn is_usual(name: &str) -> bool {
    USUAL.iter().any(|usual| name.eq_ignore_ascii_case(usual))
}

/// Columns that may hold the splits: those that are usually called so first, then those in whose first rows every field says
/// one (`data set`, `Usage`, `phase`).
pub(super) fn candidates(header: &[String], start: &[Row], others: [usize; 2]) -> Vec<usize> {
    let says_split = |field: &str| field.len() <= LONGEST && part(field).is_some();
    let all_say = |column: usize| !start.is_empty() && start.iter().all(|row| says_split(row.field(column)));
    let columns = || (0..header.len()).filter(|column| !others.contains(column));
    let by_name = columns().filter(|&column| is_usual(&header[column]));
    by_name.chain(columns().filter(|&column| !is_usual(&header[column]) && all_say(column))).collect()
}

/// The splits of the first candidate that has some images to train on and some for another purpose. One that is not usually
/// called so must say a split in every row: `train`, `bus` are classes.
///
/// # Errors
/// If a column that is usually called so has splits, and a row without one.
pub(super) fn of_rows(path: &Path, header: &[String], table: &[Row], candidates: &[usize]) -> Result<Found> {
    let mut unused = Vec::new();
    for &column in candidates {
        let found: Vec<Option<Part>> = table.iter().map(|row| part(row.field(column))).collect();
        let has_splits =
            found.contains(&Some(Part::Train)) && found.iter().flatten().any(|part| *part != Part::Train);
        let name = &header[column];
        let without = found.iter().position(Option::is_none);
        match (has_splits, without) {
            (true, None) => {
                let note = Some(format!("{name:?} has the splits"));
                return Ok(Found { parts: found.into_iter().flatten().collect(), note });
            }
            (true, Some(row)) if is_usual(name) => {
                let (line, split) = (table[row].line, table[row].field(column));
                let problem = format!("line {line}: split {split:?}, expected train, validation or test");
                return Err(Error::new(path, problem));
            }
            _ => unused.push(name),
        }
    }
    let note = (!unused.is_empty()).then(|| {
        format!(
            "{unused:?} not used as splits: expected train in some rows, and test or validation in all others"
        )
    });
    Ok(Found { parts: vec![Part::All; table.len()], note })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str], rows: &[&[&str]]) -> Result<Found> {
        let header: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let fields = |row: &[&str]| row.iter().enumerate().map(|(at, field)| (at, (*field).into())).collect();
        let table: Vec<Row> = (1..).zip(rows).map(|(line, row)| Row { line, fields: fields(row) }).collect();
        let start = &table[..table.len().min(2)];
        // The first two columns are the file's and the class'.
        let start: Vec<Row> =
            start.iter().map(|row| Row { line: row.line, fields: row.fields.clone() }).collect();
        of_rows(Path::new("l.csv"), &header, &table, &candidates(&header, &start, [0, 1]))
    }

    #[test]
    fn splits_are_found_by_what_a_column_holds() {
        use Part::{All, Test, Train};
        let two = |one, other| [["a", "x", one], ["b", "y", other]];
        for (name, fields, expected) in [
            ("split", ["train", "test"], [Train, Test]),
            ("data set", ["Train", "TEST"], [Train, Test]),
            ("superclass", ["train", "train"], [All, All]),
            ("set", ["A", "B"], [All, All]),
        ] {
            let rows = two(fields[0], fields[1]);
            let rows: Vec<&[&str]> = rows.iter().map(|row| row.as_slice()).collect();
            assert_eq!(found(&["f", "c", name], &rows).unwrap().parts, expected, "{name}");
        }
        // One that has none does not hide another, and later rows count.
        let rows: [&[&str]; 3] =
            [&["a", "x", "valid", "train"], &["b", "y", "valid", "test"], &["c", "y", "valid", "train"]];
        assert_eq!(found(&["f", "c", "quality", "phase"], &rows).unwrap().parts, [Train, Test, Train]);
        let rows: [&[&str]; 3] = [&["a", "x", "train"], &["b", "y", "test"], &["c", "y", "extra"]];
        assert_eq!(found(&["f", "c", "original"], &rows).unwrap().parts, [All; 3]);
        assert!(found(&["f", "c", "split"], &rows).is_err());
    }
}

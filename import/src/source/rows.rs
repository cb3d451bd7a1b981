//! Rows of text with or without a header: CSV with any usual separator, gzipped or not, and JSON lines.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};
use crate::newlines::{Newlines, line_of};
use crate::tree::MAX_FILES;

/// Column names that usually hold the class.
pub(super) const LABELS: [&str; 11] = [
    "label",
    "labels",
    "target",
    "class",
    "class_name",
    "classname",
    "category",
    "diagnosis",
    "breed",
    "species",
    "y",
];
/// Separators; of those that are equally frequent in a line the first: commas may stand for the points of numbers.
const SEPARATORS: [u8; 4] = [b';', b'\t', b'|', b','];
/// Longest row in bytes.
const MAX_ROW: usize = 16 << 20;

/// A file of rows, opened.
pub(crate) struct Rows {
    /// Names of the columns, if the file has them.
    pub(crate) header: Option<Vec<String>>,
    pub(crate) separator: u8,
    reader: csv::Reader<Box<dyn Read>>,
    /// The first row and its line, if it is no header.
    first: Option<(u64, csv::StringRecord)>,
    /// Bytes that were read since the last row.
    read: Rc<Cell<usize>>,
}

impl Rows {
    /// Opens a table. The first line is a header if most of its fields are no numbers and `is_text` does not say that all
    /// rows are so, or if it names a column of classes.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn open(path: &Path, is_text: bool) -> Result<Rows> {
        let read = Rc::default();
        let mut reader = opened(path, Rc::clone(&read))?;
        let start = reader.fill_buf().map_err(Error::io(path))?;
        let line =
            start.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
        let count = |separator: u8| line.iter().filter(|&&byte| byte == separator).count();
        let separator = SEPARATORS
            .into_iter()
            .rev()
            .max_by_key(|&separator| count(separator))
            .filter(|&separator| count(separator) > 0)
            // As lists of `path label` have it; names may hold spaces where something else separates.
            .unwrap_or(if count(b' ') > 0 { b' ' } else { b',' });
        let reader: Box<dyn Read> = Box::new(reader);
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).delimiter(separator).from_reader(reader);
        let mut first = csv::StringRecord::new();
        let has_first = reader.read_record(&mut first).map_err(|error| broken(path, &error))?;
        let words = first.iter().filter(|field| number(field, separator).is_none()).count();
        let names_label = first.iter().any(|field| LABELS.contains(&field.trim().to_lowercase().as_str()));
        let is_header = has_first && (names_label || !is_text && words > 1 && 2 * words > first.len());
        let header = is_header.then(|| first.iter().map(|field| field.trim().to_owned()).collect());
        let first = (has_first && !is_header).then(|| (line_of(&reader, &first), first));
        Ok(Rows { header, separator, reader, first, read })
    }

    /// The column with the class: as asked for by name or number from 1, or one that is usually called so, or the first.
    ///
    /// # Errors
    /// If there is no such column.
    pub(crate) fn label_column(&self, path: &Path, wanted: Option<&str>) -> Result<Option<usize>> {
        let find = |name: &str| {
            let header = self.header.as_ref()?;
            header.iter().position(|field| field.eq_ignore_ascii_case(name))
        };
        let Some(name) = wanted else { return Ok(LABELS.iter().find_map(|name| find(name))) };
        let column = find(name).or_else(|| name.parse::<usize>().ok()?.checked_sub(1));
        column.map(Some).ok_or_else(|| {
            let names: Vec<&String> = self.header.iter().flatten().take(5).collect();
            Error::new(path, format!("no column {name:?}; the header begins with {names:?}"))
        })
    }

    /// Fields of the first rows: of columns that are wanted; of the first row, which may be a header, all.
    ///
    /// # Errors
    /// Rows of another length, or too many of them.
    pub(crate) fn take(
        mut self,
        path: &Path,
        most: usize,
        wants: &dyn Fn(usize) -> bool,
    ) -> Result<Vec<Row>> {
        let fields = |row: &csv::StringRecord, wants: &dyn Fn(usize) -> bool| {
            let fields = row.iter().enumerate().filter(|(column, _)| wants(*column));
            fields.map(|(column, field)| (column, field.to_owned())).collect()
        };
        let first = self.first.take();
        let mut table: Vec<Row> =
            first.iter().map(|(line, row)| Row { line: *line, fields: fields(row, &|_| true) }).collect();
        let mut row = csv::StringRecord::new();
        while table.len() < most
            && let Some(line) = self.next(path, &mut row)?
        {
            check_count(path, table.len())?;
            table.push(Row { line, fields: fields(&row, wants) });
        }
        Ok(table)
    }

    /// Reads a row, if there is one more; returns its line.
    fn next(&mut self, path: &Path, row: &mut csv::StringRecord) -> Result<Option<u64>> {
        self.read.set(0);
        let is_there = self.reader.read_record(row).map_err(|error| broken(path, &error))?;
        Ok(is_there.then(|| line_of(&self.reader, row)))
    }

    /// Every row with the number of its line.
    ///
    /// # Errors
    /// Those of `each`, and rows of another length.
    pub(crate) fn each(
        mut self,
        path: &Path,
        each: &mut dyn FnMut(u64, &csv::StringRecord) -> Result<()>,
    ) -> Result<()> {
        if let Some((line, first)) = &self.first {
            each(*line, first)?;
        }
        let mut row = csv::StringRecord::new();
        while let Some(line) = self.next(path, &mut row)? {
            each(line, &row)?;
        }
        Ok(())
    }
}

/// A row of a list in memory.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) line: u64,
    /// Numbers of columns from 0, and what is in them: not of all columns, of which others may name thousands.
    pub(crate) fields: Vec<(usize, String)>,
}

impl Row {
    /// The field of a column; empty if there is none.
    pub(crate) fn field(&self, column: usize) -> &str {
        let field = self.fields.iter().find(|(at, _)| *at == column);
        field.map_or("", |(_, field)| field.trim())
    }
}

/// Whether a label is a whole number that no other is read as: beyond 2^53, two may be one float.
pub(super) fn is_exact(value: f64) -> bool {
    value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0
}

/// Refuses one row more.
///
/// # Errors
/// If there are as many as may be.
pub(crate) fn check_count(path: &Path, rows: usize) -> Result<()> {
    match rows < MAX_FILES {
        true => Ok(()),
        false => Err(Error::new(path, format!("more than {MAX_FILES} rows"))),
    }
}

/// `3.0` is the class 3: programs for tables write whole numbers so beside a field that is empty.
pub(crate) fn whole(label: &str) -> &str {
    match label.strip_suffix(".0") {
        Some(number) if number.parse::<i64>().is_ok() => number,
        _ => label,
    }
}

/// A number; with semicolons between fields, a comma may stand for the point.
pub(crate) fn number(field: &str, separator: u8) -> Option<f64> {
    let field = field.trim();
    match (field.parse().ok(), separator) {
        (None, b';') => field.replacen(',', ".", 1).parse().ok(),
        (found, _) => found,
    }
}

fn broken(path: &Path, error: &csv::Error) -> Error {
    Error::new(path, error.to_string())
}

/// The text of a file, unpacked, without a byte order mark.
fn opened(path: &Path, read: Rc<Cell<usize>>) -> Result<BufReader<Box<dyn Read>>> {
    let file: File = crate::error::open(path)?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let packed = reader.fill_buf().map_err(Error::io(path))?.starts_with(&[0x1f, 0x8b]);
    let inner: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
    let limited: Box<dyn Read> = Box::new(Newlines::new(RowLimit { inner, read }));
    let mut reader = BufReader::with_capacity(1 << 16, limited);
    if reader.fill_buf().map_err(Error::io(path))?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    Ok(reader)
}

/// A reader that gives up where a row does not end: a quote that nobody closes, or zeros that were packed to little.
struct RowLimit {
    inner: Box<dyn Read>,
    read: Rc<Cell<usize>>,
}

impl Read for RowLimit {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.read.get() > MAX_ROW {
            return Err(std::io::Error::new(
                ErrorKind::InvalidData,
                format!("a row of more than {MAX_ROW} bytes"),
            ));
        }
        let count = self.inner.read(buffer)?;
        self.read.set(self.read.get() + count);
        Ok(count)
    }
}

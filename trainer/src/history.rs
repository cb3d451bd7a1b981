//! What happened in each epoch.

use std::path::Path;

use datasets::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// One epoch; a row of `history.csv`.
///
/// Holds no times: the file is hashed, and two runs of one recipe must give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// From 1.
    pub epoch: u32,
    /// At the last step of the epoch.
    pub learning_rate: f64,
    /// Mean over the (augmented) training images.
    pub train_loss: f64,
    /// Share of the (augmented) training images.
    pub train_accuracy: f64,
    /// Mean cross-entropy over the validation images; absent without any.
    pub validation_loss: Option<f64>,
    /// Share of the validation images.
    pub validation_accuracy: Option<f64>,
    /// sha256 of the parameters that were validated: a chain that names the first epoch in which two runs differ.
    pub parameters_sha256: Digest,
}

/// The rows as CSV text.
///
/// # Errors
/// Never for rows that training made.
pub(crate) fn to_csv(rows: &[EpochRow]) -> Result<String> {
    let wrong = |e: String| Error::run(Path::new("history.csv"), e);
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|e| wrong(e.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|e| wrong(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| wrong(e.to_string()))
}

/// The rows of CSV text; `path` is only for the error.
///
/// # Errors
/// [`Error::Run`] names the line, or the epoch and the field.
pub(crate) fn parse_csv(text: &str, path: &Path) -> Result<Vec<EpochRow>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.deserialize().map(|row| row.map_err(|e| Error::run(path, e.to_string())));
    let rows = rows.collect::<Result<Vec<EpochRow>>>()?;
    check(&rows, path)?;
    Ok(rows)
}

/// Whether rows are those that training can make: epochs from 1 without a gap, finite losses, shares from 0 to 1.
///
/// # Errors
/// [`Error::Run`] names the epoch and the field.
pub(crate) fn check(rows: &[EpochRow], path: &Path) -> Result<()> {
    for (index, row) in rows.iter().enumerate() {
        let wrong = |field: &str, found: &dyn std::fmt::Debug, expected: &str| {
            Err(Error::run(
                path,
                format!("epoch {}: {field}: found {found:?}, expected {expected}", index + 1),
            ))
        };
        if row.epoch as usize != index + 1 {
            return wrong("epoch", &row.epoch, &(index + 1).to_string());
        }
        let numbers = [
            ("learning_rate", Some(row.learning_rate)),
            ("train_loss", Some(row.train_loss)),
            ("validation_loss", row.validation_loss),
        ];
        for (field, number) in numbers.into_iter().filter_map(|(field, number)| Some((field, number?))) {
            if !number.is_finite() {
                return wrong(field, &number, "a finite number");
            }
        }
        let shares =
            [("train_accuracy", Some(row.train_accuracy)), ("validation_accuracy", row.validation_accuracy)];
        for (field, share) in shares.into_iter().filter_map(|(field, share)| Some((field, share?))) {
            if !(0.0..=1.0).contains(&share) {
                return wrong(field, &share, "0 to 1");
            }
        }
    }
    Ok(())
}

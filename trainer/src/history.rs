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
/// [`Error::Run`] names the line.
pub(crate) fn parse_csv(text: &str, path: &Path) -> Result<Vec<EpochRow>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.map_err(|e| Error::run(path, e.to_string()))).collect()
}

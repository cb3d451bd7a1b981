//! Reports of people who retrained a version.

use std::collections::BTreeSet;

use serde::Serialize;

/// What somebody who retrained a version reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reproduction {
    /// The report's file beside the signatures.
    pub file: String,
    /// The hint of the key that it names, see [`PublicKey::hint`](super::PublicKey::hint).
    pub key: String,
    /// Whether retraining gave the published weights, or some as good.
    pub passed: bool,
    /// Outcome and claim: [`WHOLE`], `bit-identical/first-epochs`, `equivalent/whole`.
    pub test: String,
    /// Processor that retrained; absent in reports that do not say.
    pub processor: Option<String>,
    /// Epochs that were retrained for the report; absent in reports that do not say.
    pub epochs_retrained: Option<u32>,
}

/// The strongest test of a report: every epoch retrained from the seed, every file the same.
pub const WHOLE: &str = "bit-identical/whole";

/// Processors on which somebody says to have retrained everything to the same bytes, each once.
pub fn processors(reports: &[Reproduction]) -> Vec<&str> {
    let whole = reports.iter().filter(|report| report.passed && report.test == WHOLE);
    let kinds: BTreeSet<&str> = whole.filter_map(|report| report.processor.as_deref()).collect();
    kinds.into_iter().collect()
}

/// What a signed report on a retraining says.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// See [`Reproduction::test`].
    pub test: &'a str,
    /// See [`Reproduction::passed`].
    pub passed: bool,
    /// Processor that retrained.
    pub processor: &'a str,
    /// Everything else; kept as it is, and expected to have `processor` and `epochs_retrained`.
    pub details: &'a serde_json::Value,
}

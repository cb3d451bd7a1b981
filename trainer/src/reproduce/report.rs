//! What a reproduction found, in words for a signed report.

use std::path::PathBuf;

use datasets::Digest;
use serde::Serialize;
use zoo::signature::PrivateKey;
use zoo::{Count, VersionDir, Zoo};

use super::files::FileComparison;
use crate::error::{Error, Result};

/// How a retrained model compares with the published one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that was compared is the same, to the byte.
    BitIdentical,
    /// Other bytes, but the accuracy differs by less than two standard errors.
    Equivalent,
    /// Other bytes, and another accuracy or too few epochs to compare it.
    Different,
    /// The version's own files contradict each other; nothing was trained.
    Inconsistent,
    /// This machine does not compute what the profile promises; nothing was trained.
    OtherArithmetic,
}

/// How much was retrained, here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// Every epoch, from the seed; all files that follow from the weights were compared.
    Whole,
    /// The first epochs, from the seed; the hashes of their weights were compared.
    FirstEpochs,
    /// The epochs after a checkpoint, which is believed.
    Segment,
    /// Nothing.
    Nothing,
}

/// Where a segment began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Start {
    /// Folder of the run that left the checkpoint.
    pub run: String,
    /// sha256 of the checkpoint.
    pub checkpoint_sha256: Digest,
    /// Epochs that were finished before, by whoever made it.
    pub finished_epochs: u32,
    /// Steps into the next epoch.
    pub step: usize,
}

/// Outcome of a reproduction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reproduction {
    /// `name@version`.
    pub model: String,
    /// The outcome.
    pub verdict: Verdict,
    /// What was retrained.
    pub claim: Claim,
    /// Epochs of the recipe.
    pub epochs: u32,
    /// Epochs that were retrained from their first step, here and now.
    pub epochs_retrained: u32,
    /// The checkpoint that a segment began from.
    pub start: Option<Start>,
    /// The first of the retrained epochs whose hash differs.
    pub first_different_epoch: Option<u32>,
    /// The published files beside those of the retrained model, if the last epoch was reached.
    pub files: Vec<FileComparison>,
    /// Comparison of the finished models, if all epochs were run and they differ.
    pub difference: Option<Difference>,
    /// Why nothing was trained.
    pub problems: Vec<String>,
    /// Whether this machine gave the recipe's numeric profile.
    pub numeric_profile_in_force: bool,
    /// This machine's processor.
    pub processor: String,
    /// The processor that trained the published model.
    pub published_processor: String,
    /// This machine's libtorch.
    pub libtorch: String,
}

/// How far two finished models are apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Largest difference of a parameter.
    pub max_delta: f64,
    /// Right answers of the retrained model on the test split.
    pub test: Count,
    /// Right answers of the published one.
    pub published_test: Count,
    /// Test images that both give the same class.
    pub same_predictions: Count,
}

impl Verdict {
    /// Whether retraining gave the published model, or one as good.
    pub fn passed(self) -> bool {
        matches!(self, Verdict::BitIdentical | Verdict::Equivalent)
    }
}

impl Reproduction {
    /// Signs the outcome; the report lies beside the version's signatures, one for each key, processor
    /// and claim.
    ///
    /// # Errors
    /// If nothing was retrained, the version is damaged or the file cannot be written.
    pub fn sign(&self, zoo: &Zoo, version: &VersionDir, key: &PrivateKey) -> Result<PathBuf> {
        let wrong = |problem: String| Error::run(&version.path, problem);
        if self.epochs_retrained == 0 {
            return Err(wrong("nothing was retrained, so there is nothing to sign".into()));
        }
        let word = |value: serde_json::Result<serde_json::Value>| match value {
            Ok(serde_json::Value::String(word)) => word,
            _ => unreachable!("a variant without fields is a string"),
        };
        let test = format!(
            "{}/{}",
            word(serde_json::to_value(self.verdict)),
            word(serde_json::to_value(self.claim))
        );
        let details = serde_json::to_value(self).map_err(|e| wrong(e.to_string()))?;
        let report = zoo::signature::Report {
            test: &test,
            passed: self.verdict.passed(),
            processor: &self.processor,
            details: &details,
        };
        Ok(zoo.sign_reproduction(version, key, &report)?)
    }
}

impl Difference {
    /// Whether the accuracies differ by at most two standard errors of their difference.
    pub(super) fn within_noise(&self) -> bool {
        let (p, q) = (self.test.share(), self.published_test.share());
        let total = self.test.total.max(1) as f64;
        let variance = (p * (1.0 - p) + q * (1.0 - q)) / total;
        (p - q).abs() <= 2.0 * variance.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equivalence_is_within_two_standard_errors() {
        let difference = |correct| Difference {
            max_delta: 1.0,
            test: Count { correct, total: 10_000 },
            published_test: Count { correct: 9300, total: 10_000 },
            same_predictions: Count { correct: 9000, total: 10_000 },
        };
        assert!(difference(9350).within_noise());
        assert!(!difference(9200).within_noise());
    }
}

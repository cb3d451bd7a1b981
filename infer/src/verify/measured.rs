//! What is measured anew: the dataset, accuracy, every prediction, confidence, damage.

use std::collections::BTreeSet;
use std::fmt::Display;

use datasets::{Dataset, FileEntry, ImageShape, Samples};
use zoo::{ClassCount, Confidence, Manifest, TestResult, VersionDir};

use super::{Check, Outcome, Report};
use crate::confidence::{self, Predictions};
use crate::corruptions::{self, Corruptions};
use crate::evaluate::Evaluation;
use crate::session::Session;

/// Largest difference of a mean probability that rounding on another processor can make.
const ROUNDING: f64 = 1e-4;

/// What a version's thresholds give on the test split is what it claims.
fn check_confidence(claimed: &Confidence, test: Predictions<'_>) -> Outcome {
    let mut found = claimed.clone();
    confidence::measure(&mut found, test);
    let mut wrong = Vec::new();
    let bins = |confidence: &Confidence| confidence.bins.iter().map(|bin| bin.correct).collect::<Vec<_>>();
    let close = |a: f64, b: f64| (a - b).abs() <= ROUNDING;
    let same_bins = bins(&found) == bins(claimed)
        && found.bins.iter().zip(&claimed.bins).all(|(a, b)| close(a.confidence, b.confidence));
    if !same_bins || !close(found.calibration_error, claimed.calibration_error) {
        let (found, claimed) = (found.calibration_error, claimed.calibration_error);
        wrong.push(format!("calibration error {found:.4}, claimed {claimed:.4}, or its bins differ"));
    }
    wrong.extend(confidence::differences(claimed, test));
    let at = found.coverage.iter().map(|c| format!("{} of {}", c.covered, c.promised)).collect::<Vec<_>>();
    let good = format!("calibration error {:.4}, coverage {}", found.calibration_error, at.join(", "));
    if wrong.is_empty() { Ok(good) } else { Err(wrong.join("; ")) }
}

fn check_corruptions(claimed: &Corruptions, session: &Session, samples: &datasets::Samples) -> Outcome {
    let found = corruptions::measure(session, samples).map_err(|e| e.to_string())?;
    let mean = 100.0 * corruptions::mean(&found);
    let kinds: BTreeSet<&String> = claimed.keys().chain(found.keys()).collect();
    let other = kinds.into_iter().filter(|&kind| found.get(kind) != claimed.get(kind));
    let other: Vec<&str> = other.map(String::as_str).collect();
    if other.is_empty() {
        Ok(format!("{mean:.2} % on average over {} kinds", found.len()))
    } else {
        Err(format!("{mean:.2} % on average; other counts than claimed for {}", other.join(", ")))
    }
}

/// The number of right answers, in all and of each class, is the claimed one.
fn check_accuracy(claimed: &TestResult, found: &Evaluation) -> Outcome {
    let all = as_claimed(found.correct.to_string(), found.correct == claimed.correct, &claimed.correct)?;
    let count = |ClassCount { label, correct }: &ClassCount| format!("{label} {correct}");
    let both = found.per_class.iter().zip(&claimed.per_class).filter(|(found, claimed)| found != claimed);
    let mut wrong: Vec<String> =
        both.map(|(found, claimed)| format!("{}, claimed {}", count(found), count(claimed))).collect();
    let (of_found, of_claimed) = (found.per_class.len(), claimed.per_class.len());
    if of_found != of_claimed {
        wrong.push(format!("{of_found} classes, claimed {of_claimed}"));
    }
    if wrong.is_empty() { Ok(all) } else { Err(format!("{all}, but {}", wrong.join("; "))) }
}

/// Adds what the test split gives to a report.
pub(super) fn check_measured(
    version: &VersionDir,
    session: &Session,
    dataset: &Dataset,
    samples: &Samples,
    with_corruptions: bool,
    report: &mut Report,
) {
    let manifest = &version.manifest;
    if !report.add(Check::Dataset, check_dataset(manifest, dataset, samples.shape)) {
        return;
    }
    let probabilities = match crate::evaluate::probabilities(session, samples) {
        Ok(probabilities) => probabilities,
        Err(error) => {
            report.add(Check::Accuracy, Err(error.to_string()));
            return;
        }
    };
    let found = Evaluation::of(&probabilities, samples, &manifest.labels);
    let claimed = &manifest.test;
    report.add(Check::Accuracy, check_accuracy(claimed, &found));
    let (sha256, claimed) = (found.predictions_sha256(), claimed.predictions_sha256);
    report.add(Check::Predictions, as_claimed(format!("sha256 {sha256}"), sha256 == claimed, &claimed));
    if let Some(claimed) = &manifest.confidence {
        let classes = manifest.labels.len();
        let test = Predictions { probabilities: &probabilities, labels: &samples.labels, classes };
        report.add(Check::Confidence, check_confidence(claimed, test));
    }
    if let (Some(claimed), true) = (&manifest.corruptions, with_corruptions) {
        report.add(Check::Corruptions, check_corruptions(claimed, session, samples));
    }
}

/// Whether a dataset is the one that a manifest names.
fn check_dataset(manifest: &Manifest, dataset: &Dataset, shape: ImageShape) -> Outcome {
    let (claimed, classes) = (&manifest.dataset, &dataset.description.classes);
    let other = |entry: &&FileEntry| claimed.files.get(&entry.file) != Some(&entry.sha256);
    if let Some(FileEntry { file, sha256, .. }) = dataset.files().into_iter().find(other) {
        let expected = claimed.files.get(file).map_or("no such file".into(), ToString::to_string);
        return Err(format!("{file}: sha256 {sha256}, expected {expected}"));
    }
    let (files, expected) = (claimed.files.len(), dataset.files().len());
    if files != expected {
        return Err(format!("dataset.files: {files} files, expected {expected}"));
    }
    let sizes = |shape: ImageShape| [shape.channels, shape.height, shape.width];
    if shape != manifest.image_shape() || classes.len() != manifest.labels.len() {
        return Err(format!(
            "images {:?} of {} classes, expected {:?} of {}",
            sizes(shape),
            classes.len(),
            sizes(manifest.image_shape()),
            manifest.labels.len()
        ));
    }
    if *classes != manifest.labels {
        return Err(format!("labels: {:?}, expected the dataset's classes {classes:?}", manifest.labels));
    }
    Ok(claimed.name.clone())
}

/// What was found, and where it is another, what was claimed.
fn as_claimed(found: String, is_same: bool, claimed: &dyn Display) -> Outcome {
    if is_same { Ok(found) } else { Err(format!("{found}, claimed {claimed}")) }
}

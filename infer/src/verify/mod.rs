//! Re-checking everything that a published version claims.

use std::path::Path;

use datasets::{Dataset, ImageShape, Split};
use serde::Serialize;
use zoo::signature::PublicKey;
use zoo::{Confidence, Spec, VersionDir, Zoo};

use crate::confidence::{self, Predictions};
use crate::corruptions::{self, Corruptions};
use crate::error::Result;
use crate::evaluate::Evaluation;
use crate::golden::Golden;
use crate::session::Session;
use crate::threads;

/// One kind of check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The manifest parses, follows its schema and names the folder it is in.
    Manifest,
    /// Every file has its length and hash, none is missing or extra.
    Files,
    /// The key that was given signed exactly these files.
    Signature,
    /// The network gives what libtorch gave.
    Golden,
    /// The dataset's files have the hashes that the manifest names, and its images and classes fit the network.
    Dataset,
    /// The number of right answers on the test split is exactly the claimed one.
    Accuracy,
    /// Every single prediction is the claimed one.
    Predictions,
    /// Calibration, coverage and acceptance on the test split are those claimed.
    Confidence,
    /// Right answers on the damaged test split are exactly those claimed.
    Corruptions,
}

/// Outcome of one check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// Whether it held.
    pub ok: bool,
    /// What was measured.
    pub detail: String,
}

/// All findings for one version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// `name@version`.
    pub model: String,
    /// In the order of the checks; later ones are left out where an earlier one makes them meaningless.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether everything held.
    pub fn ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.ok)
    }

    fn add(&mut self, check: Check, outcome: std::result::Result<String, String>) -> bool {
        let ok = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|problem| problem);
        self.findings.push(Finding { check, ok, detail });
        ok
    }
}

/// What to check versions against.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Folder of the datasets.
    pub datasets: &'a Path,
    /// The key that must have signed every version.
    pub key: Option<&'a PublicKey>,
    /// Also damage the test split in all ways and count again: a minute for each version.
    pub corruptions: bool,
}

/// Checks versions, as many at a time as there are processors; reports come in the order of `specs`.
///
/// # Errors
/// As for [`verify`].
pub fn verify_all(zoo: &Zoo, specs: &[Spec], options: &Options<'_>) -> Result<Vec<Report>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut reports = Vec::with_capacity(specs.len());
    for group in specs.chunks(processors) {
        reports.extend(threads::map(group, |spec| verify(zoo, spec, options))?);
    }
    reports.into_iter().collect()
}

/// Checks one version; what does not hold is in the report, not an error.
///
/// # Errors
/// [`crate::Error::Zoo`] if there is no such version.
pub fn verify(zoo: &Zoo, spec: &Spec, options: &Options<'_>) -> Result<Report> {
    let mut report = Report { model: spec.to_string(), findings: Vec::new() };
    let version = match zoo.version(spec) {
        Ok(version) => version,
        Err(error @ zoo::Error::NotFound { .. }) => return Err(error.into()),
        Err(error) => {
            report.add(Check::Manifest, Err(error.to_string()));
            return Ok(report);
        }
    };
    report.model = format!("{}@{}", version.manifest.name, version.manifest.version);
    report.add(Check::Manifest, Ok(format!("schema {}", version.manifest.schema)));
    let files = report.add(Check::Files, check_files(&version));
    if let Some(key) = options.key {
        let outcome = zoo.verify_signature(&version, key);
        report.add(
            Check::Signature,
            outcome.map(|signed| format!("{} files", signed.len())).map_err(|e| e.to_string()),
        );
    }
    if files {
        match load(&version) {
            Ok(session) => {
                report.add(Check::Golden, check_golden(&version, &session));
                check_accuracy(&version, &session, options.datasets, options.corruptions, &mut report);
            }
            Err(problem) => {
                report.add(Check::Golden, Err(problem));
            }
        }
    }
    Ok(report)
}

/// Every file has its length and hash, none is missing or extra.
///
/// # Errors
/// Every file that is not.
pub fn check_files(version: &VersionDir) -> std::result::Result<String, String> {
    let problems = version.problems().map_err(|e| e.to_string())?;
    match problems.as_slice() {
        [] => Ok(format!("{} files", version.manifest.files.len())),
        _ => Err(problems
            .iter()
            .map(|(file, problem)| format!("{file}: {problem}"))
            .collect::<Vec<_>>()
            .join("; ")),
    }
}

fn load(version: &VersionDir) -> std::result::Result<Session, String> {
    let manifest = &version.manifest;
    let onnx = version.read(zoo::ONNX).map_err(|e| e.to_string())?;
    let path = version.path.join(zoo::ONNX);
    Session::load(onnx, manifest.image_shape(), manifest.labels.len(), &path).map_err(|e| e.to_string())
}

/// The network gives what libtorch gave.
///
/// # Errors
/// By how much it does not, or why it cannot be known.
pub fn check_golden(version: &VersionDir, session: &Session) -> std::result::Result<String, String> {
    let golden = Golden::read(version).map_err(|e| e.to_string())?;
    let difference = golden.max_difference(session).map_err(|e| e.to_string())?;
    let tolerance = version.manifest.self_check.tolerance;
    let detail = format!("{} images, max |difference| {difference:.1e}", golden.shape[0]);
    if f64::from(difference) <= tolerance {
        Ok(detail)
    } else {
        Err(format!("{detail}, expected at most {tolerance:.0e}"))
    }
}

/// Largest difference of a mean probability that rounding on another processor can make.
const ROUNDING: f64 = 1e-4;

/// What a version's thresholds give on the test split is what it claims.
fn check_confidence(claimed: &Confidence, test: Predictions<'_>) -> std::result::Result<String, String> {
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
    for (found, claimed) in found.coverage.iter().zip(&claimed.coverage).filter(|(a, b)| a != b) {
        let promised = claimed.promised;
        wrong.push(format!("coverage {promised}: {}, claimed {}", found.covered, claimed.covered));
    }
    if found.unlike != claimed.unlike {
        wrong.push(format!("accepted {}, claimed {}", found.unlike.accepted, claimed.unlike.accepted));
    }
    let at = found.coverage.iter().map(|c| format!("{} of {}", c.covered, c.promised)).collect::<Vec<_>>();
    let good = format!("calibration error {:.4}, coverage {}", found.calibration_error, at.join(", "));
    if wrong.is_empty() { Ok(good) } else { Err(wrong.join("; ")) }
}

fn check_corruptions(
    claimed: &Corruptions,
    session: &Session,
    samples: &datasets::Samples,
) -> std::result::Result<String, String> {
    let found = corruptions::measure(session, samples).map_err(|e| e.to_string())?;
    let mean = 100.0 * corruptions::mean(&found);
    let other: Vec<&str> = claimed
        .iter()
        .filter(|(kind, counts)| found.get(*kind) != Some(counts))
        .map(|(kind, _)| kind.as_str())
        .collect();
    if other.is_empty() && found.len() == claimed.len() {
        Ok(format!("{mean:.2} % on average over {} kinds", found.len()))
    } else {
        Err(format!("{mean:.2} % on average; other counts than claimed for {}", other.join(", ")))
    }
}

fn check_accuracy(
    version: &VersionDir,
    session: &Session,
    datasets: &Path,
    with_corruptions: bool,
    report: &mut Report,
) {
    let claimed = &version.manifest.dataset;
    let loaded = Dataset::find(datasets, &claimed.name).and_then(|dataset| {
        let samples = dataset.load(Split::Test)?;
        Ok((dataset, samples))
    });
    let (dataset, samples) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            report.add(Check::Dataset, Err(error.to_string()));
            return;
        }
    };
    let differs =
        dataset.files().into_iter().find(|entry| claimed.files.get(&entry.file) != Some(&entry.sha256));
    let manifest = &version.manifest;
    let (shape, classes) = (samples.shape, dataset.description.classes.len());
    let outcome = match differs {
        None if shape == manifest.image_shape() && classes == manifest.labels.len() => {
            Ok(claimed.name.clone())
        }
        None => {
            let sizes = |shape: ImageShape| [shape.channels, shape.height, shape.width];
            Err(format!(
                "images {:?} of {classes} classes, expected {:?} of {}",
                sizes(shape),
                sizes(manifest.image_shape()),
                manifest.labels.len()
            ))
        }
        Some(entry) => Err(format!(
            "{}: sha256 {}, expected {:?}",
            entry.file,
            entry.sha256,
            claimed.files.get(&entry.file)
        )),
    };
    if !report.add(Check::Dataset, outcome) {
        return;
    }
    match crate::evaluate::probabilities(session, &samples) {
        Err(error) => {
            report.add(Check::Accuracy, Err(error.to_string()));
        }
        Ok(probabilities) => {
            let found = Evaluation::of(&probabilities, &samples, &version.manifest.labels);
            let test = &version.manifest.test;
            let same = found.correct == test.correct && found.per_class == test.per_class;
            let detail = format!("{}", found.correct);
            report.add(
                Check::Accuracy,
                if same { Ok(detail) } else { Err(format!("{detail}, claimed {}", test.correct)) },
            );
            let hash = found.predictions_sha256();
            let same = hash == test.predictions_sha256;
            let claim = test.predictions_sha256;
            report.add(
                Check::Predictions,
                if same {
                    Ok(format!("sha256 {hash}"))
                } else {
                    Err(format!("sha256 {hash}, claimed {claim}"))
                },
            );
            if let Some(claimed) = &manifest.confidence {
                let classes = manifest.labels.len();
                let test = Predictions { probabilities: &probabilities, labels: &samples.labels, classes };
                report.add(Check::Confidence, check_confidence(claimed, test));
            }
            if let (Some(claimed), true) = (&manifest.corruptions, with_corruptions) {
                report.add(Check::Corruptions, check_corruptions(claimed, session, &samples));
            }
        }
    }
}

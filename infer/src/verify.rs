//! Re-checking everything that a published version claims.

use std::path::Path;

use datasets::{Dataset, ImageShape, Split};
use serde::Serialize;
use zoo::signature::PublicKey;
use zoo::{Spec, VersionDir, Zoo};

use crate::error::Result;
use crate::evaluate::evaluate;
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

/// Checks versions, as many at a time as there are processors; reports come in the order of `specs`.
///
/// # Errors
/// As for [`verify`].
pub fn verify_all(
    zoo: &Zoo,
    specs: &[Spec],
    datasets: &Path,
    key: Option<&PublicKey>,
) -> Result<Vec<Report>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut reports = Vec::with_capacity(specs.len());
    for group in specs.chunks(processors) {
        reports.extend(threads::map(group, |spec| verify(zoo, spec, datasets, key))?);
    }
    reports.into_iter().collect()
}

/// Checks one version; what does not hold is in the report, not an error.
///
/// # Errors
/// [`crate::Error::Zoo`] if there is no such version.
pub fn verify(zoo: &Zoo, spec: &Spec, datasets: &Path, key: Option<&PublicKey>) -> Result<Report> {
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
    if let Some(key) = key {
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
                check_accuracy(&version, &session, datasets, &mut report);
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

fn check_accuracy(version: &VersionDir, session: &Session, datasets: &Path, report: &mut Report) {
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
    match evaluate(session, &samples, &version.manifest.labels) {
        Err(error) => {
            report.add(Check::Accuracy, Err(error.to_string()));
        }
        Ok(found) => {
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
        }
    }
}

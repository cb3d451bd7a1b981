//! Re-checking everything that a published version claims.
//!
//! Each field of a manifest is recomputed, or held within bounds, or at least covered by the sha256 of the manifest in
//! the zoo's index and by a signature; [`FIELDS`] says which of the three.

mod fields;
mod measured;
mod origin;
mod weights;

use std::path::Path;

use datasets::{Dataset, Split};
use serde::Serialize;
use zoo::signature::{Policy, PublicKey};
use zoo::{MANIFEST, Spec, VersionDir, Zoo};

use crate::error::Result;
use crate::golden::Golden;
use crate::network::Description;
use crate::session::Session;
use crate::threads;
pub use fields::{FIELDS, Proof};
use measured::check_measured;

/// One kind of check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The manifest parses, follows its schema and names the folder it is in.
    Manifest,
    /// Every file has its length and hash, none is missing or extra.
    Files,
    /// The index of the zoo has this manifest.
    Index,
    /// The key that was given signed exactly these files.
    Signature,
    /// The policy that was given is fulfilled.
    Policy,
    /// Whatever lies beside the signatures is a statement about these files.
    Attestations,
    /// The recipe has the hash that the manifest names, and says what the manifest repeats of it.
    Recipe,
    /// The history has the manifest's chain of hashes and its validation result.
    History,
    /// The network has the versions, names, shapes and cost that the manifest names.
    Network,
    /// The weights have the hash that the manifest names, and the network and the first layer have these weights.
    Weights,
    /// The network gives what libtorch gave.
    Golden,
    /// The dataset here is described by the hashes that the manifest names, its test files have them, its classes are the
    /// labels, its images fit. Training files are hashed by whoever trains on them, and need not be here.
    Dataset,
    /// The number of right answers on the test split is exactly the claimed one.
    Accuracy,
    /// Every single prediction is the claimed one.
    Predictions,
    /// Calibration, coverage and acceptance on the test split are those claimed.
    Confidence,
    /// Right answers on the damaged test split are exactly those claimed.
    Corruptions,
    /// The log of aliases holds, and every alias leads to a version that is there.
    Aliases,
}

/// What holds, or everything that does not.
type Outcome = std::result::Result<String, String>;

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

    fn add(&mut self, check: Check, outcome: Outcome) -> bool {
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
    /// What every version must fulfil to be trusted.
    pub policy: Option<&'a Policy>,
    /// Also damage the test split in all ways and count again: a minute for each version.
    pub corruptions: bool,
}

/// Checks versions, as many at a time as there are processors; reports come in the order of `specs`.
///
/// # Errors
/// As for [`verify`].
pub fn verify_all(zoo: &Zoo, specs: &[Spec], options: &Options<'_>) -> Result<Vec<Report>> {
    // A name that is mistyped is said before minutes of work.
    for spec in specs {
        find(zoo, spec)?.ok();
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut reports = Vec::with_capacity(specs.len());
    for group in specs.chunks(processors) {
        reports.extend(threads::map(group, |spec| verify(zoo, spec, options))?);
    }
    reports.into_iter().collect()
}

/// A version, or what is wrong with its manifest: a folder without one is damage like any other.
fn find(zoo: &Zoo, spec: &Spec) -> Result<std::result::Result<VersionDir, String>> {
    match zoo.version(spec) {
        Ok(version) => Ok(Ok(version)),
        Err(zoo::Error::NotFound { path, hint }) if !path.ends_with(MANIFEST) => {
            Err(zoo::Error::NotFound { path, hint }.into())
        }
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// Checks one version; what does not hold is in the report, not an error.
///
/// # Errors
/// [`crate::Error::Zoo`] if there is no such version.
pub fn verify(zoo: &Zoo, spec: &Spec, options: &Options<'_>) -> Result<Report> {
    let mut report = Report { model: spec.to_string(), findings: Vec::new() };
    let version = match find(zoo, spec)? {
        Ok(version) => version,
        Err(problem) => {
            report.add(Check::Manifest, Err(problem));
            return Ok(report);
        }
    };
    report.model = format!("{}@{}", version.manifest.name, version.manifest.version);
    report.add(Check::Manifest, Ok(format!("schema {}", version.manifest.schema)));
    report.add(Check::Index, check_index(zoo, &version));
    let files = report.add(Check::Files, check_files(&version));
    if let Some(key) = options.key {
        let outcome = zoo.verify_signature(&version, key);
        report.add(
            Check::Signature,
            outcome.map(|signed| format!("{} files", signed.len())).map_err(|e| e.to_string()),
        );
    }
    if let Some(policy) = options.policy {
        report.add(Check::Policy, check_policy(zoo, &version, policy));
    }
    if let Some(outcome) = check_attestations(zoo, &version) {
        report.add(Check::Attestations, outcome);
    }
    if !files {
        return Ok(report);
    }
    let dataset = Dataset::find(options.datasets, &version.manifest.dataset.name);
    if version.manifest.recipe_sha256().is_some() {
        report.add(Check::Recipe, origin::check_recipe(&version));
    }
    if let Some(training) = &version.manifest.training {
        report.add(Check::History, origin::check_history(&version, training));
    }
    check_loaded(&version, dataset, options, &mut report);
    Ok(report)
}

/// Adds to a report what needs the network: its form, weights, golden outputs, and what is measured anew.
fn check_loaded(
    version: &VersionDir,
    dataset: datasets::Result<Dataset>,
    options: &Options<'_>,
    report: &mut Report,
) {
    let manifest = &version.manifest;
    let (session, description) = match load(version) {
        Ok(loaded) => loaded,
        Err(problem) => {
            report.add(Check::Network, Err(problem));
            return;
        }
    };
    report.add(Check::Network, origin::check_network(manifest, &description, session.macs()));
    if manifest.recipe_sha256().is_some() {
        let dataset = dataset.as_ref().ok();
        report.add(Check::Weights, origin::check_weights(version, &description, dataset));
    }
    report.add(Check::Golden, check_golden(version, &session));
    let loaded = dataset.and_then(|dataset| Ok((dataset.load(Split::Test)?, dataset)));
    match loaded {
        Ok((samples, dataset)) => {
            check_measured(version, &session, &dataset, &samples, options.corruptions, report);
        }
        Err(error) => {
            report.add(Check::Dataset, Err(error.to_string()));
        }
    }
}

/// What is not of one version: the index and the log of aliases.
///
/// # Errors
/// If the zoo's folders cannot be read.
pub fn verify_zoo(zoo: &Zoo) -> Result<Report> {
    let mut report = Report { model: "(zoo)".into(), findings: Vec::new() };
    let told = |problems: Vec<String>, good: &str| match problems.as_slice() {
        [] => Ok(good.to_owned()),
        _ => Err(problems.join("; ")),
    };
    let aliases = zoo.dangling_aliases().map_err(|e| e.to_string());
    report.add(
        Check::Aliases,
        aliases.and_then(|dangling| told(dangling, "all lead to versions that are here")),
    );
    let (_, unreadable) = zoo.models_and_unreadable()?;
    if !unreadable.is_empty() {
        let names = unreadable.iter().map(|name| format!("models/{name}: cannot be listed")).collect();
        report.add(Check::Files, told(names, ""));
    }
    let index = zoo.index_differences().map_err(|e| e.to_string());
    report.add(Check::Index, index.and_then(|differences| told(differences, "as the manifests say")));
    Ok(report)
}

/// The index has the manifest that is there.
fn check_index(zoo: &Zoo, version: &VersionDir) -> Outcome {
    let (name, number) = (&version.manifest.name, version.manifest.version);
    let index = zoo.written_index().map_err(|e| e.to_string())?;
    let entry =
        index.version(name, number).ok_or_else(|| format!("{}: without {name}@{number}", zoo::INDEX))?;
    let (found, expected) = (version.manifest_sha256, entry.manifest_sha256);
    if found == expected {
        Ok(format!("manifest sha256 {found}"))
    } else {
        Err(format!("{}: sha256 {found}, {} has {expected}", zoo::MANIFEST, zoo::INDEX))
    }
}

fn check_policy(zoo: &Zoo, version: &VersionDir, policy: &Policy) -> Outcome {
    let found = policy.check(zoo, version).map_err(|e| e.to_string())?;
    if !found.missing.is_empty() {
        return Err(format!("missing: {}", found.missing.join("; ")));
    }
    let signed = found.signed_by.map_or("by no key of the policy".into(), |name| format!("by {name}"));
    let again = format!("retrained by {} on {}", found.reproduced_by.len(), found.processors.len());
    Ok(format!("signed {signed}, {again} kinds of processor"))
}

/// `None` if there are no attestations.
fn check_attestations(zoo: &Zoo, version: &VersionDir) -> Option<Outcome> {
    let found = match zoo.attestations(version) {
        Ok(found) if found.is_empty() => return None,
        Ok(found) => found,
        Err(error) => return Some(Err(error.to_string())),
    };
    let problems: Vec<String> =
        found.iter().filter_map(|one| Some(one.as_ref().err()?.to_string())).collect();
    Some(if problems.is_empty() { Ok(format!("{} files", found.len())) } else { Err(problems.join("; ")) })
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

fn load(version: &VersionDir) -> std::result::Result<(Session, Description), String> {
    let manifest = &version.manifest;
    let onnx = bytes::Bytes::from(version.read(zoo::ONNX).map_err(|e| e.to_string())?);
    let path = version.path.join(zoo::ONNX);
    let description = match manifest.is_adopted() {
        true => Description::read_adopted(onnx.clone()),
        false => Description::read(onnx.clone()),
    };
    let description = description.map_err(|e| crate::network::problem(&e))?;
    let session = Session::of_version(manifest, onnx, &path);
    Ok((session.map_err(|e| e.to_string())?, description))
}

/// Largest tolerance that a manifest may claim: two ways to compute a probability do not differ by more, one of them in halves.
const MAX_TOLERANCE: f64 = 1e-3;

/// The network gives what libtorch gave.
///
/// # Errors
/// By how much it does not, or why it cannot be known.
pub fn check_golden(version: &VersionDir, session: &Session) -> std::result::Result<String, String> {
    let claimed = &version.manifest.self_check;
    if version.manifest.is_adopted() && !version.manifest.files.contains_key(crate::golden::OUTPUT) {
        let none = claimed.golden_images == 0 && claimed.identical_predictions.total == 0;
        let said = || Ok("none that is independent of the runtime".into());
        return if none { said() } else { Err("self_check: claims golden data that are not here".into()) };
    }
    let golden = Golden::read(version).map_err(|e| e.to_string())?;
    let difference = golden.max_difference(session).map_err(|e| e.to_string())?;
    let tolerance = claimed.tolerance;
    if !(0.0..=MAX_TOLERANCE).contains(&tolerance) {
        return Err(format!("self_check.tolerance: {tolerance}, expected 0 to {MAX_TOLERANCE}"));
    }
    if claimed.golden_images != golden.shape[0] as u64 {
        return Err(format!(
            "self_check.golden_images: {}, expected {}",
            claimed.golden_images, golden.shape[0]
        ));
    }
    let identical = claimed.identical_predictions;
    let all = if version.manifest.is_adopted() { 0 } else { version.manifest.test.correct.total };
    if (identical.correct, identical.total) != (all, all) {
        return Err(format!("self_check.identical_predictions: {identical}, expected {all}/{all}"));
    }
    let detail = format!("{} images, max |difference| {difference:.1e}", golden.shape[0]);
    if f64::from(difference) <= tolerance {
        Ok(detail)
    } else {
        Err(format!("{detail}, expected at most {tolerance:.0e}"))
    }
}

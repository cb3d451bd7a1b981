//! Retraining a published model and comparing it with what was published.

mod files;

use std::path::{Path, PathBuf};

use datasets::{Dataset, Digest, Split};
use serde::Serialize;
use tch::Device;
use zoo::signature::PrivateKey;
use zoo::{Count, VersionDir, Zoo};

pub use files::FileComparison;
use files::Published;

use crate::batches::Normaliser;
use crate::checkpoint::{self, Progress};
use crate::error::{Error, Result};
use crate::evaluate::Evaluator;
use crate::fingerprint;
use crate::history::{self, EpochRow};
use crate::machine::Processor;
use crate::parameters::Parameters;
use crate::profile::Isa;
use crate::publish::dataset_info;
use crate::recipe::RecipeFile;
use crate::run::{self, RunDir};
use crate::train::{Observer, Options, fit, train};
use crate::weights;

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

/// What a reproduction is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Where to train.
    pub run: &'a Path,
    /// Only the first epochs.
    pub epochs: Option<u32>,
    /// Another instruction set than the recipe's, to see what that changes.
    pub isa: Option<Isa>,
}

/// Retrains `version` and compares.
///
/// # Errors
/// If the version is damaged, the data are not those it was trained on, nothing is left to train, or
/// training fails.
pub fn reproduce(
    version: &VersionDir,
    dataset: &Dataset,
    request: &Request<'_>,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Reproduction> {
    let manifest = &version.manifest;
    if dataset_info(dataset) != manifest.dataset {
        let problem =
            format!("is not the data that {} was trained on: names or hashes differ", version.path.display());
        return Err(Error::run(&dataset.dir, problem));
    }
    let mut recipe = published_recipe(version)?;
    let profile = &mut recipe.recipe.numeric_profile;
    profile.isa = request.isa.unwrap_or(profile.isa);
    let network = recipe.recipe.build_network(&dataset.description)?;
    let test = dataset.load(Split::Test)?;
    let exact = recipe.recipe.numeric_profile.isa == Isa::Portable;
    let published = Published { version, recipe: &recipe, network: &network, dataset, test: &test, exact };
    let mut outcome = Reproduction {
        model: format!("{}@{}", manifest.name, manifest.version),
        verdict: Verdict::OtherArithmetic,
        claim: Claim::Nothing,
        epochs: recipe.recipe.epochs,
        epochs_retrained: 0,
        start: None,
        first_different_epoch: None,
        files: Vec::new(),
        difference: None,
        problems: Vec::new(),
        numeric_profile_in_force: false,
        processor: Processor::detect().to_string(),
        published_processor: manifest.training.cpu.clone(),
        libtorch: crate::LIBTORCH_VERSION.into(),
    };
    if request.isa.is_none() {
        outcome.problems = other_arithmetic(&recipe, dataset, manifest.training.fingerprint)?;
        if !outcome.problems.is_empty() {
            return Ok(outcome);
        }
        outcome.problems = recipe.recipe.numeric_profile.run(|| published.contradictions())?;
        if !outcome.problems.is_empty() {
            outcome.verdict = Verdict::Inconsistent;
            return Ok(outcome);
        }
    }
    retrain(&published, request, options, observer, &mut outcome)?;
    Ok(outcome)
}

/// Why this machine would not give the bytes that are promised: known before anything is trained.
fn other_arithmetic(
    recipe: &RecipeFile,
    dataset: &Dataset,
    published: Option<Digest>,
) -> Result<Vec<String>> {
    let profile = &recipe.recipe.numeric_profile;
    if profile.isa != Isa::Portable {
        return Ok(Vec::new());
    }
    if let Some(obstacle) = profile.obstacle() {
        return Ok(vec![obstacle]);
    }
    let mut problems = Vec::new();
    problems.extend(profile.run(|| fingerprint::difference(&recipe.recipe))?);
    let found = fingerprint::of_recipe(&recipe.recipe, &dataset.description)?;
    if published != Some(found) {
        let published = published.map_or("none".into(), |digest| digest.to_string());
        problems.push(format!("fingerprint of the recipe: found {found}, published was {published}"));
    }
    Ok(problems)
}

/// Trains, compares, and fills in the outcome.
fn retrain(
    published: &Published<'_>,
    request: &Request<'_>,
    options: &Options<'_>,
    observer: &mut dyn Observer,
    outcome: &mut Reproduction,
) -> Result<()> {
    let Published { recipe, network, dataset, .. } = *published;
    let run_dir = RunDir::open(request.run, recipe, options.resume)?;
    outcome.start = start(&run_dir)?;
    let last = request.epochs.unwrap_or(u32::MAX).min(outcome.epochs);
    // An epoch that was begun elsewhere is not counted.
    let before = outcome.start.as_ref().map_or(0, |start| start.finished_epochs + u32::from(start.step > 0));
    if before >= last {
        let problem = format!(
            "holds {before} of {last} epochs: nothing is left to retrain; without --resume all of them are"
        );
        return Err(Error::run(request.run, problem));
    }
    outcome.epochs_retrained = last - before;
    let whole = last == outcome.epochs;
    outcome.claim = match (&outcome.start, whole) {
        (Some(_), _) => Claim::Segment,
        (None, true) => Claim::Whole,
        (None, false) => Claim::FirstEpochs,
    };
    let rows = if whole {
        let summary = train(recipe, dataset, &run_dir, options, observer)?;
        outcome.numeric_profile_in_force = summary.is_some_and(|summary| summary.numeric_profile_in_force);
        let path = request.run.join(run::HISTORY);
        history::parse_csv(&datasets::yaml::read_text(&path)?, &path)?
    } else {
        let options = Options { stop_after: Some(last), ..*options };
        let Progress { rows, numeric_profile_in_force, .. } =
            fit(recipe, dataset, network, &run_dir, &options, observer)?.progress;
        outcome.numeric_profile_in_force = numeric_profile_in_force;
        rows
    };
    outcome.numeric_profile_in_force &= request.isa.is_none();
    outcome.first_different_epoch = first_difference(&published.history()?, &rows);
    let mut identical = outcome.first_different_epoch.is_none();
    if whole {
        let model = weights::read(&request.run.join(weights::MODEL), network)?;
        let (files, model) = recipe.recipe.numeric_profile.run(move || {
            let files = published.compare(&model)?;
            Ok((files, model))
        })?;
        outcome.files = files;
        identical &= outcome.files.iter().all(|file| file.identical);
        if !identical {
            outcome.difference = Some(compare(published, &model)?);
        }
    }
    outcome.verdict = match &outcome.difference {
        _ if identical => Verdict::BitIdentical,
        Some(difference) if difference.within_noise() => Verdict::Equivalent,
        _ => Verdict::Different,
    };
    Ok(())
}

/// Where the run in a folder stands, if it is not at its beginning.
fn start(run: &RunDir) -> Result<Option<Start>> {
    if !run.has_checkpoint() {
        return Ok(None);
    }
    let progress = checkpoint::read_progress(run.path())?;
    let name = run.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some(Start {
        run: name,
        checkpoint_sha256: Digest::of_file(&run.path().join(checkpoint::FILE))?.0,
        finished_epochs: progress.rows.len() as u32,
        step: progress.step,
    }))
}

/// The recipe that a version was made by.
///
/// # Errors
/// If the file is damaged or no recipe.
pub fn published_recipe(version: &VersionDir) -> Result<RecipeFile> {
    let path = version.path.join(run::RECIPE);
    let text = String::from_utf8(version.read(run::RECIPE)?).map_err(|e| Error::run(&path, e.to_string()))?;
    RecipeFile::parse(text, &path)
}

/// The first epoch whose row differs, of those that both have.
fn first_difference(published: &[EpochRow], retrained: &[EpochRow]) -> Option<u32> {
    let pairs = published.iter().zip(retrained);
    pairs.filter(|(a, b)| a.parameters_sha256 != b.parameters_sha256).map(|(a, _)| a.epoch).next()
}

fn compare(published: &Published<'_>, retrained: &Parameters) -> Result<Difference> {
    let Published { version, network, dataset, test, .. } = *published;
    let old = weights::published(version, network)?;
    let indices: Vec<usize> = (0..test.len()).collect();
    let normaliser = Normaliser::new(&dataset.description.normalisation);
    let predictions = |parameters: &Parameters| {
        let evaluator =
            Evaluator { network, parameters, normaliser: &normaliser, samples: test, device: Device::Cpu };
        evaluator.evaluate(&indices)
    };
    let (before, after) = (predictions(&old), predictions(retrained));
    let same = before.predictions.iter().zip(&after.predictions).filter(|(a, b)| a == b).count();
    let count = |correct: usize| Count { correct: correct as u64, total: test.len() as u64 };
    Ok(Difference {
        max_delta: max_delta(&old, retrained),
        test: count(after.correct),
        published_test: count(before.correct),
        same_predictions: count(same),
    })
}

fn max_delta(old: &Parameters, new: &Parameters) -> f64 {
    let values =
        |parameters: &Parameters| parameters.state_dict().into_iter().flat_map(|(_, _, values)| values);
    values(old).zip(values(new)).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
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
    fn within_noise(&self) -> bool {
        let (p, q) = (self.test.share(), self.published_test.share());
        let total = self.test.total.max(1) as f64;
        let variance = (p * (1.0 - p) + q * (1.0 - q)) / total;
        (p - q).abs() <= 2.0 * variance.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datasets::Digest;

    fn row(epoch: u32, content: &[u8]) -> EpochRow {
        EpochRow {
            epoch,
            learning_rate: 0.1,
            train_loss: 0.0,
            train_accuracy: 0.0,
            validation_loss: None,
            validation_accuracy: None,
            parameters_sha256: Digest::of(content),
        }
    }

    #[test]
    fn the_first_different_epoch_is_named() {
        let published = [row(1, b"a"), row(2, b"b"), row(3, b"c")];
        assert_eq!(first_difference(&published, &published[..2]), None);
        assert_eq!(first_difference(&published, &[row(1, b"a"), row(2, b"x"), row(3, b"y")]), Some(2));
    }

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

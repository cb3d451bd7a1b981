//! Retraining a published model and comparing it with what was published.

mod files;
mod report;

use std::path::Path;

use datasets::{Dataset, Digest, Split};
use tch::Device;
use zoo::{Count, DatasetInfo, VersionDir};

use files::Published;
pub use files::{FileComparison, training};
pub use report::{Claim, Difference, Reproduction, Start, Verdict};

use crate::checkpoint::{self, Progress};
use crate::error::{Error, Result};
use crate::evaluate::Evaluator;
use crate::fingerprint;
use crate::history::{self, EpochRow};
use crate::machine::Processor;
use crate::normaliser::Normaliser;
use crate::parameters::Parameters;
use crate::profile::Isa;
use crate::recipe::RecipeFile;
use crate::run::{self, RunDir};
use crate::train::{Observer, Options, fit, train};
use crate::weights;

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
    if DatasetInfo::of(dataset) != manifest.dataset {
        let problem =
            format!("is not the data that {} was trained on: names or hashes differ", version.path.display());
        return Err(Error::run(&dataset.dir, problem));
    }
    let mut recipe = RecipeFile::of_version(version)?;
    let profile = &mut recipe.recipe.numeric_profile;
    profile.isa = request.isa.unwrap_or(profile.isa);
    let network = recipe.build_network(&dataset.description)?;
    let test = dataset.load(Split::Test)?;
    let published = Published { version, recipe: &recipe, network: &network, dataset, test: &test };
    let mut outcome = Reproduction {
        model: format!("{}@{}", manifest.name, manifest.version),
        verdict: Verdict::OtherArithmetic,
        claim: Claim::Nothing,
        epochs: training(version)?.epochs,
        epochs_retrained: 0,
        start: None,
        first_different_epoch: None,
        files: Vec::new(),
        difference: None,
        problems: Vec::new(),
        numeric_profile_in_force: false,
        processor: Processor::detect().to_string(),
        published_processor: training(version)?.cpu.clone(),
        libtorch: crate::LIBTORCH_VERSION.into(),
    };
    if request.isa.is_none() {
        outcome.problems = other_arithmetic(&recipe, dataset, training(version)?.fingerprint)?;
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
    if !profile.isa.is_portable() {
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
    outcome.epochs_retrained = (rows.len() as u32).saturating_sub(before);
    let history = published.history()?;
    outcome.first_different_epoch = first_difference(&history, &rows);
    if outcome.first_different_epoch.is_none() && (rows.len() as u32) != last {
        // It ended elsewhere.
        outcome.first_different_epoch = Some(last.min(rows.len() as u32) + 1);
    }
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
}

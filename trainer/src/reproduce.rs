//! Retraining a published model and comparing it with what was published.

use std::path::{Path, PathBuf};

use datasets::{Dataset, Split};
use serde::Serialize;
use tch::Device;
use zoo::signature::PrivateKey;
use zoo::{Count, VersionDir, Zoo};

use crate::batches::Normaliser;
use crate::error::{Error, Result};
use crate::evaluate::Evaluator;
use crate::history::{self, EpochRow};
use crate::machine::Processor;
use crate::network::Network;
use crate::parameters::Parameters;
use crate::publish::dataset_info;
use crate::recipe::RecipeFile;
use crate::run::{self, RunDir};
use crate::train::{Observer, Options, fit, train};
use crate::weights;

/// How a retrained model compares with the published one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every compared hash is the same.
    BitIdentical,
    /// Other bytes, but the accuracy differs by less than two standard errors.
    Equivalent,
    /// Other bytes, and another accuracy or too few epochs to compare it.
    Different,
}

/// Outcome of a reproduction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reproduction {
    /// `name@version`.
    pub model: String,
    /// The outcome.
    pub verdict: Verdict,
    /// Epochs whose parameter hashes were compared.
    pub epochs_compared: u32,
    /// The first epoch whose hash differs.
    pub first_different_epoch: Option<u32>,
    /// Comparison of the finished models, if all epochs were run and they differ.
    pub difference: Option<Difference>,
    /// Whether this machine could give the recipe's numeric profile.
    pub numeric_profile_in_force: bool,
    /// This machine's processor.
    pub cpu: String,
    /// The processor that trained the published model.
    pub published_cpu: String,
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

/// Retrains `version` in the folder `run` and compares; `epochs` limits how far.
///
/// # Errors
/// If the version is damaged, the data are not those it was trained on, or training fails.
pub fn reproduce(
    version: &VersionDir,
    dataset: &Dataset,
    run: &Path,
    epochs: Option<u32>,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Reproduction> {
    let manifest = &version.manifest;
    if dataset_info(dataset) != manifest.dataset {
        let problem =
            format!("is not the data that {} was trained on: names or hashes differ", version.path.display());
        return Err(Error::run(&dataset.dir, problem));
    }
    let recipe = published_recipe(version)?;
    let history_bytes = version.read(run::HISTORY)?;
    let published =
        history::parse_csv(&String::from_utf8_lossy(&history_bytes), &version.path.join(run::HISTORY))?;
    let run_dir = RunDir::open(run, &recipe, options.resume)?;
    let all = epochs.is_none_or(|epochs| epochs >= recipe.recipe.epochs);
    let network = recipe.recipe.build_network(&dataset.description)?;
    let rows = if all {
        train(&recipe, dataset, &run_dir, options, observer)?;
        let path = run.join(run::HISTORY);
        history::parse_csv(&datasets::yaml::read_text(&path)?, &path)?
    } else {
        let options = Options { stop_after: epochs, ..*options };
        fit(&recipe, dataset, &network, &run_dir, &options, observer)?.progress.rows
    };
    let first_different_epoch = first_difference(&published, &rows);
    let identical = first_different_epoch.is_none();
    let difference = match all && !identical {
        true => Some(compare(version, dataset, &network, &run.join(weights::MODEL))?),
        false => None,
    };
    let verdict = match &difference {
        None if identical => Verdict::BitIdentical,
        Some(difference) if difference.within_noise() => Verdict::Equivalent,
        _ => Verdict::Different,
    };
    let profile = &recipe.recipe.numeric_profile;
    Ok(Reproduction {
        model: format!("{}@{}", manifest.name, manifest.version),
        verdict,
        epochs_compared: rows.len() as u32,
        first_different_epoch,
        difference,
        numeric_profile_in_force: profile.is_active() && profile.obstacle().is_none(),
        cpu: Processor::detect().to_string(),
        published_cpu: manifest.training.cpu.clone(),
        libtorch: crate::LIBTORCH_VERSION.into(),
    })
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

fn compare(
    version: &VersionDir,
    dataset: &Dataset,
    network: &Network,
    retrained: &Path,
) -> Result<Difference> {
    let old = weights::published(version, network)?;
    let new = weights::read(retrained, network)?;
    let test = dataset.load(Split::Test)?;
    let indices: Vec<usize> = (0..test.len()).collect();
    let normaliser = Normaliser::new(&dataset.description.normalisation);
    let predictions = |parameters: &Parameters| {
        let evaluator =
            Evaluator { network, parameters, normaliser: &normaliser, samples: &test, device: Device::Cpu };
        evaluator.evaluate(&indices)
    };
    let (before, after) = (predictions(&old), predictions(&new));
    let same = before.predictions.iter().zip(&after.predictions).filter(|(a, b)| a == b).count();
    let count = |correct: usize| Count { correct: correct as u64, total: test.len() as u64 };
    Ok(Difference {
        max_delta: max_delta(&old, &new),
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

impl Reproduction {
    /// Signs the outcome; the report lies beside the version's signatures, one per key.
    ///
    /// # Errors
    /// If the version is damaged or the file cannot be written.
    pub fn sign(&self, zoo: &Zoo, version: &VersionDir, key: &PrivateKey) -> Result<PathBuf> {
        let details = serde_json::to_value(self).map_err(|e| Error::run(&version.path, e.to_string()))?;
        Ok(zoo.sign_reproduction(version, key, self.verdict != Verdict::Different, &details)?)
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

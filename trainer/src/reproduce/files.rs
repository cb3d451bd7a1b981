//! Comparing the files of a version with what follows from weights.

use datasets::{Dataset, Samples};
use infer::golden::{self, Golden};
use serde::Serialize;
use zoo::{TrainingInfo, VersionDir};

use crate::error::{Error, Result};
use crate::history::{self, EpochRow};
use crate::network::Network;
use crate::normaliser::Normaliser;
use crate::onnx::Identity;
use crate::parameters::Parameters;
use crate::publish::{artefacts::Artefacts, calibration};
use crate::recipe::RecipeFile;
use crate::{run, weights};

/// A file of the version beside the one that retraining gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileComparison {
    /// Path in the version's folder.
    pub file: String,
    /// Whether every byte is the same.
    pub identical: bool,
}

/// How a version was trained.
///
/// # Errors
/// [`Error::Run`] if it was not trained here.
pub fn training(version: &VersionDir) -> Result<&TrainingInfo> {
    let problem =
        "was not trained here, so there is nothing to retrain; `infer verify` checks what it claims";
    version.manifest.training.as_ref().ok_or_else(|| Error::run(&version.path, problem))
}

/// A version and what its files are compared by.
pub(super) struct Published<'a> {
    pub(super) version: &'a VersionDir,
    pub(super) recipe: &'a RecipeFile,
    pub(super) network: &'a Network,
    pub(super) dataset: &'a Dataset,
    pub(super) test: &'a Samples,
}

impl Published<'_> {
    /// What does not fit together among the version's own files: a retraining could not tell which of
    /// them it confirms.
    ///
    /// # Errors
    /// If a file is damaged or no such file.
    pub(super) fn contradictions(&self) -> Result<Vec<String>> {
        let training = training(self.version)?;
        let rows = self.history()?;
        let mut found = Vec::new();
        let mut expect = |what: &str, holds: bool| {
            if !holds {
                found.push(what.to_owned());
            }
        };
        let chain: Vec<_> = rows.iter().map(|row| row.parameters_sha256).collect();
        expect("manifest: epochs_sha256 is not the chain of history.csv", chain == training.epochs_sha256);
        expect(
            "manifest: recipe_sha256 is not recipe.yaml's",
            training.recipe_sha256 == self.recipe.sha256(),
        );
        let recipe = &self.recipe.recipe;
        let ends_rightly = match &recipe.early_stopping {
            Some(early) => early.ends_with(&rows, recipe.epochs),
            None => rows.len() == recipe.epochs as usize,
        };
        expect("history.csv: the recipe's run would not have ended there", ends_rightly);
        let epochs = rows.len() as u32;
        let planned = (recipe.name.as_str(), recipe.seed, epochs, epochs as usize);
        let manifest = &self.version.manifest;
        let claimed = (manifest.name.as_str(), training.seed, training.epochs, rows.len());
        expect("manifest: name, seed or epochs are not the recipe's", claimed == planned);
        let parameters = weights::published(self.version, self.network)?;
        let sha256 = parameters.sha256();
        let what = format!("{}: its weights are not the manifest's parameters_sha256", weights::MODEL);
        expect(&what, sha256 == training.parameters_sha256);
        let selected = rows.iter().find(|row| row.epoch == training.selected_epoch);
        let what =
            format!("{}: its weights are not those of the selected epoch in history.csv", weights::MODEL);
        expect(&what, selected.is_some_and(|row| row.parameters_sha256 == sha256));
        for FileComparison { file, identical } in self.compare(&parameters)? {
            expect(&format!("{file}: is not what the weights in {} give", weights::MODEL), identical);
        }
        Ok(found)
    }

    /// Compares every file that follows from weights with what `parameters` give.
    ///
    /// # Errors
    /// If a file is damaged.
    pub(super) fn compare(&self, parameters: &Parameters) -> Result<Vec<FileComparison>> {
        let manifest = &self.version.manifest;
        let normaliser = Normaliser::new(&self.dataset.description.normalisation);
        let temperature = calibration::temperature(self.recipe, self.dataset, self.network, parameters)?;
        let artefacts = Artefacts {
            temperature,
            network: self.network,
            parameters,
            normaliser: &normaliser,
            test: self.test,
            identity: Identity {
                name: &manifest.name,
                version: manifest.version,
                description: &self.recipe.recipe.description,
                labels: &manifest.labels,
                recipe_sha256: self.recipe.sha256().to_string(),
                trainer: manifest.tools.get("trainer").map_or("", String::as_str),
                is_annotated: manifest.onnx.is_annotated,
            },
        };
        let golden = artefacts.golden();
        let exact = self.recipe.recipe.numeric_profile.isa.is_portable();
        let files = artefacts.files(&golden)?.into_iter();
        let compared = files.map(|(file, bytes)| {
            let identical = match file {
                // Other processors round probabilities otherwise, where nothing else is promised.
                golden::OUTPUT if !exact => self.is_close(&golden)?,
                _ => self.version.read(file)? == bytes,
            };
            Ok(FileComparison { file: file.into(), identical })
        });
        compared.collect()
    }

    fn is_close(&self, found: &Golden) -> Result<bool> {
        let published = Golden::read(self.version)?;
        let pairs = published.probabilities.iter().zip(&found.probabilities);
        let tolerance = self.version.manifest.self_check.tolerance as f32;
        Ok(published.shape == found.shape && pairs.into_iter().all(|(a, b)| (a - b).abs() <= tolerance))
    }

    /// The published history.
    ///
    /// # Errors
    /// If the file is damaged or no history.
    pub(super) fn history(&self) -> Result<Vec<EpochRow>> {
        let bytes = self.version.read(run::HISTORY)?;
        history::parse_csv(&String::from_utf8_lossy(&bytes), &self.version.path.join(run::HISTORY))
    }
}

//! A run directory: what `train` leaves behind and `publish` takes up.

use std::fs::File;
use std::path::{Path, PathBuf};

use datasets::{Dataset, Digest};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, State};
use crate::error::{Error, Result};
use crate::fingerprint;
use crate::history::{self, EpochRow};
use crate::machine::Processor;
use crate::network::Network;
use crate::parameters::Parameters;
use crate::recipe::{self, RecipeFile, Select};
use crate::weights;

/// One row per epoch.
pub(crate) const HISTORY: &str = "history.csv";
/// What came out, and on what machine; there only when the run is finished.
pub(crate) const SUMMARY: &str = "run.json";

/// Longest history or summary: 100,000 epochs take 20 MB.
const MAX_TEXT: u64 = 64 << 20;

/// Where and why a run diverged, which it would again.
const DIVERGED: &str = "diverged.json";

/// A run that ended because something was no longer a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Diverged {
    /// sha256 of the recipe's text.
    pub(crate) recipe_sha256: Digest,
    /// The training images; absent from runs of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data_sha256: Option<Digest>,
    /// What it was: `the loss became NaN`.
    pub(crate) what: String,
    /// Epoch, from 1.
    pub(crate) epoch: u32,
    /// Step in the epoch, from 1.
    pub(crate) step: usize,
}

impl std::fmt::Display for Diverged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Diverged { what, epoch, step, .. } = self;
        write!(f, "{what} in epoch {epoch}, step {step}")
    }
}

/// What is known of a recipe's divergence on some data in a run folder.
///
/// # Errors
/// [`Error::Run`] if the file is damaged.
pub(crate) fn read_diverged(run: &Path, recipe: &RecipeFile, data: Digest) -> Result<Option<Diverged>> {
    let path = run.join(DIVERGED);
    // A run may have come to its end after all, on other data or by another version of the trainer.
    if !path.exists() || run.join(SUMMARY).exists() {
        return Ok(None);
    }
    let text = datasets::yaml::read_text(&path)?;
    let found: Diverged = serde_json::from_str(&text).map_err(|e| Error::run(&path, e.to_string()))?;
    let is_same = found.recipe_sha256 == recipe.sha256() && found.data_sha256.is_none_or(|of| of == data);
    Ok(is_same.then_some(found))
}

/// What came out of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSummary {
    /// Name of the recipe.
    pub name: String,
    /// sha256 of the recipe's text.
    pub recipe_sha256: Digest,
    /// Name of the dataset.
    pub dataset: String,
    /// The training images; absent from runs of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<Digest>,
    /// Trainable values.
    pub parameters: usize,
    /// Epochs trained.
    pub epochs: u32,
    /// The epoch whose weights are the model.
    pub selected_epoch: u32,
    /// Validation images, and how many the model gets right; absent without any.
    pub validation: Option<zoo::Count>,
    /// sha256 of the model's parameters.
    pub parameters_sha256: Digest,
    /// Whether the recipe's numeric profile was in force all the time; without it the bytes may differ.
    pub numeric_profile_in_force: bool,
    /// The recipe's [fingerprint](crate::fingerprint::of_recipe), where the profile has one.
    #[serde(default)]
    pub fingerprint: Option<Digest>,
    /// Processor that trained.
    pub cpu: String,
    /// libtorch that trained.
    pub libtorch: String,
    /// Time in the training loop.
    pub seconds: f64,
    /// Mean loss over the training images of each epoch without label smoothing, which `history.csv` has with it.
    #[serde(default)]
    pub plain_losses: Vec<f64>,
}

/// An open, locked run directory.
pub struct RunDir {
    path: PathBuf,
    /// Held while the value lives: two processes must not train into one folder.
    _lock: File,
}

impl RunDir {
    /// Creates or opens `path` for a recipe and locks it.
    ///
    /// # Errors
    /// [`Error::Run`] if another process holds it, it belongs to another recipe, or
    /// it holds a run and `resume` is not asked for.
    pub fn open(path: &Path, recipe: &RecipeFile, resume: bool) -> Result<RunDir> {
        zoo::refuse_published(path)?;
        std::fs::create_dir_all(path).map_err(Error::io(path))?;
        let lock_path = path.join(".lock");
        let is_ours = lock_path.exists();
        let lock = datasets::files::open_lock(&lock_path).map_err(Error::io(&lock_path))?;
        if lock.try_lock().is_err() {
            return Err(Error::run(path, "another process is training into this folder"));
        }
        let run = RunDir { path: path.to_owned(), _lock: lock };
        if run.has_checkpoint() && !resume {
            return Err(Error::run(
                path,
                "holds a run already; add --resume to go on with it, or choose another --run folder",
            ));
        }
        let (recipe_path, summary_path) = (path.join(recipe::FILE), path.join(SUMMARY));
        let differs = "differs from the recipe that was given; choose another --run folder";
        if summary_path.exists() && read_summary(&summary_path)?.recipe_sha256 != recipe.sha256() {
            return Err(Error::run(&summary_path, differs));
        }
        // A run that ended before its first checkpoint left nothing that counts; a recipe of somebody else's is no run.
        let has_begun = run.has_checkpoint() || !is_ours && recipe_path.exists();
        if has_begun && datasets::yaml::read_text(&recipe_path)? != recipe.text {
            return Err(Error::run(&recipe_path, differs));
        }
        if !has_begun {
            zoo::write_atomic(&recipe_path, recipe.text.as_bytes())?;
        }
        Ok(run)
    }

    /// Whether another process is training into `path`.
    pub(crate) fn is_busy(path: &Path) -> bool {
        datasets::files::open(&path.join(".lock")).is_ok_and(|lock| lock.try_lock().is_err())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that the recipe diverges.
    ///
    /// # Errors
    /// [`Error::Zoo`] if it cannot be written.
    pub(crate) fn write_diverged(
        &self,
        recipe: &RecipeFile,
        data: Digest,
        what: &str,
        epoch: u32,
        step: usize,
    ) -> Result<()> {
        let data_sha256 = Some(data);
        let found =
            Diverged { recipe_sha256: recipe.sha256(), data_sha256, what: what.to_owned(), epoch, step };
        let text = serde_json::to_string_pretty(&found).expect("texts and numbers are JSON");
        Ok(zoo::write_atomic(&self.path.join(DIVERGED), text.as_bytes())?)
    }

    /// Whether there is something to resume.
    pub(crate) fn has_checkpoint(&self) -> bool {
        self.path.join(checkpoint::FILE).exists()
    }
}

/// The default folder of a recipe: `runs/<name>-<first 8 digits of the recipe's sha256>`.
pub fn default_path(recipe: &RecipeFile) -> PathBuf {
    Path::new("runs").join(folder_name(recipe))
}

/// `<name>-<first 8 digits of the recipe's sha256>`.
pub(crate) fn folder_name(recipe: &RecipeFile) -> String {
    let digest = recipe.sha256().to_string();
    format!("{}-{}", recipe.recipe.name, &digest[..8])
}

/// Writes model, history and summary of a finished run.
///
/// # Errors
/// If files cannot be written.
pub fn finish(
    run: &RunDir,
    recipe: &RecipeFile,
    dataset: &Dataset,
    network: &Network,
    state: &State,
) -> Result<RunSummary> {
    let rows = &state.progress.rows;
    let (model, selected) = match (recipe.recipe.output.select, &state.best, state.progress.best_epoch) {
        (Select::BestValidation, Some(best), Some(epoch)) => (best, epoch),
        _ => (state.model(), rows.last().expect("a finished run has an epoch").epoch),
    };
    let path = run.path();
    // A run that was finished before keeps the processor and the libtorch that trained it.
    if let Ok(FinishedRun { summary, parameters, .. }) = read(path, dataset)
        && summary.recipe_sha256 == recipe.sha256()
        && parameters.sha256() == model.sha256()
    {
        return Ok(summary);
    }
    let row = rows.iter().find(|r| r.epoch == selected);
    let images = recipe.recipe.split.validation;
    let validation = row.and_then(|r| r.validation_accuracy).map(|accuracy| zoo::Count {
        correct: (accuracy * images as f64).round() as u64,
        total: images as u64,
    });
    let summary = RunSummary {
        name: recipe.recipe.name.clone(),
        recipe_sha256: recipe.sha256(),
        dataset: dataset.description.name.clone(),
        data_sha256: Some(dataset.description.training_sha256()),
        parameters: network.parameter_count(),
        epochs: rows.len() as u32,
        selected_epoch: selected,
        validation,
        parameters_sha256: model.sha256(),
        numeric_profile_in_force: state.progress.numeric_profile_in_force,
        fingerprint: fingerprint::of_portable(&recipe.recipe, &dataset.description)?,
        cpu: Processor::detect().to_string(),
        libtorch: crate::LIBTORCH_VERSION.into(),
        seconds: state.progress.seconds,
        plain_losses: state.progress.plain_losses.clone(),
    };
    zoo::write_atomic(&path.join(HISTORY), history::to_csv(rows)?.as_bytes())?;
    zoo::write_atomic(&path.join(weights::MODEL), &weights::whole(model)?)?;
    zoo::write_atomic(&path.join(weights::FIRST_LAYER), &weights::first_layer(network, model)?)?;
    let json = serde_json::to_string_pretty(&summary).map_err(|e| Error::run(path, e.to_string()))?;
    zoo::write_atomic(&path.join(SUMMARY), format!("{json}\n").as_bytes())?;
    Ok(summary)
}

/// A run belongs to the data that it began with.
///
/// # Errors
/// [`Error::Run`] if these are others.
pub(crate) fn check_data(run: &Path, found: Option<Digest>, expected: Digest) -> Result<()> {
    match found {
        Some(found) if found != expected => {
            let problem = "was trained on other images or labels than the dataset has now: remove it, or import under another name";
            Err(Error::run(run, problem))
        }
        _ => Ok(()),
    }
}

/// A finished run, read back.
pub struct FinishedRun {
    /// Its recipe.
    pub recipe: RecipeFile,
    /// The recipe's network.
    pub network: Network,
    /// Its summary.
    pub summary: RunSummary,
    /// Its history, as text.
    pub history: String,
    /// Its weights, on the CPU.
    pub parameters: Parameters,
}

/// Reads the summary of a finished run.
///
/// # Errors
/// [`Error::Run`] if it is not there or not understood.
pub(crate) fn read_summary(path: &Path) -> Result<RunSummary> {
    let text = datasets::files::read_text(path, MAX_TEXT).map_err(|e| {
        Error::run(path, format!("{e}; expected a finished run (train with --resume finishes it)"))
    })?;
    serde_json::from_str(&text).map_err(|e| Error::run(path, e.to_string()))
}

/// Reads a finished run and checks that its files belong together.
///
/// # Errors
/// [`Error::Run`] if it is not finished or its files do not match its summary.
pub fn read(path: &Path, dataset: &Dataset) -> Result<FinishedRun> {
    let summary = read_summary(&path.join(SUMMARY))?;
    let recipe = RecipeFile::read(&path.join(recipe::FILE))?;
    if recipe.sha256() != summary.recipe_sha256 {
        return Err(Error::run(
            &path.join(recipe::FILE),
            format!("sha256 {}, expected {}", recipe.sha256(), summary.recipe_sha256),
        ));
    }
    check_data(path, summary.data_sha256, dataset.description.training_sha256())?;
    let network = recipe.build_network(&dataset.description)?;
    let parameters = weights::read(&path.join(weights::MODEL), &network)?;
    if parameters.sha256() != summary.parameters_sha256 {
        let problem =
            format!("parameters sha256 {}, expected {}", parameters.sha256(), summary.parameters_sha256);
        return Err(Error::run(&path.join(weights::MODEL), problem));
    }
    if !parameters.is_finite() {
        return Err(Error::run(&path.join(weights::MODEL), "a weight or statistic is not a finite number"));
    }
    let history_path = path.join(HISTORY);
    let history = datasets::files::read_text(&history_path, MAX_TEXT).map_err(Error::io(&history_path))?;
    check_history(&history::parse_csv(&history, &history_path)?, &summary, &history_path)?;
    Ok(FinishedRun { recipe, network, summary, history, parameters })
}

/// A history is that of the run that a summary describes.
fn check_history(rows: &[EpochRow], summary: &RunSummary, path: &Path) -> Result<()> {
    let wrong = |problem: String| Err(Error::run(path, problem));
    if rows.len() != summary.epochs as usize {
        return wrong(format!("{} epochs, expected {} as in {SUMMARY}", rows.len(), summary.epochs));
    }
    let epoch = summary.selected_epoch;
    let Some(row) = rows.iter().find(|row| row.epoch == epoch) else {
        return wrong(format!("no epoch {epoch}, whose weights are the model as {SUMMARY} says"));
    };
    if row.parameters_sha256 != summary.parameters_sha256 {
        return wrong(format!(
            "epoch {epoch}: parameters sha256 {}, expected {} as in {SUMMARY}",
            row.parameters_sha256, summary.parameters_sha256
        ));
    }
    let found = row.validation_accuracy.zip(summary.validation);
    match found.is_none_or(|(accuracy, count)| (accuracy - count.share()).abs() < 1e-9) {
        true => Ok(()),
        false => wrong(format!("epoch {epoch}: another validation accuracy than in {SUMMARY}")),
    }
}

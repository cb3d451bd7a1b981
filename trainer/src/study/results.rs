//! What the runs of a study came to.

use std::path::Path;

use datasets::{Dataset, Digest};

use super::plan::{Plan, Point, Trial};
use crate::checkpoint::{self, Progress};
use crate::error::{Error, Result};
use crate::history::{self, EpochRow};
use crate::run::{self, RunSummary};

/// A study's runs, by point.
#[derive(Debug, Clone)]
pub struct Results {
    /// In the order of the plan's points.
    pub points: Vec<PointResult>,
}

/// What a combination came to.
#[derive(Debug, Clone)]
pub struct PointResult {
    /// As in the plan.
    pub settings: Vec<(String, String)>,
    /// As people read it.
    pub label: String,
    /// Trainable values.
    pub parameters: usize,
    /// Multiply-accumulates for one image.
    pub macs: u64,
    /// Finished and stopped runs, in the order of the seeds.
    pub runs: Vec<RunResult>,
    /// Seeds with which training diverged, and how.
    pub diverged: Vec<(u64, String)>,
    /// Why it cannot be trained.
    pub problem: Option<String>,
    /// The earlier combination that is the same under another name.
    pub same_as: Option<usize>,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// Its seed.
    pub seed: u64,
    /// sha256 of its recipe.
    pub recipe_sha256: Digest,
    /// sha256 of its parameters after the last epoch.
    pub parameters_sha256: Digest,
    /// Share of the validation images that the chosen epoch's weights get right.
    pub accuracy: f64,
    /// Time in the training loop.
    pub seconds: f64,
    /// Every epoch.
    pub history: Vec<EpochRow>,
    /// Mean training loss of every epoch without label smoothing; empty for runs of older versions.
    pub plain_losses: Vec<f64>,
    /// Epoch whose weights were chosen; the last so far of a run that is not finished.
    pub chosen_epoch: u32,
    /// False for a run that was stopped early.
    pub finished: bool,
}

/// Reads back every run that has finished or has a checkpoint.
///
/// # Errors
/// If a run's files are damaged or its shapes do not fit the dataset.
pub fn collect(plan: &Plan, dataset: &Dataset) -> Result<Results> {
    let data = dataset.description.training_sha256();
    let point = |point: &Point| -> Result<PointResult> {
        let runs = point.trials.iter().filter_map(|trial| run_result(trial, data).transpose());
        let mut found = PointResult {
            settings: point.settings.clone(),
            label: point.label(),
            parameters: 0,
            macs: 0,
            runs: Vec::new(),
            diverged: Vec::new(),
            problem: point.problem.clone(),
            same_as: point.same_as,
        };
        if found.problem.is_some() {
            return Ok(found);
        }
        found.runs = runs.collect::<Result<Vec<_>>>()?;
        for trial in &point.trials {
            let diverged = run::read_diverged(&trial.run, &trial.recipe, data)?;
            found.diverged.extend(diverged.map(|diverged| (trial.seed, diverged.to_string())));
        }
        if let Some(trial) = point.trials.first() {
            let network = trial.recipe.recipe.build_network(&dataset.description)?;
            (found.parameters, found.macs) = (network.parameter_count(), network.macs());
        }
        Ok(found)
    };
    Ok(Results { points: plan.points.iter().map(point).collect::<Result<_>>()? })
}

/// Whether nothing is left to train of a run, up to an epoch or to its end: it is finished, has come so far, or diverged.
///
/// # Errors
/// [`Error::Run`] if its folder holds a run of another recipe or of other data.
pub(crate) fn is_done(trial: &Trial, epochs: Option<u32>, data: Digest) -> Result<bool> {
    if summary(trial, data)?.is_some() || run::read_diverged(&trial.run, &trial.recipe, data)?.is_some() {
        return Ok(true);
    }
    let Some(epochs) = epochs.filter(|_| trial.run.join(checkpoint::FILE).exists()) else { return Ok(false) };
    Ok(progress(trial, data)?.rows.len() >= epochs as usize)
}

fn summary(trial: &Trial, data: Digest) -> Result<Option<RunSummary>> {
    let path = trial.run.join(run::SUMMARY);
    if !path.exists() {
        return Ok(None);
    }
    let summary = run::read_summary(&path)?;
    if summary.recipe_sha256 != trial.recipe.sha256() {
        return Err(Error::run(
            &path,
            format!("recipe sha256 {}, expected {}", summary.recipe_sha256, trial.recipe.sha256()),
        ));
    }
    run::check_data(&trial.run, summary.data_sha256, data)?;
    Ok(Some(summary))
}

fn progress(trial: &Trial, data: Digest) -> Result<Progress> {
    let progress = checkpoint::read_progress(&trial.run)?;
    run::check_data(&trial.run, progress.data_sha256, data)?;
    Ok(progress)
}

fn run_result(trial: &Trial, data: Digest) -> Result<Option<RunResult>> {
    if run::read_diverged(&trial.run, &trial.recipe, data)?.is_some() {
        return Ok(None);
    }
    let finished = summary(trial, data)?;
    let (history, seconds, plain_losses) = match &finished {
        Some(summary) => {
            (read_history(&trial.run.join(run::HISTORY))?, summary.seconds, summary.plain_losses.clone())
        }
        None if trial.run.join(checkpoint::FILE).exists() => {
            let progress = progress(trial, data)?;
            (progress.rows, progress.seconds, progress.plain_losses)
        }
        None => return Ok(None),
    };
    let selected = finished.as_ref().map(|summary| summary.selected_epoch);
    let chosen = history.iter().find(|row| Some(row.epoch) == selected).or(history.last());
    let Some((chosen, last)) = chosen.zip(history.last()) else { return Ok(None) };
    let accuracy = chosen.validation_accuracy.ok_or_else(|| {
        Error::run(&trial.run, "no validation images; a study compares by them, set split.validation")
    })?;
    Ok(Some(RunResult {
        seed: trial.seed,
        recipe_sha256: trial.recipe.sha256(),
        parameters_sha256: last.parameters_sha256,
        accuracy,
        seconds,
        finished: finished.is_some(),
        chosen_epoch: chosen.epoch,
        plain_losses,
        history,
    }))
}

fn read_history(path: &Path) -> Result<Vec<EpochRow>> {
    history::parse_csv(&datasets::yaml::read_text(path)?, path)
}

impl PointResult {
    /// Validation accuracies of its runs.
    pub fn accuracies(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.accuracy).collect()
    }

    /// Mean time of its runs.
    pub fn seconds(&self) -> f64 {
        self.runs.iter().map(|run| run.seconds).sum::<f64>() / self.runs.len().max(1) as f64
    }

    /// Mean validation accuracy after each epoch, over the runs that came so far; what a run that stopped by itself chose
    /// stays.
    pub(crate) fn curve(&self) -> Vec<(u32, f64)> {
        let epochs = self.runs.iter().map(|run| run.history.len()).max().unwrap_or(0);
        let mean = |epoch: usize| {
            let rows = self.runs.iter().filter_map(|run| match run.history.get(epoch) {
                Some(row) => row.validation_accuracy,
                None => run.finished.then_some(run.accuracy),
            });
            let (count, sum) = rows.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
            (epoch as u32 + 1, sum / f64::from(count.max(1)))
        };
        (0..epochs).map(mean).collect()
    }

    /// The value of a knob, if this combination sets it.
    pub fn value(&self, knob: &str) -> Option<&str> {
        self.settings.iter().find(|(name, _)| name == knob).map(|(_, value)| value.as_str())
    }
}

//! The state of a run, in one file that is replaced atomically.

use std::collections::HashMap;
use std::path::Path;

use datasets::{Digest, Hasher};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::early_stopping::EarlyStopping;
use crate::error::{Error, Result};
use crate::history::{self, EpochRow};
use crate::layers;
use crate::network::Network;
use crate::optimizer::OptimizerState;
use crate::parameters::Parameters;
use crate::recipe::Recipe;
use crate::step::Weights;

/// File name inside a run directory.
pub(crate) const FILE: &str = "checkpoint.safetensors";

/// The one metadata key: more than one would be written in random order.
const PROGRESS_KEY: &str = "progress";
/// Longest checkpoint.
const MAX_BYTES: u64 = 16 << 30;

/// Where a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The recipe this run follows.
    pub recipe_sha256: Digest,
    /// The training images; absent from runs of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<Digest>,
    /// Epoch at hand, from 1; one more than the recipe's when all are done.
    pub epoch: u32,
    /// Steps taken in this epoch.
    pub step: usize,
    /// Optimizer steps taken in all.
    pub optimizer_steps: u64,
    /// Sum of the losses of this epoch's images.
    pub loss_sum: f64,
    /// The same without label smoothing.
    #[serde(default)]
    pub plain_loss_sum: f64,
    /// Mean loss of each finished epoch without label smoothing.
    #[serde(default)]
    pub plain_losses: Vec<f64>,
    /// Right answers for training images of this epoch, one of each member of an ensemble.
    pub correct: u64,
    /// Finished epochs.
    pub rows: Vec<EpochRow>,
    /// The epoch whose weights are the best so far.
    pub best_epoch: Option<u32>,
    /// Time spent so far.
    pub seconds: f64,
    /// sha256 of all tensors, in the order of the file; absent from checkpoints of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensors_sha256: Option<Digest>,
    /// Whether every machine that worked on it gave the recipe's numeric profile.
    #[serde(default)]
    pub numeric_profile_in_force: bool,
}

impl Progress {
    /// Whether a run of a recipe can be there, with so many training images.
    ///
    /// # Errors
    /// [`Error::Run`] names the field; `run` is the run directory.
    pub(crate) fn check(&self, recipe: &Recipe, images: usize, run: &Path) -> Result<()> {
        let steps = images.div_ceil(recipe.batch_size);
        let taken = (self.epoch as u64)
            .saturating_sub(1)
            .saturating_mul(steps as u64)
            .saturating_add(self.step as u64);
        let answers = recipe.batch_size.saturating_mul(layers::members(&recipe.network));
        let seen = self.step.saturating_mul(answers) as u64;
        let numbers = [
            ("epoch", u64::from(self.epoch), 1..=u64::from(recipe.epochs) + 1),
            ("step", self.step as u64, 0..=steps.saturating_sub(1) as u64),
            ("optimizer_steps", self.optimizer_steps, taken..=taken),
            ("correct", self.correct, 0..=seen),
        ];
        match numbers.into_iter().find(|(_, found, range)| !range.contains(found)) {
            None => Ok(()),
            Some((field, found, range)) => {
                let (low, high) = (range.start(), range.end());
                let problem = format!("progress: {field}: found {found}, expected {low} to {high}");
                Err(Error::run(&run.join(FILE), problem))
            }
        }
    }

    /// Whether the run has come to its end.
    pub(crate) fn is_over(&self, recipe: &Recipe) -> bool {
        let is_stopped = |early: &EarlyStopping| early.is_over(&self.rows);
        self.epoch > recipe.epochs || self.step == 0 && recipe.early_stopping.as_ref().is_some_and(is_stopped)
    }
}

/// Everything needed to go on.
pub struct State {
    /// Current weights.
    pub parameters: Parameters,
    /// Moving average of the weights, if the recipe has one.
    pub ema: Option<Parameters>,
    /// Weights of the best epoch so far, if the recipe chooses by validation.
    pub best: Option<Parameters>,
    /// The optimizer's memory.
    pub optimizer: OptimizerState,
    /// Where the run is.
    pub progress: Progress,
}

impl State {
    /// The weights that are validated and published.
    pub fn model(&self) -> &Parameters {
        self.ema.as_ref().unwrap_or(&self.parameters)
    }

    /// What a step changes.
    pub(crate) fn weights(&mut self) -> Weights<'_> {
        let State { parameters, ema, optimizer, .. } = self;
        Weights { parameters, ema: ema.as_mut(), optimizer }
    }

    /// The weights are those that the progress tells of.
    fn check(&self, path: &Path) -> Result<()> {
        let Progress { rows, step, best_epoch, tensors_sha256, .. } = &self.progress;
        let damaged = |what: &str| Err(Error::run(path, format!("damaged: {what} are not what was saved")));
        if let Some(expected) = tensors_sha256 {
            let mut hasher = Hasher::default();
            self.tensors().into_iter().for_each(|(_, tensor)| hasher.update(&to_bytes(tensor)));
            if hasher.digest() != *expected {
                return damaged("tensors");
            }
        }
        let is_of = |parameters: &Parameters, row: Option<&EpochRow>| {
            row.is_none_or(|row| parameters.sha256() == row.parameters_sha256)
        };
        // Within an epoch the weights are no row's.
        if *step == 0 && !is_of(self.model(), rows.last()) {
            return damaged("weights");
        }
        let best_row = best_epoch.and_then(|epoch| rows.get(epoch as usize - 1));
        match self.best.as_ref().is_none_or(|best| is_of(best, best_row)) {
            true => Ok(()),
            false => damaged("weights of the best epoch"),
        }
    }

    fn tensors(&self) -> Vec<(String, &Tensor)> {
        let mut tensors = Vec::new();
        let sets = [
            ("parameters", Some(&self.parameters)),
            ("ema", self.ema.as_ref()),
            ("best", self.best.as_ref()),
        ];
        for (name, set) in sets.into_iter().filter_map(|(name, set)| Some((name, set?))) {
            for (part, buffer) in ["trainable", "statistics"].into_iter().zip(set.buffers()) {
                tensors.push((format!("{name}.{part}"), buffer));
            }
        }
        tensors.push(("optimizer.first".into(), &self.optimizer.first));
        tensors.push(("optimizer.second".into(), &self.optimizer.second));
        tensors
    }

    /// Writes the state into `run`, atomically.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Run`].
    pub fn save(&self, run: &Path) -> Result<()> {
        let path = run.join(FILE);
        let wrong = |e: String| Error::run(&path, e);
        let bytes: Vec<(String, usize, Vec<u8>)> = self
            .tensors()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.numel(), to_bytes(tensor)))
            .collect();
        let views = bytes
            .iter()
            .map(|(name, numel, bytes)| {
                Ok((name.as_str(), TensorView::new(Dtype::F32, vec![*numel], bytes)?))
            })
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|e| wrong(e.to_string()))?;
        let mut hasher = Hasher::default();
        bytes.iter().for_each(|(_, _, bytes)| hasher.update(bytes));
        let progress = Progress { tensors_sha256: Some(hasher.digest()), ..self.progress.clone() };
        let progress = serde_json::to_string(&progress).map_err(|e| wrong(e.to_string()))?;
        let metadata = Some(HashMap::from([(PROGRESS_KEY.to_owned(), progress)]));
        let file = safetensors::serialize(views, metadata).map_err(|e| wrong(e.to_string()))?;
        Ok(zoo::write_atomic(&path, &file)?)
    }

    /// Reads a state back; `with_ema` says whether the recipe has a moving average.
    ///
    /// # Errors
    /// [`Error::Run`] if the file does not belong to this recipe or is damaged.
    pub fn load(
        run: &Path,
        network: &Network,
        recipe: &Digest,
        with_ema: bool,
        device: Device,
    ) -> Result<State> {
        let path = run.join(FILE);
        let bytes = datasets::files::read(&path, MAX_BYTES).map_err(Error::io(&path))?;
        let wrong = |e: String| Error::run(&path, e);
        let progress = parse_progress(&bytes, &path)?;
        if progress.recipe_sha256 != *recipe {
            let found = progress.recipe_sha256;
            return Err(wrong(format!("made by another recipe: sha256 {found}, expected {recipe}")));
        }
        let (epoch, finished) = (progress.epoch, progress.rows.len());
        if u32::try_from(finished).ok().and_then(|finished| finished.checked_add(1)) != Some(epoch) {
            return Err(wrong(format!("progress: epoch {epoch} after {finished} finished ones")));
        }
        if progress.best_epoch.is_some_and(|best| best == 0 || best as usize > finished) {
            return Err(wrong(format!("progress: best epoch {:?} of {finished}", progress.best_epoch)));
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
        let parameters = || Parameters::zeros(network.parameters(), device);
        let mut state = State {
            parameters: parameters()?,
            ema: with_ema.then(parameters).transpose()?,
            best: progress.best_epoch.map(|_| parameters()).transpose()?,
            optimizer: OptimizerState::new(parameters()?.trainable()),
            progress,
        };
        state.optimizer.steps = state.progress.optimizer_steps;
        let fill = |name: String, target: &mut Tensor| -> Result<()> {
            let view = tensors.tensor(&name).map_err(|e| wrong(format!("{name}: {e}")))?;
            let expected = [target.numel()];
            if view.dtype() != Dtype::F32 || view.shape() != expected {
                return Err(wrong(format!(
                    "{name}: found {:?} {:?}, expected F32 {expected:?}",
                    view.dtype(),
                    view.shape()
                )));
            }
            let source = Tensor::f_from_data_size(view.data(), &[target.numel() as i64], tch::Kind::Float)?;
            tch::no_grad(|| target.f_copy_(&source))?;
            Ok(())
        };
        let sets = [
            ("parameters", Some(&mut state.parameters)),
            ("ema", state.ema.as_mut()),
            ("best", state.best.as_mut()),
        ];
        for (name, set) in sets.into_iter().filter_map(|(name, set)| Some((name, set?))) {
            for (part, buffer) in ["trainable", "statistics"].into_iter().zip(set.buffers_mut()) {
                fill(format!("{name}.{part}"), buffer)?;
            }
        }
        fill("optimizer.first".into(), &mut state.optimizer.first)?;
        fill("optimizer.second".into(), &mut state.optimizer.second)?;
        state.check(&path)?;
        Ok(state)
    }
}

/// Where the run in a folder is, without its weights.
///
/// # Errors
/// [`Error::Run`] if there is no checkpoint or it is damaged.
pub(crate) fn read_progress(run: &Path) -> Result<Progress> {
    let path = run.join(FILE);
    parse_progress(&datasets::files::read(&path, MAX_BYTES).map_err(Error::io(&path))?, &path)
}

fn parse_progress(bytes: &[u8], path: &Path) -> Result<Progress> {
    let wrong = |e: String| Error::run(path, e);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| wrong(e.to_string()))?;
    let text = header.metadata().as_ref().and_then(|m| m.get(PROGRESS_KEY));
    let text = text.ok_or_else(|| wrong("not a checkpoint: no `progress` in its metadata".into()))?;
    let progress: Progress = serde_json::from_str(text).map_err(|e| wrong(format!("progress: {e}")))?;
    history::check(&progress.rows, path)?;
    let sums = [progress.seconds, progress.loss_sum, progress.plain_loss_sum];
    if sums.iter().any(|sum| !sum.is_finite()) || !(0.0..1e12).contains(&progress.seconds) {
        return Err(wrong(format!("progress: sums of losses and seconds {sums:?}, expected finite numbers")));
    }
    Ok(progress)
}

fn to_bytes(tensor: &Tensor) -> Vec<u8> {
    let mut values = vec![0f32; tensor.numel()];
    tensor.detach().to_device(Device::Cpu).copy_data(&mut values, tensor.numel());
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

//! The training loop.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use datasets::{Dataset, ImageShape, Samples};
use tch::{Device, Tensor};

use crate::augment::Augmentation;
use crate::batches::{Batch, Source};
use crate::checkpoint::{Progress, State};
use crate::distillation::Distillation;
use crate::early_stopping;
use crate::error::{Error, Result};
use crate::evaluate::Evaluator;
use crate::fingerprint;
use crate::history::EpochRow;
use crate::network::Network;
use crate::normaliser::Normaliser;
use crate::optimizer::OptimizerState;
use crate::recipe::{Recipe, RecipeFile, Select};
use crate::run::{self, Diverged, RunDir, RunSummary};
use crate::split::{check_images, split};
use crate::step::Rules;
use crate::teacher::Teacher;

/// How a run is carried out; nothing here changes the resulting bytes on the CPU.
pub struct Options<'a> {
    /// Where libtorch computes.
    pub device: Device,
    /// Go on from the checkpoint in the run directory.
    pub resume: bool,
    /// Set from a signal handler: save and stop.
    pub interrupted: &'a AtomicBool,
    /// Stop after so many epochs of the recipe's, to compare the start of a run.
    pub stop_after: Option<u32>,
    /// Where a teacher is that the recipe names.
    pub zoo: &'a Path,
}

/// Told about a run as it goes; binaries draw a bar from it.
pub trait Observer: Send {
    /// Something that does not stop the run, and that people should know.
    fn warn(&mut self, problem: &str);
    /// Training starts, `done` steps of the first epoch having been taken before.
    fn begin(&mut self, network: &Network, first_epoch: u32, epochs: u32, images_per_epoch: usize);
    /// A step on so many images.
    fn step(&mut self, images: usize, loss: f64);
    /// An epoch is over.
    fn epoch(&mut self, row: &EpochRow);
}

/// Fits the recipe's network and leaves model, history and summary in `run`; `None`, and only a
/// checkpoint, if [`Options::stop_after`] is before the recipe's last epoch.
///
/// # Errors
/// [`Error::Interrupted`] after saving a checkpoint; else what is wrong with the
/// recipe, the data or the run directory.
pub fn train(
    recipe: &RecipeFile,
    dataset: &Dataset,
    run: &RunDir,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Option<RunSummary>> {
    let network = recipe.build_network(&dataset.description)?;
    let data = dataset.description.training_sha256();
    if options.resume
        && let Some(Diverged { what, epoch, step, .. }) = run::read_diverged(run.path(), recipe, data)?
    {
        return Err(Error::Diverged { what, epoch, step });
    }
    let fitted = fit(recipe, dataset, &network, run, options, observer);
    if let Err(Error::Diverged { what, epoch, step }) = &fitted {
        run.write_diverged(recipe, data, what, *epoch, *step)?;
    }
    let state = fitted?;
    if !state.progress.is_over(&recipe.recipe) {
        return Ok(None);
    }
    run::finish(run, recipe, dataset, &network, &state).map(Some)
}

/// The training loop alone: leaves a checkpoint in `run` and returns the state.
///
/// # Errors
/// As for [`train`].
pub fn fit(
    recipe: &RecipeFile,
    dataset: &Dataset,
    network: &Network,
    run: &RunDir,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<State> {
    let samples = dataset.load(datasets::Split::Train)?;
    check_images(&recipe.recipe, network, samples.len()).map_err(|error| recipe.in_file(error))?;
    let (training, validation) = split(recipe, &samples)?;
    let images = Images {
        samples: &samples,
        normaliser: &Normaliser::new(&dataset.description.normalisation),
        training: &training,
        validation: &validation,
        dataset,
    };
    fit_on(recipe, &images, network, run, options, observer)
}

/// What a network is fitted to.
pub(crate) struct Images<'a> {
    pub(crate) samples: &'a Samples,
    pub(crate) normaliser: &'a Normaliser,
    /// Places of those to fit.
    pub(crate) training: &'a [usize],
    /// Places of those to choose by.
    pub(crate) validation: &'a [usize],
    /// Where they are from; a run goes on with the same.
    pub(crate) dataset: &'a Dataset,
}

impl Images<'_> {
    fn teacher(&self, recipe: &RecipeFile, options: &Options<'_>) -> Result<Option<Teacher>> {
        let distillation = recipe.recipe.distillation.as_ref();
        let open = |distillation: &Distillation| {
            Teacher::open(distillation, recipe, self.dataset, options.zoo, options.device)
        };
        distillation.map(open).transpose()
    }
}

/// The training loop on the images that are named, whatever the recipe's split says.
///
/// # Errors
/// As for [`train`].
pub(crate) fn fit_on(
    recipe: &RecipeFile,
    images: &Images<'_>,
    network: &Network,
    run: &RunDir,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<State> {
    if let Some(Err((field, found))) = recipe.recipe.outliers.as_ref().map(|o| o.check(images.samples)) {
        let path = recipe.path.clone();
        let expected = "classes of which there are training images".into();
        return Err(Error::Recipe { path, field: field.into(), found, expected });
    }
    recipe.recipe.numeric_profile.run(|| {
        let in_force = numeric_profile_in_force(&recipe.recipe, options.device, observer)?;
        let mut trainer = Trainer {
            recipe: &recipe.recipe,
            network,
            samples: images.samples,
            normaliser: images.normaliser,
            training: images.training,
            validation: images.validation,
            device: options.device,
            teacher: images.teacher(recipe, options)?,
            state: initial_state(recipe, images, network, run, options)?,
            started: Instant::now(),
        };
        trainer.state.progress.numeric_profile_in_force &= in_force;
        let first = trainer.state.progress.epoch;
        let last = options.stop_after.unwrap_or(u32::MAX).min(recipe.recipe.epochs);
        observer.begin(network, first, last, images.training.len());
        while trainer.state.progress.epoch <= last && !trainer.state.progress.is_over(&recipe.recipe) {
            trainer.epoch(options.interrupted, observer)?;
            trainer.save(run.path())?;
            let is_over = trainer.state.progress.is_over(&recipe.recipe);
            if options.interrupted.load(Ordering::Relaxed) && trainer.state.progress.epoch <= last && !is_over
            {
                let epoch = trainer.state.progress.epoch;
                return Err(Error::Interrupted { epoch, run: run.path().to_owned() });
            }
        }
        Ok(trainer.state)
    })
}

/// Whether this machine gives the recipe's profile; where bytes are promised, that is measured.
fn numeric_profile_in_force(recipe: &Recipe, device: Device, observer: &mut dyn Observer) -> Result<bool> {
    let profile = &recipe.numeric_profile;
    if device != Device::Cpu || !profile.is_active() || profile.obstacle().is_some() {
        return Ok(false);
    }
    if !profile.isa.is_portable() {
        return Ok(true);
    }
    let difference = fingerprint::difference(recipe)?;
    if let Some(difference) = &difference {
        observer.warn(&format!(
            "numeric profile {profile}: {difference}; the bytes will differ from those of other machines"
        ));
    }
    Ok(difference.is_none())
}

fn initial_state(
    recipe: &RecipeFile,
    images: &Images<'_>,
    network: &Network,
    run: &RunDir,
    options: &Options<'_>,
) -> Result<State> {
    let data = images.dataset.description.training_sha256();
    let with_ema = recipe.recipe.ema.is_some();
    if options.resume && run.has_checkpoint() {
        let mut state = State::load(run.path(), network, &recipe.sha256(), with_ema, options.device)?;
        // Checkpoints of older versions do not say it.
        let found = *state.progress.data_sha256.get_or_insert(data);
        run::check_data(run.path(), Some(found), data)?;
        state.progress.check(&recipe.recipe, images.training.len(), run.path())?;
        return Ok(state);
    }
    let mut parameters = network.initialise(recipe.recipe.seed, options.device)?;
    Ok(State {
        ema: with_ema.then(|| parameters.copy()),
        best: None,
        optimizer: OptimizerState::new(parameters.trainable()),
        parameters,
        progress: Progress {
            recipe_sha256: recipe.sha256(),
            data_sha256: Some(data),
            epoch: 1,
            step: 0,
            optimizer_steps: 0,
            loss_sum: 0.0,
            plain_loss_sum: 0.0,
            plain_losses: Vec::new(),
            correct: 0,
            rows: Vec::new(),
            best_epoch: None,
            seconds: 0.0,
            tensors_sha256: None,
            numeric_profile_in_force: true,
        },
    })
}

struct Trainer<'a> {
    recipe: &'a Recipe,
    network: &'a Network,
    samples: &'a Samples,
    normaliser: &'a Normaliser,
    training: &'a [usize],
    validation: &'a [usize],
    device: Device,
    teacher: Option<Teacher>,
    state: State,
    started: Instant,
}

impl<'a> Trainer<'a> {
    /// Runs the rest of the epoch at hand; returns early if interrupted.
    fn epoch(&mut self, interrupted: &AtomicBool, observer: &mut dyn Observer) -> Result<()> {
        let Progress { epoch, step, .. } = self.state.progress;
        let plain = Augmentation::default();
        let source = Source {
            samples: self.samples,
            indices: self.training,
            normaliser: self.normaliser,
            augmentation: if self.recipe.is_plain(epoch) { &plain } else { &self.recipe.augmentation },
            sampling: self.recipe.sampling,
            outliers: self.recipe.outliers.as_ref(),
            batch_size: self.recipe.batch_size,
            seed: self.recipe.seed,
        };
        let mut learning_rate = 0.0;
        std::thread::scope(|scope| -> Result<()> {
            for batch in source.epoch(epoch, step, scope) {
                let (images, loss, rate) = self.step(batch)?;
                learning_rate = rate;
                observer.step(images, loss);
                if interrupted.load(Ordering::Relaxed) {
                    break;
                }
            }
            Ok(())
        })?;
        if self.state.progress.step >= self.steps_per_epoch() {
            let row = self.finish_epoch(learning_rate)?;
            observer.epoch(&row);
        }
        Ok(())
    }

    fn steps_per_epoch(&self) -> usize {
        self.training.len().div_ceil(self.recipe.batch_size)
    }

    /// One optimizer step; returns images, mean loss and learning rate.
    fn step(&mut self, batch: Batch) -> Result<(usize, f64, f64)> {
        let count = batch.labels.len();
        let ImageShape { channels, height, width } = self.samples.shape;
        let all = batch.images.len() / self.samples.shape.numel();
        let size = [all, channels, height, width].map(|d| d as i64);
        let images = Tensor::f_from_slice(&batch.images)?.f_view(size)?.to_device(self.device);
        let Recipe { optimizer, label_smoothing, ema, seed, schedule, epochs, .. } = self.recipe;
        let rules = Rules {
            network: self.network,
            optimizer,
            label_smoothing: *label_smoothing,
            ema: *ema,
            seed: *seed,
            teacher: self.teacher.as_ref(),
        };
        let taken = self.state.optimizer.steps;
        let learning_rate = schedule.learning_rate(taken, self.steps_per_epoch() as u64, *epochs);
        let found = rules.step(&mut self.state.weights(), &images, &batch.labels, learning_rate)?;
        let progress = &mut self.state.progress;
        if !found.loss.is_finite() {
            let what = format!("the loss became {}", found.loss);
            return Err(Error::Diverged { what, epoch: progress.epoch, step: progress.step + 1 });
        }
        progress.step += 1;
        progress.optimizer_steps = self.state.optimizer.steps;
        progress.loss_sum += found.loss * count as f64;
        progress.plain_loss_sum += found.plain_loss * count as f64;
        progress.correct += found.correct as u64;
        Ok((count, found.loss, learning_rate))
    }

    fn finish_epoch(&mut self, learning_rate: f64) -> Result<EpochRow> {
        let held_out = (!self.validation.is_empty()).then(|| {
            let evaluator = Evaluator {
                network: self.network,
                parameters: self.state.model(),
                normaliser: self.normaliser,
                samples: self.samples,
                device: self.device,
            };
            evaluator.evaluate(self.validation)
        });
        let progress = &self.state.progress;
        let diverged = |what: String| Error::Diverged { what, epoch: progress.epoch, step: progress.step };
        // Statistics of batch normalisation can be lost while the loss of each batch is still a number.
        for parameters in [&self.state.parameters, self.state.model()] {
            if !parameters.is_finite() {
                return Err(diverged("a weight or statistic is no longer a finite number".into()));
            }
        }
        if let Some(loss) = held_out.as_ref().map(|found| found.loss).filter(|loss| !loss.is_finite()) {
            return Err(diverged(format!("the validation loss became {loss}")));
        }
        let images = self.training.len() as f64;
        let row = EpochRow {
            epoch: progress.epoch,
            learning_rate,
            train_loss: progress.loss_sum / images,
            train_accuracy: progress.correct as f64 / (images * self.network.members() as f64),
            validation_loss: held_out.as_ref().map(|e| e.loss),
            validation_accuracy: held_out.as_ref().map(|e| e.correct as f64 / self.validation.len() as f64),
            parameters_sha256: self.state.model().sha256(),
        };
        if self.recipe.output.select == Select::BestValidation {
            self.keep_if_best(&row);
        }
        let progress = &mut self.state.progress;
        progress.rows.push(row.clone());
        progress.epoch += 1;
        progress.plain_losses.push(progress.plain_loss_sum / images);
        (progress.loss_sum, progress.plain_loss_sum) = (0.0, 0.0);
        (progress.step, progress.correct) = (0, 0);
        Ok(row)
    }

    fn keep_if_best(&mut self, row: &EpochRow) {
        let rows: Vec<EpochRow> = self.state.progress.rows.iter().chain([row]).cloned().collect();
        if early_stopping::best(&rows).is_some_and(|best| best.epoch == row.epoch) {
            self.state.best = Some(self.state.model().copy());
            self.state.progress.best_epoch = Some(row.epoch);
        }
    }

    fn save(&mut self, run: &Path) -> Result<()> {
        self.state.progress.seconds += self.started.elapsed().as_secs_f64();
        self.started = Instant::now();
        self.state.save(run)
    }
}

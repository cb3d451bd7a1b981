//! One step of training: forward, loss, gradient, optimizer, moving average.

use tch::{Kind, Tensor};

use crate::arithmetic::{Arithmetic, loss, sweep, tape::Tape};
use crate::error::Result;
use crate::layers::Mode;
use crate::network::Network;
use crate::optimizer::{Optimizer, OptimizerState};
use crate::parameters::Parameters;
use crate::teacher::Teacher;
use distortions::Stream;

/// What a recipe says about every step.
pub(crate) struct Rules<'a> {
    pub(crate) network: &'a Network,
    pub(crate) optimizer: &'a Optimizer,
    pub(crate) label_smoothing: f64,
    /// Decay of the moving average, if there is one.
    pub(crate) ema: Option<f64>,
    /// The recipe's seed.
    pub(crate) seed: u64,
    /// Whose answers count beside the labels.
    pub(crate) teacher: Option<&'a Teacher>,
}

/// What a step changes.
pub(crate) struct Weights<'a> {
    pub(crate) parameters: &'a mut Parameters,
    pub(crate) ema: Option<&'a mut Parameters>,
    pub(crate) optimizer: &'a mut OptimizerState,
}

/// What a step found before it changed the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    /// Mean loss of the images that have labels.
    pub(crate) loss: f64,
    /// The same without label smoothing, as for validation images.
    pub(crate) plain_loss: f64,
    /// Images classified right.
    pub(crate) correct: usize,
}

impl Rules<'_> {
    /// Takes one step on normalised images `[N + outliers, C, H, W]`, of which the first have labels; the
    /// weights stay as they are if the loss is not finite.
    ///
    /// # Errors
    /// What libtorch says.
    pub(crate) fn step(
        &self,
        weights: &mut Weights<'_>,
        images: &Tensor,
        labels: &[i64],
        learning_rate: f64,
    ) -> Result<Found> {
        match self.network.arithmetic(images.device()) {
            Arithmetic::Libtorch => self.by_libtorch(weights, images, labels, learning_rate),
            Arithmetic::Portable { .. } => self.portable(weights, images, labels, learning_rate),
        }
    }

    /// Share of the average that stays; early on less, so that the start is soon forgotten.
    fn decay(&self, steps: u64) -> Option<f64> {
        let steps = steps as f64;
        self.ema.map(|decay| decay.min((1.0 + steps) / (10.0 + steps)))
    }

    fn portable(
        &self,
        weights: &mut Weights<'_>,
        images: &Tensor,
        labels: &[i64],
        learning_rate: f64,
    ) -> Result<Found> {
        let Weights { parameters, ema, optimizer } = weights;
        let taught = self.teacher.map(|teacher| teacher.logits(images));
        let tape = Tape::new(self.seed, optimizer.steps);
        let logits = self.network.logits_on_tape(images, parameters, &tape);
        let (loss, slope) = match (self.teacher, &taught) {
            (Some(&Teacher { weight, temperature, .. }), Some(taught)) => {
                let taught = loss::Taught { logits: taught, weight, temperature };
                loss::taught(&logits, labels, self.label_smoothing, &taught)
            }
            _ => loss::with_gradient(&logits, labels, self.label_smoothing),
        };
        let images = labels.len() as f64;
        let found =
            Found { loss: loss.sum / images, plain_loss: loss.plain_sum / images, correct: loss.correct };
        if !found.loss.is_finite() {
            return Ok(found);
        }
        let mut gradient = optimizer.gradient_buffer();
        tape.gradient(parameters, &logits, slope, &mut gradient)?;
        drop(tape);
        optimizer.steps += 1;
        let decay = self.decay(optimizer.steps);
        let (mut average, mut statistics) = (None, None);
        if let (Some(decay), Some(ema)) = (decay, ema.as_deref_mut()) {
            let [values, other] = ema.buffers_mut();
            (average, statistics) = (Some(sweep::Average { values, decay }), Some((other, decay)));
        }
        let undecayed = self.optimizer.undecayed(parameters);
        let target = sweep::Target { parameters: parameters.trainable(), undecayed: &undecayed, average };
        sweep::step(self.optimizer, optimizer, target, &gradient, learning_rate);
        if let Some((average, decay)) = statistics {
            let [_, values] = parameters.buffers();
            sweep::follow(average, values, decay);
        }
        optimizer.keep(gradient);
        Ok(found)
    }

    fn by_libtorch(
        &self,
        weights: &mut Weights<'_>,
        images: &Tensor,
        labels: &[i64],
        learning_rate: f64,
    ) -> Result<Found> {
        let Weights { parameters, ema, optimizer } = weights;
        let labels = Tensor::f_from_slice(labels)?.to_device(images.device());
        if self.network.is_random() {
            // Dropout draws from libtorch's generator: seeding it at every step lets a run resume anywhere.
            tch::manual_seed(Stream::new(self.seed, "dropout", optimizer.steps, 0).seed());
        }
        let taught = self.teacher.map(|teacher| teacher.logits(images));
        let logits = self.network.logits(images, parameters, Mode::Train);
        let (count, all) = (labels.numel() as i64, logits.size()[0]);
        let outliers = logits.narrow(0, count, all - count);
        let logits = logits.narrow(0, 0, count);
        let mut loss = logits.cross_entropy_loss(
            &labels,
            None::<Tensor>,
            tch::Reduction::Mean,
            -100,
            self.label_smoothing,
        );
        if let (Some(Teacher { weight, temperature, .. }), Some(taught)) = (self.teacher, taught) {
            let q = (taught.narrow(0, 0, count) / *temperature).softmax(-1, Kind::Float);
            let log_p = (&logits / *temperature).log_softmax(-1, Kind::Float);
            let soft = -(q * log_p).sum(Kind::Float) / count as f64;
            loss = loss * (1.0 - weight) + soft * (weight * temperature * temperature);
        }
        let in_classes = loss.detach();
        let plain =
            logits.detach().cross_entropy_loss(&labels, None::<Tensor>, tch::Reduction::Mean, -100, 0.0);
        if all > count {
            let uniform = -outliers.log_softmax(-1, Kind::Float).mean(Kind::Float);
            loss = (loss * count as f64 + uniform * (all - count) as f64) / all as f64;
        }
        let hits = logits.detach().argmax(1, false).eq_tensor(&labels).sum(Kind::Int64);
        let found = Found {
            loss: in_classes.double_value(&[]),
            plain_loss: plain.double_value(&[]),
            correct: hits.int64_value(&[]) as usize,
        };
        if !found.loss.is_finite() {
            return Ok(found);
        }
        let gradient = parameters.gradient(&loss)?;
        let undecayed = self.optimizer.undecayed(parameters);
        optimizer.step(self.optimizer, parameters.trainable(), gradient, learning_rate, &undecayed);
        if let (Some(decay), Some(average)) = (self.decay(optimizer.steps), ema) {
            tch::no_grad(|| {
                for (target, source) in average.buffers_mut().into_iter().zip(parameters.buffers()) {
                    let _ = target.lerp_(source, 1.0 - decay);
                }
            });
        }
        Ok(found)
    }
}

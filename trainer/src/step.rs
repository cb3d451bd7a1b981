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
    /// Right answers: one of each member of an ensemble for each image.
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
        // Each member of an ensemble gives a row of logits for each image.
        let members = self.network.members();
        let labels: Vec<i64> = labels.iter().flat_map(|&label| std::iter::repeat_n(label, members)).collect();
        let taught = self.teacher.map(|teacher| match members {
            1 => teacher.logits(images),
            _ => teacher.logits(images).repeat_interleave_self_int(members as i64, 0, None),
        });
        match self.network.arithmetic(images.device()) {
            Arithmetic::Libtorch => self.by_libtorch(weights, images, &labels, taught, learning_rate),
            Arithmetic::Portable { .. } => self.portable(weights, images, &labels, taught, learning_rate),
        }
    }

    /// Share of the average that stays; early on less, so that the start is soon forgotten.
    fn decay(&self, steps: u64) -> Option<f64> {
        let steps = steps as f64;
        self.ema.map(|decay| decay.min((1.0 + steps) / (10.0 + steps)))
    }

    /// Layers before an ensemble learn from the mean of its members' losses: from the sum, they would learn faster the more
    /// members there are.
    fn average_shared(&self, gradient: &mut Tensor) {
        let (members, shared) = (self.network.members(), self.network.shared());
        if members > 1 && shared > 0 {
            let _ = gradient.narrow(0, 0, shared as i64).g_mul_scalar_(1.0 / members as f64);
        }
    }

    /// Logits have the rows of `labels` and `taught`, those of outliers behind. The gradient is that of the sum over the
    /// members of an ensemble, of each the mean over the images: each learns as if it were alone.
    fn portable(
        &self,
        weights: &mut Weights<'_>,
        images: &Tensor,
        labels: &[i64],
        taught: Option<Tensor>,
        learning_rate: f64,
    ) -> Result<Found> {
        let Weights { parameters, ema, optimizer } = weights;
        let tape = Tape::new(self.seed, optimizer.steps);
        let logits = self.network.logits_on_tape(images, parameters, &tape);
        let (loss, slope) = match (self.teacher, &taught) {
            (Some(&Teacher { weight, temperature, .. }), Some(taught)) => {
                let taught = loss::Taught { logits: taught, weight, temperature };
                loss::taught(&logits, labels, self.label_smoothing, &taught)
            }
            _ => loss::with_gradient(&logits, labels, self.label_smoothing),
        };
        let rows = labels.len() as f64;
        let found = Found { loss: loss.sum / rows, plain_loss: loss.plain_sum / rows, correct: loss.correct };
        if !found.loss.is_finite() {
            return Ok(found);
        }
        let slope = match self.network.members() {
            1 => slope,
            members => slope * members as f64,
        };
        let mut gradient = optimizer.gradient_buffer();
        tape.gradient(parameters, &logits, slope, &mut gradient)?;
        self.average_shared(&mut gradient);
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
        taught: Option<Tensor>,
        learning_rate: f64,
    ) -> Result<Found> {
        let Weights { parameters, ema, optimizer } = weights;
        let labels = Tensor::f_from_slice(labels)?.to_device(images.device());
        if self.network.is_random() {
            // Dropout draws from libtorch's generator: seeding it at every step lets a run resume anywhere.
            tch::manual_seed(Stream::new(self.seed, "dropout", optimizer.steps, 0).seed());
        }
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
        let mut gradient = parameters.gradient(&(loss * self.network.members() as f64))?;
        self.average_shared(&mut gradient);
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

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::layers::{Layer, Shape};

    const MEMBERS: [&str; 2] = [
        "[{conv2d: {features: 16, kernel_size: 3}}, batch_norm, relu, flatten, {dense: {features: 3}}]",
        "[flatten, {dense: {features: 7}}, tanh, {dense: {features: 3}}]",
    ];

    fn network(yaml: &str, arithmetic: Arithmetic) -> Network {
        let layers: Vec<Layer> = datasets::yaml::parse(yaml, "network.yaml".as_ref()).unwrap();
        let input = Shape::Image { channels: 1, height: 8, width: 8 };
        Network::build(&layers, input, 3).unwrap().with_arithmetic(arithmetic)
    }

    /// Two steps, an outlier among the images of each; what the second found, and the weights.
    fn train(network: &Network, mut parameters: Parameters, optimizer: &Optimizer) -> (Found, Parameters) {
        let rules = Rules { network, optimizer, label_smoothing: 0.1, ema: None, seed: 1, teacher: None };
        let mut state = OptimizerState::new(parameters.trainable());
        let images: Vec<f32> = (0..9 * 64).map(|i| (i * 7919 % 1009) as f32 / 500.0 - 1.0).collect();
        let images = Tensor::from_slice(&images).view([9, 1, 8, 8]);
        let mut found = None;
        for _ in 0..2 {
            let mut weights = Weights { parameters: &mut parameters, ema: None, optimizer: &mut state };
            found = Some(rules.step(&mut weights, &images, &[0, 1, 2, 0, 1, 2, 0, 1], 0.05).unwrap());
        }
        (found.unwrap(), parameters)
    }

    const BOTH: [(Arithmetic, f32); 3] = [
        (Arithmetic::Libtorch, 1e-6),
        (Arithmetic::Portable { convolutions: false }, 0.0),
        (Arithmetic::Portable { convolutions: true }, 0.0),
    ];

    /// The tensors whose names begin so, without that.
    fn of(weights: &Parameters, prefix: &str) -> Vec<(String, Vec<f32>)> {
        let own = |(name, _, values): (String, _, _)| Some((name.strip_prefix(prefix)?.to_owned(), values));
        weights.state_dict().into_iter().filter_map(own).collect()
    }

    fn assert_alike(found: &[(String, Vec<f32>)], expected: &[(String, Vec<f32>)], tolerance: f32) {
        assert_eq!(found.len(), expected.len());
        for ((name, values), (expected_name, expected)) in found.iter().zip(expected) {
            assert_eq!(name, expected_name);
            let worst = expected.iter().zip(values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= tolerance, "{name}: {worst:e}");
        }
    }

    /// Whatever the optimizer: with SGD the size of the gradient counts.
    #[test]
    fn each_member_of_an_ensemble_learns_as_if_it_were_alone() {
        for ((arithmetic, tolerance), optimizer) in BOTH.into_iter().flat_map(|arithmetic| {
            [Optimizer::Sgd(Default::default()), Optimizer::Adam(Default::default())].map(|o| (arithmetic, o))
        }) {
            let yaml = format!("- ensemble: {{members: [{}]}}\n- softmax\n", MEMBERS.join(", "));
            let ensemble = network(&yaml, arithmetic);
            let start = ensemble.initialise(5, Device::Cpu).unwrap();
            let (found, trained) = train(&ensemble, start.copy(), &optimizer);
            assert_ne!(trained.sha256(), start.sha256());
            let (mut loss, mut correct) = (0.0, 0);
            for (number, member) in MEMBERS.iter().enumerate() {
                let prefix = format!("ensemble1.member{}.", number + 1);
                let alone = network(&format!("[{}, softmax]", member.trim_matches(['[', ']'])), arithmetic);
                let mut parameters = alone.initialise(9, Device::Cpu).unwrap();
                let own = of(&start, &prefix).into_iter().enumerate();
                own.for_each(|(index, (_, values))| parameters.set(index, &values));
                let (found, parameters) = train(&alone, parameters, &optimizer);
                (loss, correct) = (loss + found.loss / 2.0, correct + found.correct);
                assert_alike(&of(&trained, &prefix), &of(&parameters, ""), tolerance);
            }
            assert!((found.loss - loss).abs() < 1e-6, "{found:?}: {loss}");
            assert_eq!(found.correct, correct);
        }
    }

    /// Two members that are the same say the same: what is before them learns as from one.
    #[test]
    fn what_members_share_learns_from_the_mean_of_their_losses() {
        let before = "{conv2d: {features: 16, kernel_size: 3}}, tanh, {dropout: {rate: 0.3}}";
        let after = "flatten, {dense: {features: 3}}";
        for (arithmetic, tolerance) in BOTH {
            if arithmetic == Arithmetic::Libtorch {
                continue; // Its dropout draws once more or less.
            }
            let one = network(&format!("[{before}, {after}, softmax]"), arithmetic);
            let two = network(
                &format!("[{before}, {{ensemble: {{members: [[{after}], [{after}]]}}}}, softmax]"),
                arithmetic,
            );
            let start = one.initialise(5, Device::Cpu).unwrap();
            let mut both = two.initialise(5, Device::Cpu).unwrap();
            for (index, from) in [0, 1, 2, 3, 2, 3].into_iter().enumerate() {
                both.set(index, &start.state_dict()[from].2);
            }
            let optimizer = Optimizer::Sgd(Default::default());
            let ((found, one), (expected, two)) =
                (train(&one, start, &optimizer), train(&two, both, &optimizer));
            assert!((found.loss - expected.loss).abs() < 1e-6, "{found:?} {expected:?}");
            assert_alike(&of(&two, "conv1."), &of(&one, "conv1."), tolerance.max(1e-7));
        }
    }
}

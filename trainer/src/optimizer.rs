//! Optimizers over one flat parameter buffer.
//!
//! Ours, because tch's keep their state out of reach: a run could not be resumed
//! to the same bytes. The update rules are PyTorch's.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::parameters::Parameters;
use crate::tagged::tagged;

tagged! {
    /// Which optimizer, with its constants. The learning rate comes from the schedule.
    pub(crate) enum Optimizer: "an optimizer" {
        /// Kingma and Ba 2015, arXiv:1412.6980; `weight_decay` is added to the gradient.
        Adam(Adam) = "adam",
        /// Loshchilov and Hutter 2019, arXiv:1711.05101; `weight_decay` shrinks the weights directly.
        AdamW(Adam) = "adamw",
        /// Stochastic gradient descent with momentum, Nesterov's by default.
        Sgd(Sgd) = "sgd",
        /// Hinton's RMSprop.
        RmsProp(RmsProp) = "rmsprop",
    }
}

/// What `weight_decay` pulls towards zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WeightDecayOn {
    /// Everything that is trained.
    #[default]
    All,
    /// Weights of convolutions and dense layers, but no biases and nothing of normalisations: pulling those towards zero
    /// does not simplify the function (He et al. 2019, arXiv:1812.01187, section 3.1).
    Weights,
}

impl WeightDecayOn {
    fn is_default(&self) -> bool {
        *self == WeightDecayOn::All
    }
}

/// Constants of `adam` and `adamw`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Adam {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Pull towards zero.
    pub weight_decay: f64,
    /// What it pulls.
    #[serde(skip_serializing_if = "WeightDecayOn::is_default")]
    pub weight_decay_on: WeightDecayOn,
}

impl Default for Adam {
    fn default() -> Adam {
        let weight_decay_on = WeightDecayOn::All;
        Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, weight_decay_on }
    }
}

/// Constants of `sgd`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sgd {
    /// Decay of the velocity.
    pub momentum: f64,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
    /// Pull towards zero, added to the gradient.
    pub weight_decay: f64,
    /// What it pulls.
    #[serde(skip_serializing_if = "WeightDecayOn::is_default")]
    pub weight_decay_on: WeightDecayOn,
}

impl Default for Sgd {
    fn default() -> Sgd {
        Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.0, weight_decay_on: WeightDecayOn::All }
    }
}

/// Constants of `rmsprop`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RmsProp {
    /// Decay of the mean of squared gradients.
    pub alpha: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Decay of the velocity; 0 for none.
    pub momentum: f64,
    /// Pull towards zero, added to the gradient.
    pub weight_decay: f64,
    /// What it pulls.
    #[serde(skip_serializing_if = "WeightDecayOn::is_default")]
    pub weight_decay_on: WeightDecayOn,
}

impl Default for RmsProp {
    fn default() -> RmsProp {
        let weight_decay_on = WeightDecayOn::All;
        RmsProp { alpha: 0.99, epsilon: 1e-8, momentum: 0.0, weight_decay: 0.0, weight_decay_on }
    }
}

impl Optimizer {
    /// Places in the trainable buffer that weight decay leaves alone.
    pub(crate) fn undecayed(&self, parameters: &Parameters) -> Vec<Range<usize>> {
        let (weight_decay, on) = match self {
            Optimizer::Adam(adam) | Optimizer::AdamW(adam) => (adam.weight_decay, adam.weight_decay_on),
            Optimizer::Sgd(sgd) => (sgd.weight_decay, sgd.weight_decay_on),
            Optimizer::RmsProp(rms) => (rms.weight_decay, rms.weight_decay_on),
        };
        if on == WeightDecayOn::All || weight_decay == 0.0 {
            return Vec::new();
        }
        // Weights have two dimensions (dense) or four (convolution). Biases, scales and shifts have one; those of `layer_norm` an
        // image's three.
        let is_weight = |index: &usize| matches!(parameters.tensor(*index).dim(), 2 | 4);
        let others = parameters.trainable_indices().filter(|index| !is_weight(index));
        others.map(|index| parameters.range(index)).collect()
    }

    /// `(field, value, whether it is in range, range)` of every constant, for checking a recipe.
    pub(crate) fn constants(&self) -> Vec<(&'static str, f64, bool, &'static str)> {
        let decay = |name, value: f64| (name, value, (0.0..1.0).contains(&value), "0 <= value < 1");
        let positive = |name, value: f64| (name, value, value > 0.0 && value < 1.0, "0 < value < 1");
        let weight_decay = |value: f64| ("weight_decay", value, (0.0..=1.0).contains(&value), "0 to 1");
        match self {
            Optimizer::Adam(a) | Optimizer::AdamW(a) => vec![
                decay("beta1", a.beta1),
                decay("beta2", a.beta2),
                positive("epsilon", a.epsilon),
                weight_decay(a.weight_decay),
            ],
            Optimizer::Sgd(s) => vec![decay("momentum", s.momentum), weight_decay(s.weight_decay)],
            Optimizer::RmsProp(r) => vec![
                decay("alpha", r.alpha),
                positive("epsilon", r.epsilon),
                decay("momentum", r.momentum),
                weight_decay(r.weight_decay),
            ],
        }
    }
}

/// What an optimizer remembers between steps: two flat buffers, used as its rule needs.
pub struct OptimizerState {
    /// Mean of gradients, or velocity.
    pub first: Tensor,
    /// Mean of squared gradients.
    pub second: Tensor,
    /// Steps taken.
    pub steps: u64,
    /// Memory for the gradient of a step, kept for the next.
    gradient: Option<Tensor>,
}

impl OptimizerState {
    /// The state before the first step, for a buffer like `parameters`.
    pub fn new(parameters: &Tensor) -> OptimizerState {
        let zeros = || parameters.zeros_like();
        OptimizerState { first: zeros(), second: zeros(), steps: 0, gradient: None }
    }

    /// Memory for a gradient, its content undefined; to be [kept](OptimizerState::keep) afterwards.
    pub(crate) fn gradient_buffer(&mut self) -> Tensor {
        self.gradient.take().unwrap_or_else(|| self.first.empty_like())
    }

    /// Keeps a gradient's memory for the next step.
    pub(crate) fn keep(&mut self, gradient: Tensor) {
        self.gradient = Some(gradient);
    }

    /// Changes `parameters` in place by one step along `gradient`; `undecayed` are places that weight decay leaves alone.
    pub(crate) fn step(
        &mut self,
        optimizer: &Optimizer,
        parameters: &mut Tensor,
        gradient: Tensor,
        learning_rate: f64,
        undecayed: &[Range<usize>],
    ) {
        self.steps += 1;
        tch::no_grad(|| {
            let pulled = |weight_decay: f64| {
                let pulled = &*parameters * weight_decay;
                for places in undecayed {
                    let _ = pulled.narrow(0, places.start as i64, places.len() as i64).zero_();
                }
                pulled
            };
            let decayed = |gradient: Tensor, weight_decay: f64| {
                if weight_decay == 0.0 { gradient } else { gradient + pulled(weight_decay) }
            };
            match optimizer {
                Optimizer::Adam(adam) => {
                    let gradient = decayed(gradient, adam.weight_decay);
                    self.adam(adam, parameters, &gradient, learning_rate);
                }
                Optimizer::AdamW(adam) => {
                    match undecayed {
                        _ if adam.weight_decay == 0.0 => {}
                        [] => {
                            let _ = parameters.g_mul_scalar_(1.0 - learning_rate * adam.weight_decay);
                        }
                        _ => {
                            let pulled = pulled(learning_rate * adam.weight_decay);
                            let _ = parameters.g_sub_(&pulled);
                        }
                    }
                    self.adam(adam, parameters, &gradient, learning_rate);
                }
                Optimizer::Sgd(sgd) => {
                    let gradient = decayed(gradient, sgd.weight_decay);
                    self.sgd(sgd, parameters, gradient, learning_rate);
                }
                Optimizer::RmsProp(rms) => {
                    let gradient = decayed(gradient, rms.weight_decay);
                    self.rmsprop(rms, parameters, &gradient, learning_rate);
                }
            }
        });
    }

    fn adam(&mut self, adam: &Adam, parameters: &mut Tensor, gradient: &Tensor, learning_rate: f64) {
        let steps = self.steps as f64;
        let correction1 = 1.0 - libm::pow(adam.beta1, steps);
        let correction2 = 1.0 - libm::pow(adam.beta2, steps);
        let _ = self.first.lerp_(gradient, 1.0 - adam.beta1);
        let _ = self.second.lerp_(&gradient.square(), 1.0 - adam.beta2);
        // p -= lr / c1 * m / (sqrt(v / c2) + eps), with the scalars moved to one side.
        let scale = correction2.sqrt();
        let mut denominator = self.second.sqrt();
        let _ = denominator.g_add_scalar_(adam.epsilon * scale);
        let _ = denominator.g_mul_scalar_(-correction1 / (learning_rate * scale));
        let _ = parameters.addcdiv_(&self.first, &denominator);
    }

    fn sgd(&mut self, sgd: &Sgd, parameters: &mut Tensor, gradient: Tensor, learning_rate: f64) {
        let _ = self.first.g_mul_scalar_(sgd.momentum).g_add_(&gradient);
        let direction = match sgd.nesterov {
            true => gradient + &self.first * sgd.momentum,
            false => self.first.shallow_clone(),
        };
        let _ = parameters.g_sub_(&(direction * learning_rate));
    }

    fn rmsprop(&mut self, rms: &RmsProp, parameters: &mut Tensor, gradient: &Tensor, learning_rate: f64) {
        let _ = self.second.lerp_(&gradient.square(), 1.0 - rms.alpha);
        let mut denominator = self.second.sqrt();
        let _ = denominator.g_add_scalar_(rms.epsilon);
        let _ = self.first.g_mul_scalar_(rms.momentum).addcdiv_(gradient, &denominator);
        let _ = parameters.g_sub_(&(&self.first * learning_rate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Layer, Shape};
    use crate::network::Network;

    /// Ten steps on `x^2 / 2` (gradient `x`) from 1, learning rate 0.1.
    fn ten_steps(optimizer: &Optimizer) -> f64 {
        let mut x = Tensor::from_slice(&[1f32]);
        let mut state = OptimizerState::new(&x);
        for _ in 0..10 {
            let gradient = x.copy();
            state.step(optimizer, &mut x, gradient, 0.1, &[]);
        }
        x.double_value(&[0])
    }

    /// The textbook rule in f64, to compare with.
    fn reference(mut rule: impl FnMut(f64, i32) -> f64) -> f64 {
        (1..=10).fold(1.0, |x, t| x + rule(x, t))
    }

    #[test]
    fn rules_match_the_textbook() {
        let (mut m, mut v) = (0.0, 0.0);
        let adam = reference(|g, t| {
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            -0.1 * (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8)
        });
        assert!((ten_steps(&Optimizer::Adam(Adam::default())) - adam).abs() < 1e-5);

        let (mut m, mut v) = (0.0, 0.0);
        let adamw = reference(|x, t| {
            m = 0.9 * m + 0.1 * x;
            v = 0.999 * v + 0.001 * x * x;
            -0.1 * 0.5 * x
                - 0.1 * (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8)
        });
        let decay = Adam { weight_decay: 0.5, ..Adam::default() };
        assert!((ten_steps(&Optimizer::AdamW(decay)) - adamw).abs() < 1e-5);

        let mut velocity = 0.0;
        let sgd = reference(|g, _| {
            velocity = 0.9 * velocity + g;
            -0.1 * (g + 0.9 * velocity)
        });
        assert!((ten_steps(&Optimizer::Sgd(Sgd::default())) - sgd).abs() < 1e-5);

        let mut v = 0.0;
        let rmsprop = reference(|g, _| {
            v = 0.99 * v + 0.01 * g * g;
            -0.1 * g / (v.sqrt() + 1e-8)
        });
        assert!((ten_steps(&Optimizer::RmsProp(RmsProp::default())) - rmsprop).abs() < 1e-5);
    }

    #[test]
    fn decay_of_weights_leaves_everything_else_alone() {
        let layers = "[{conv2d: {features: 3, kernel_size: 3}}, batch_norm, layer_norm, relu, flatten, {dense: {features: 5}}, layer_norm, \
                      {dense: {features: 2}}, softmax]";
        let layers: Vec<Layer> = datasets::yaml::parse(layers, "layers".as_ref()).unwrap();
        let network = Network::build(&layers, Shape::Image { channels: 1, height: 6, width: 6 }, 2).unwrap();
        let parameters = network.initialise(1, tch::Device::Cpu).unwrap();
        let decay = |weight_decay_on| Adam { weight_decay: 0.1, weight_decay_on, ..Adam::default() };
        let undecayed = |on| {
            let ranges = Optimizer::AdamW(decay(on)).undecayed(&parameters);
            ranges.iter().map(ExactSizeIterator::len).sum::<usize>()
        };
        assert_eq!(undecayed(WeightDecayOn::All), 0);
        let weights = 3 * 9 + 3 * 16 * 5 + 5 * 2;
        assert_eq!(undecayed(WeightDecayOn::Weights), network.parameter_count() - weights);
    }
}

//! An optimizer's step in one pass over memory: moments, weights and their moving average.
//!
//! The rules are PyTorch's. Square root and division are IEEE's, which are the same everywhere.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use tch::Tensor;

use super::host;
use crate::optimizer::{Adam, Optimizer, OptimizerState, RmsProp, Sgd};

/// Values that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// A moving average of the weights, and how much of it stays.
pub(crate) struct Average<'a> {
    /// One value for each weight.
    pub(crate) values: &'a mut Tensor,
    /// Share that stays.
    pub(crate) decay: f64,
}

/// Changes `parameters`, the optimizer's memory and the average by step number `state.steps`.
pub(crate) fn step(
    optimizer: &Optimizer,
    state: &mut OptimizerState,
    parameters: &mut Tensor,
    gradient: &Tensor,
    learning_rate: f64,
    average: Option<Average<'_>>,
) {
    let buffers = Buffers { parameters, gradient, state, average };
    match optimizer {
        Optimizer::Adam(adam) => {
            let rule = AdamRule::new(adam, learning_rate, buffers.state.steps);
            buffers.sweep(AdamRule { coupled: adam.weight_decay as f32, ..rule })
        }
        Optimizer::AdamW(adam) => {
            let rule = AdamRule::new(adam, learning_rate, buffers.state.steps);
            buffers.sweep(AdamRule { shrink: (1.0 - learning_rate * adam.weight_decay) as f32, ..rule })
        }
        Optimizer::Sgd(sgd) => buffers.sweep(SgdRule::new(sgd, learning_rate)),
        Optimizer::RmsProp(rms) => buffers.sweep(RmsPropRule::new(rms, learning_rate)),
    }
}

/// Moves `average` towards `values`: running statistics, which no optimizer changes.
pub(crate) fn follow(average: &mut Tensor, values: &Tensor, decay: f64) {
    let share = (1.0 - decay) as f32;
    let values = host::values(values).iter();
    host::values_mut(average).iter_mut().zip(values).for_each(|(average, value)| {
        *average = towards(*average, *value, share);
    });
}

/// `from + (to - from) share`.
#[inline(always)]
fn towards(from: f32, to: f32, share: f32) -> f32 {
    (to - from).mul_add(share, from)
}

/// One weight's share of a step.
trait Rule: Copy + Sync {
    /// `[weight, first, second]` after the step.
    fn apply(self, weight: f32, gradient: f32, first: f32, second: f32) -> [f32; 3];
}

#[derive(Clone, Copy)]
struct AdamRule {
    share1: f32,
    share2: f32,
    /// `learning rate / (1 - beta1^t)`.
    rate: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    root_correction: f32,
    epsilon: f32,
    /// Weight decay that is added to the gradient.
    coupled: f32,
    /// What is left of a weight before the step.
    shrink: f32,
}

impl AdamRule {
    fn new(adam: &Adam, learning_rate: f64, steps: u64) -> AdamRule {
        let correction = |beta: f64| 1.0 - libm::pow(beta, steps as f64);
        AdamRule {
            share1: (1.0 - adam.beta1) as f32,
            share2: (1.0 - adam.beta2) as f32,
            rate: (learning_rate / correction(adam.beta1)) as f32,
            root_correction: (1.0 / correction(adam.beta2).sqrt()) as f32,
            epsilon: adam.epsilon as f32,
            coupled: 0.0,
            shrink: 1.0,
        }
    }
}

impl Rule for AdamRule {
    #[inline(always)]
    fn apply(self, weight: f32, gradient: f32, first: f32, second: f32) -> [f32; 3] {
        let gradient = weight.mul_add(self.coupled, gradient);
        let first = towards(first, gradient, self.share1);
        let second = towards(second, gradient * gradient, self.share2);
        let denominator = second.sqrt().mul_add(self.root_correction, self.epsilon);
        [weight * self.shrink - self.rate * first / denominator, first, second]
    }
}

#[derive(Clone, Copy)]
struct SgdRule {
    momentum: f32,
    /// Share of the velocity that Nesterov's look-ahead adds, and of the gradient itself.
    ahead: f32,
    direct: f32,
    rate: f32,
    weight_decay: f32,
}

impl SgdRule {
    fn new(sgd: &Sgd, learning_rate: f64) -> SgdRule {
        let momentum = sgd.momentum as f32;
        let (ahead, direct) = if sgd.nesterov { (momentum, 1.0) } else { (1.0, 0.0) };
        SgdRule { momentum, ahead, direct, rate: learning_rate as f32, weight_decay: sgd.weight_decay as f32 }
    }
}

impl Rule for SgdRule {
    #[inline(always)]
    fn apply(self, weight: f32, gradient: f32, first: f32, second: f32) -> [f32; 3] {
        let gradient = weight.mul_add(self.weight_decay, gradient);
        let first = first.mul_add(self.momentum, gradient);
        let direction = first.mul_add(self.ahead, gradient * self.direct);
        [(-self.rate).mul_add(direction, weight), first, second]
    }
}

#[derive(Clone, Copy)]
struct RmsPropRule {
    share: f32,
    epsilon: f32,
    momentum: f32,
    rate: f32,
    weight_decay: f32,
}

impl RmsPropRule {
    fn new(rms: &RmsProp, learning_rate: f64) -> RmsPropRule {
        RmsPropRule {
            share: (1.0 - rms.alpha) as f32,
            epsilon: rms.epsilon as f32,
            momentum: rms.momentum as f32,
            rate: learning_rate as f32,
            weight_decay: rms.weight_decay as f32,
        }
    }
}

impl Rule for RmsPropRule {
    #[inline(always)]
    fn apply(self, weight: f32, gradient: f32, first: f32, second: f32) -> [f32; 3] {
        let gradient = weight.mul_add(self.weight_decay, gradient);
        let second = towards(second, gradient * gradient, self.share);
        let first = first.mul_add(self.momentum, gradient / (second.sqrt() + self.epsilon));
        [(-self.rate).mul_add(first, weight), first, second]
    }
}

struct Buffers<'a> {
    parameters: &'a mut Tensor,
    gradient: &'a Tensor,
    state: &'a mut OptimizerState,
    average: Option<Average<'a>>,
}

impl Buffers<'_> {
    fn sweep(self, rule: impl Rule) {
        let arch = Arch::new();
        let weights = host::values_mut(self.parameters).par_chunks_mut(CHUNK);
        let gradients = host::values(self.gradient).par_chunks(CHUNK);
        let first = host::values_mut(&mut self.state.first).par_chunks_mut(CHUNK);
        let second = host::values_mut(&mut self.state.second).par_chunks_mut(CHUNK);
        let all = weights.zip(gradients).zip(first.zip(second));
        match self.average {
            None => all.for_each(|((weights, gradients), (first, second))| {
                arch.dispatch(Sweep {
                    rule,
                    weights,
                    gradients,
                    first,
                    second,
                    average: &mut [],
                    share: 0.0,
                });
            }),
            Some(Average { values, decay }) => {
                let share = (1.0 - decay) as f32;
                let averages = host::values_mut(values).par_chunks_mut(CHUNK);
                all.zip(averages).for_each(|(((weights, gradients), (first, second)), average)| {
                    arch.dispatch(Sweep { rule, weights, gradients, first, second, average, share });
                });
            }
        }
    }
}

struct Sweep<'a, R> {
    rule: R,
    weights: &'a mut [f32],
    gradients: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    /// Empty if there is none.
    average: &'a mut [f32],
    share: f32,
}

impl<R: Rule> WithSimd for Sweep<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Sweep { rule, weights, gradients, first, second, average, share } = self;
        // Slices of one length: no bounds are checked in the loop, which becomes vector code.
        let length = weights.len();
        let (gradients, first, second) = (&gradients[..length], &mut first[..length], &mut second[..length]);
        for at in 0..length {
            [weights[at], first[at], second[at]] =
                rule.apply(weights[at], gradients[at], first[at], second[at]);
        }
        for (average, weight) in average.iter_mut().zip(weights) {
            *average = towards(*average, *weight, share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every rule and field, against the optimizer of libtorch's operators, over steps enough that the
    /// corrections of Adam matter.
    #[test]
    fn rules_are_those_of_libtorch() {
        let values = |seed: usize| -> Vec<f32> {
            (0..70_001).map(|i| ((i * 37 + seed * 11) % 201) as f32 / 100.0 - 1.0).collect()
        };
        for text in [
            "adam",
            "adam: {weight_decay: 0.1, beta1: 0.8, beta2: 0.9, epsilon: 0.001}",
            "adamw: {weight_decay: 0.1}",
            "sgd",
            "sgd: {momentum: 0, nesterov: false}",
            "sgd: {weight_decay: 0.1, nesterov: false}",
            "rmsprop",
            "rmsprop: {momentum: 0.9, weight_decay: 0.1, alpha: 0.9, epsilon: 0.01}",
        ] {
            let optimizer: Optimizer = datasets::yaml::parse(text, std::path::Path::new("test")).unwrap();
            let start = Tensor::from_slice(&values(0));
            let (mut ours, mut theirs) = (start.copy(), start.copy());
            let (mut our_state, mut their_state) = (OptimizerState::new(&start), OptimizerState::new(&start));
            let mut average = start.copy();
            let mut expected_average = start.copy();
            for seed in 1..=5 {
                let gradient = Tensor::from_slice(&values(seed));
                our_state.steps += 1;
                let moving = Average { values: &mut average, decay: 0.8 };
                step(&optimizer, &mut our_state, &mut ours, &gradient, 0.01, Some(moving));
                their_state.step(&optimizer, &mut theirs, gradient, 0.01);
                let _ = expected_average.lerp_(&theirs, 0.2);
            }
            for (found, expected) in [
                (&ours, &theirs),
                (&average, &expected_average),
                (&our_state.first, &their_state.first),
                (&our_state.second, &their_state.second),
            ] {
                let largest = |tensor: Tensor| f64::try_from(tensor.abs().max()).unwrap();
                let worst = largest(found - expected) / (1.0 + largest(expected.copy()));
                assert!(worst < 2e-6, "{text}: {worst:e}");
            }
            assert!(f64::try_from((&ours - &start).abs().max()).unwrap() > 1e-3, "{text}: nothing moved");
        }
    }
}

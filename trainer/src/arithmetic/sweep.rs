//! An optimizer's step in one pass over memory: moments, weights and their moving average.
//!
//! The rules are PyTorch's. Square root and division are IEEE's, which are the same everywhere.

use std::ops::Range;

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

/// What a step changes.
pub(crate) struct Target<'a> {
    /// The weights.
    pub(crate) parameters: &'a mut Tensor,
    /// Places that weight decay leaves alone, ascending.
    pub(crate) undecayed: &'a [Range<usize>],
    /// Their moving average, if there is one.
    pub(crate) average: Option<Average<'a>>,
}

/// Changes weights, the optimizer's memory and the average by step number `state.steps`.
pub(crate) fn step(
    optimizer: &Optimizer,
    state: &mut OptimizerState,
    target: Target<'_>,
    gradient: &Tensor,
    learning_rate: f64,
) {
    let steps = state.steps;
    let undecayed = target.undecayed;
    let slices = Slices::new(target, gradient, state);
    match optimizer {
        Optimizer::Adam(adam) => {
            let rule = AdamRule::new(adam, learning_rate, steps);
            slices.sweep(AdamRule { coupled: adam.weight_decay as f32, ..rule }, undecayed);
        }
        Optimizer::AdamW(adam) => {
            let rule = AdamRule::new(adam, learning_rate, steps);
            let shrink = (1.0 - learning_rate * adam.weight_decay) as f32;
            slices.sweep(AdamRule { shrink, ..rule }, undecayed);
        }
        Optimizer::Sgd(sgd) => slices.sweep(SgdRule::new(sgd, learning_rate), undecayed),
        Optimizer::RmsProp(rms) => slices.sweep(RmsPropRule::new(rms, learning_rate), undecayed),
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

    /// The same without weight decay.
    fn undecayed(self) -> Self;
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

    fn undecayed(self) -> Self {
        AdamRule { coupled: 0.0, shrink: 1.0, ..self }
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

    fn undecayed(self) -> Self {
        SgdRule { weight_decay: 0.0, ..self }
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

    fn undecayed(self) -> Self {
        RmsPropRule { weight_decay: 0.0, ..self }
    }
}

/// The same places of every buffer.
struct Slices<'a> {
    weights: &'a mut [f32],
    gradients: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    /// Empty if there is none.
    average: &'a mut [f32],
    /// Share of the weights that comes into the average.
    share: f32,
}

impl<'a> Slices<'a> {
    fn new(target: Target<'a>, gradient: &'a Tensor, state: &'a mut OptimizerState) -> Slices<'a> {
        let (average, share): (&mut [f32], f32) = match target.average {
            Some(Average { values, decay }) => (host::values_mut(values), (1.0 - decay) as f32),
            None => (&mut [], 0.0),
        };
        Slices {
            weights: host::values_mut(target.parameters),
            gradients: host::values(gradient),
            first: host::values_mut(&mut state.first),
            second: host::values_mut(&mut state.second),
            average,
            share,
        }
    }

    /// Those before a place, and the rest.
    fn split_at(self, at: usize) -> (Slices<'a>, Slices<'a>) {
        let (weights, more_weights) = self.weights.split_at_mut(at);
        let (gradients, more_gradients) = self.gradients.split_at(at);
        let (first, more_first) = self.first.split_at_mut(at);
        let (second, more_second) = self.second.split_at_mut(at);
        let (average, more_average) = self.average.split_at_mut(at.min(self.average.len()));
        let share = self.share;
        let rest = Slices {
            weights: more_weights,
            gradients: more_gradients,
            first: more_first,
            second: more_second,
            average: more_average,
            share,
        };
        (Slices { weights, gradients, first, second, average, share }, rest)
    }

    /// All of them, with weight decay or without.
    fn sweep(self, rule: impl Rule, undecayed: &[Range<usize>]) {
        let (mut rest, mut start) = (self, 0);
        for places in undecayed {
            let (decayed, others) = rest.split_at(places.start - start);
            decayed.apply(rule);
            let (now, others) = others.split_at(places.len());
            now.apply(rule.undecayed());
            (rest, start) = (others, places.end);
        }
        rest.apply(rule);
    }

    fn apply(self, rule: impl Rule) {
        let arch = Arch::new();
        let Slices { weights, gradients, first, second, average, share } = self;
        let all = weights.par_chunks_mut(CHUNK).zip(gradients.par_chunks(CHUNK));
        let all = all.zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)));
        if average.is_empty() {
            all.for_each(|((weights, gradients), (first, second))| {
                arch.dispatch(Sweep { rule, weights, gradients, first, second, average: &mut [], share });
            });
        } else {
            all.zip(average.par_chunks_mut(CHUNK)).for_each(
                |(((weights, gradients), (first, second)), average)| {
                    arch.dispatch(Sweep { rule, weights, gradients, first, second, average, share });
                },
            );
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
            "adam: {weight_decay: 0.1, weight_decay_on: weights, epsilon: 0.001}",
            "adamw: {weight_decay: 0.9, weight_decay_on: weights}",
            "sgd: {weight_decay: 0.1, weight_decay_on: weights}",
            "rmsprop: {weight_decay: 0.1, weight_decay_on: weights, epsilon: 0.01}",
        ] {
            let optimizer: Optimizer = datasets::yaml::parse(text, std::path::Path::new("test")).unwrap();
            // A gap at the start, one between, one that ends the buffer.
            let vectors = [0..5, 20_000..20_007, 20_007..40_000, 70_000..70_001];
            let undecayed: &[Range<usize>] = if text.contains("weight_decay_on") { &vectors } else { &[] };
            let start = Tensor::from_slice(&values(0));
            let (mut ours, mut theirs) = (start.copy(), start.copy());
            let (mut our_state, mut their_state) = (OptimizerState::new(&start), OptimizerState::new(&start));
            let mut average = start.copy();
            let mut expected_average = start.copy();
            for seed in 1..=5 {
                let gradient = Tensor::from_slice(&values(seed));
                our_state.steps += 1;
                let average = Some(Average { values: &mut average, decay: 0.8 });
                let target = Target { parameters: &mut ours, undecayed, average };
                step(&optimizer, &mut our_state, target, &gradient, 0.01);
                their_state.step(&optimizer, &mut theirs, gradient, 0.01, undecayed);
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

//! Learning rates over the course of a run.

use serde::{Deserialize, Serialize};

use crate::tagged::tagged;

tagged! {
    /// The learning rate as a function of progress.
    pub(crate) enum Schedule: "a schedule" {
        /// The same all the time.
        Constant(Constant) = "constant",
        /// Multiplied by `factor` after every `epochs` epochs.
        Step(Step) = "step",
        /// From `learning_rate` to `end` along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983).
        Cosine(Cosine) = "cosine",
        /// Up to `peak` and down again, both along half a cosine (Smith and Topin 2018, arXiv:1708.07120).
        OneCycle(OneCycle) = "one_cycle",
    }
}

/// Fields of `constant`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Constant {
    /// The learning rate.
    pub learning_rate: f64,
}

/// Fields of `step`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// The learning rate at the start.
    pub learning_rate: f64,
    /// Epochs between two changes.
    pub epochs: u32,
    /// What it is multiplied by.
    pub factor: f64,
}

/// Fields of `cosine`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cosine {
    /// The learning rate at the start.
    pub learning_rate: f64,
    /// The learning rate at the end.
    #[serde(default)]
    pub end: f64,
}

/// Fields of `one_cycle`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneCycle {
    /// The highest learning rate.
    pub peak: f64,
    /// Share of the run that rises.
    #[serde(default = "quarter")]
    pub warmup: f64,
    /// `peak / start`.
    #[serde(default = "twenty_five")]
    pub start_divisor: f64,
    /// `peak / end`.
    #[serde(default = "thousand")]
    pub end_divisor: f64,
}

fn quarter() -> f64 {
    0.25
}

fn twenty_five() -> f64 {
    25.0
}

fn thousand() -> f64 {
    1000.0
}

impl Schedule {
    /// The learning rate for step `step` (from 0) of `steps_per_epoch * epochs`.
    pub(crate) fn learning_rate(&self, step: u64, steps_per_epoch: u64, epochs: u32) -> f64 {
        let last = (steps_per_epoch * u64::from(epochs)).saturating_sub(1).max(1);
        let progress = step as f64 / last as f64;
        match self {
            Schedule::Constant(constant) => constant.learning_rate,
            Schedule::Step(s) => {
                let changes = step / steps_per_epoch.max(1) / u64::from(s.epochs.max(1));
                s.learning_rate * libm::pow(s.factor, changes as f64)
            }
            Schedule::Cosine(c) => half_cosine(c.learning_rate, c.end, progress),
            Schedule::OneCycle(c) if progress < c.warmup => {
                half_cosine(c.peak / c.start_divisor, c.peak, progress / c.warmup)
            }
            Schedule::OneCycle(c) => {
                half_cosine(c.peak, c.peak / c.end_divisor, (progress - c.warmup) / (1.0 - c.warmup))
            }
        }
    }

    /// `(field, value, whether it is in range, range)` of every field, for checking a recipe.
    pub(crate) fn fields(&self) -> Vec<(&'static str, f64, bool, &'static str)> {
        let rate = |name, value: f64| (name, value, value > 0.0 && value <= 10.0, "0 < value <= 10");
        let divisor = |name, value: f64| (name, value, (1.0..=1e9).contains(&value), "1 to 1e9");
        match self {
            Schedule::Constant(c) => vec![rate("constant.learning_rate", c.learning_rate)],
            Schedule::Step(s) => vec![
                rate("step.learning_rate", s.learning_rate),
                rate("step.factor", s.factor),
                ("step.epochs", s.epochs.into(), s.epochs > 0, "at least 1"),
            ],
            Schedule::Cosine(c) => vec![
                rate("cosine.learning_rate", c.learning_rate),
                ("cosine.end", c.end, (0.0..=c.learning_rate).contains(&c.end), "0 to learning_rate"),
            ],
            Schedule::OneCycle(c) => vec![
                rate("one_cycle.peak", c.peak),
                ("one_cycle.warmup", c.warmup, c.warmup > 0.0 && c.warmup < 1.0, "0 < value < 1"),
                divisor("one_cycle.start_divisor", c.start_divisor),
                divisor("one_cycle.end_divisor", c.end_divisor),
            ],
        }
    }
}

/// From `start` to `end` along half a cosine; `libm`, because the system's cosine
/// differs between C libraries in the last bit.
fn half_cosine(start: f64, end: f64, progress: f64) -> f64 {
    end + (start - end) * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cycle_rises_to_the_peak_and_falls() {
        let cycle = Schedule::OneCycle(OneCycle {
            peak: 0.01,
            warmup: 0.25,
            start_divisor: 25.0,
            end_divisor: 1000.0,
        });
        let rates: Vec<f64> = (0..401).map(|step| cycle.learning_rate(step, 401, 1)).collect();
        assert!((rates[0] - 0.0004).abs() < 1e-12);
        assert!((rates[100] - 0.01).abs() < 1e-12);
        assert!((rates[400] - 0.00001).abs() < 1e-12);
        assert!(rates[..101].is_sorted() && rates[100..].iter().rev().is_sorted());
    }

    #[test]
    fn step_and_cosine() {
        let step = Schedule::Step(Step { learning_rate: 1.0, epochs: 2, factor: 0.5 });
        let rates: Vec<f64> = (0..6).map(|epoch| step.learning_rate(epoch * 10 + 9, 10, 6)).collect();
        assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
        let cosine = Schedule::Cosine(Cosine { learning_rate: 2.0, end: 1.0 });
        assert_eq!(cosine.learning_rate(0, 11, 1), 2.0);
        assert!((cosine.learning_rate(5, 11, 1) - 1.5).abs() < 1e-12);
        assert_eq!(cosine.learning_rate(10, 11, 1), 1.0);
    }
}

//! Learning from the answers of a published model, beside the labels (Hinton et al. 2015, arXiv:1503.02531).

use datasets::Digest;
use serde::{Deserialize, Serialize};

/// Whose answers, and how much they count. The teacher's weights are named by their hash, so that the recipe still
/// determines everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Distillation {
    /// The version to learn from: `fashion-best@1`.
    pub teacher: String,
    /// sha256 of its parameters, as its manifest has it.
    pub parameters_sha256: Digest,
    /// Share of the loss that is the cross-entropy with the teacher's probabilities; the rest is that with the labels.
    #[serde(default = "half")]
    pub weight: f64,
    /// What both networks' logits are divided by for that share, which is multiplied by its square, so that gradients keep
    /// their size.
    #[serde(default = "one")]
    pub temperature: f64,
}

fn half() -> f64 {
    0.5
}

fn one() -> f64 {
    1.0
}

impl Distillation {
    /// `(field, value, whether it is in range, range)` of every number, for checking a recipe.
    pub(crate) fn fields(&self) -> [(&'static str, f64, bool, &'static str); 2] {
        let Distillation { weight, temperature, .. } = *self;
        [
            ("distillation.weight", weight, weight > 0.0 && weight <= 1.0, "0 < value <= 1"),
            ("distillation.temperature", temperature, (0.01..=100.0).contains(&temperature), "0.01 to 100"),
        ]
    }
}

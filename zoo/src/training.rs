//! How a version was trained, and by which runs its recipe was chosen.

use datasets::Digest;
use serde::{Deserialize, Serialize};

use crate::Count;

/// How a model was trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrainingInfo {
    /// sha256 of `recipe.yaml`.
    pub recipe_sha256: Digest,
    /// Seed of all randomness.
    pub seed: u64,
    /// Epochs trained.
    pub epochs: u32,
    /// The epoch whose weights these are.
    pub selected_epoch: u32,
    /// sha256 of all parameters, little-endian `f32`, in state-dict order.
    pub parameters_sha256: Digest,
    /// The same after each epoch: a chain that names the first epoch in which a retraining differs.
    pub epochs_sha256: Vec<Digest>,
    /// What it was computed by.
    pub numeric_profile: NumericProfileInfo,
    /// sha256 of the weights after the recipe's first steps on fixed images: whether a machine can
    /// retrain it to the same bytes shows in a second. Absent where bytes depend on the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Digest>,
    /// The processor.
    pub cpu: String,
    /// Runs of the same recipe with other seeds or with images held out, by which it was chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen_by: Vec<ValidationRun>,
}

/// A run of a version's recipe with another `seed` and `split.validation`, and nothing else changed: everybody can train it
/// again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ValidationRun {
    /// Its seed.
    pub seed: u64,
    /// Right answers on the images that it held out.
    pub validation: Count,
    /// sha256 of its parameters, little-endian `f32`, in state-dict order.
    pub parameters_sha256: Digest,
}

/// What a model was computed by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NumericProfileInfo {
    /// Threads.
    pub threads: u32,
    /// Instruction set and arithmetic: `portable`, `portable2`, `avx2`, `baseline` or `native`.
    pub isa: String,
    /// Whether the machine gave it: for `portable` and `portable2` measured by the fingerprints of the recipe's operators.
    pub in_force: bool,
}

//! Where a version is from that was not trained here.

use datasets::Digest;
use serde::{Deserialize, Serialize};

/// Where a version comes from that was not trained here: nobody can retrain it to the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// An ONNX file that was brought into the zoo's form.
    Adopted(Adopted),
    /// Weights for the network of a recipe.
    Weights(ForeignWeights),
}

/// Fields of `adopted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Adopted {
    /// Name of the file.
    pub file: String,
    /// sha256 of the file, with its external data if it has any: of the data's files, then of the file, by name.
    pub sha256: Digest,
    /// What the file says made it; may be empty.
    pub producer: String,
    /// What was changed, in order, as people read it.
    pub changes: Vec<String>,
    /// Where the golden outputs come from; absent without any that are independent of the runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden: Option<String>,
}

/// Fields of `weights`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ForeignWeights {
    /// Name of the file.
    pub file: String,
    /// sha256 of the file.
    pub sha256: Digest,
    /// sha256 of `recipe.yaml`.
    pub recipe_sha256: Digest,
    /// sha256 of all parameters, little-endian `f32`, in state-dict order.
    pub parameters_sha256: Digest,
}

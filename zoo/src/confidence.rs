//! How far a model's probabilities can be believed: what it promises, from which images, and what the test
//! split says to it.

use serde::{Deserialize, Serialize};

use crate::Count;

/// Calibration, coverage and the threshold below which an image is like none of the training images. All
/// thresholds are fitted on validation images; the counts are of the test split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Confidence {
    /// Validation images that everything was fitted on.
    pub images: u64,
    /// What the logits are divided by before the softmax, inside the graph (Guo et al. 2017,
    /// arXiv:1706.04599).
    pub temperature: f32,
    /// Expected calibration error on the test split, in 15 bins.
    pub calibration_error: f64,
    /// The test images by the probability of their answer, in those bins.
    pub bins: Vec<CalibrationBin>,
    /// Sets of labels that hold the truth as often as promised (split conformal prediction).
    pub coverage: Vec<Coverage>,
    /// When an image is unlike those that the model was trained on.
    pub unlike: Unlike,
}

/// Images whose answer has a probability in one fifteenth of the range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CalibrationBin {
    /// Right answers out of all.
    pub correct: Count,
    /// Mean probability of the answer, 0 without images.
    pub confidence: f64,
}

/// A promise of how often a set of labels holds the true one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Promised share.
    pub promised: f64,
    /// The set has every label with at least this probability (Sadinle et al. 2019, arXiv:1609.00451).
    pub threshold: f32,
    /// Test images whose set holds their label.
    pub covered: Count,
    /// Test images whose set has exactly one label.
    pub single: Count,
}

/// The score is the cross-entropy of the uniform distribution with the prediction, `-mean(ln p)`: the energy
/// of logits whose mean is zero. It is `ln K` for a prediction that says nothing and grows with certainty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Unlike {
    /// Images with a lower score are unlike the training images.
    pub threshold: f32,
    /// Test images that are accepted.
    pub accepted: Count,
}

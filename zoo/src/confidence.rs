//! How far a model's probabilities can be believed: what it promises, from which images, and what the test
//! split says to it.

use std::ops::RangeInclusive;

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

impl Confidence {
    /// Checks that every number is one that can be compared: below a threshold that is not a number lies nothing.
    ///
    /// # Errors
    /// `(field, found, expected)`.
    pub(crate) fn check(&self) -> Result<(), (String, String, String)> {
        let inside = |field: String, value: f64, range: RangeInclusive<f64>| {
            let expected = || format!("{} to {}", range.start(), range.end());
            if range.contains(&value) { Ok(()) } else { Err((field, value.to_string(), expected())) }
        };
        inside("temperature".into(), self.temperature.into(), 1e-6..=1e6)?;
        inside("calibration_error".into(), self.calibration_error, 0.0..=1.0)?;
        inside("unlike.threshold".into(), self.unlike.threshold.into(), 0.0..=1000.0)?;
        for (at, bin) in self.bins.iter().enumerate() {
            inside(format!("bins[{at}].confidence"), bin.confidence, 0.0..=1.0)?;
        }
        for (at, coverage) in self.coverage.iter().enumerate() {
            inside(format!("coverage[{at}].promised"), coverage.promised, 0.0..=1.0)?;
            inside(format!("coverage[{at}].threshold"), coverage.threshold.into(), 0.0..=1.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let count = Count { correct: 1, total: 2 };
        let good = Confidence {
            images: 2,
            temperature: 1.5,
            calibration_error: 0.0,
            bins: vec![CalibrationBin { correct: count, confidence: 1.0 }],
            coverage: vec![Coverage { promised: 0.99, threshold: 0.0, covered: count, single: count }],
            unlike: Unlike { threshold: 2.3, accepted: count },
        };
        assert_eq!(good.check(), Ok(()));
        type Change = fn(&mut Confidence);
        let changes: [(&str, Change); 7] = [
            ("temperature", |c| c.temperature = 0.0),
            ("temperature", |c| c.temperature = f32::INFINITY),
            ("calibration_error", |c| c.calibration_error = f64::NAN),
            ("unlike.threshold", |c| c.unlike.threshold = f32::NAN),
            ("bins[0].confidence", |c| c.bins[0].confidence = -0.1),
            ("coverage[0].promised", |c| c.coverage[0].promised = 1.5),
            ("coverage[0].threshold", |c| c.coverage[0].threshold = f32::NAN),
        ];
        for (field, change) in changes {
            let mut bad = good.clone();
            change(&mut bad);
            assert_eq!(bad.check().unwrap_err().0, field);
        }
    }
}

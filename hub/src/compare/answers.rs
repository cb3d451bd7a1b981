//! What two networks answer on the same images, and whether one is right more often.

use datasets::Samples;
use infer::confidence::{Predictions, calibration_error};
use infer::{Evaluation, probabilities};
use serde::Serialize;
use statrs::distribution::{Binomial, DiscreteCDF};

use super::side::Side;
use crate::error::Result;

/// McNemar's exact test (McNemar 1947): only images count on which one is right and the other is not; if both were equally
/// good, each would be either way with probability one half.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// Images that only the first gets right.
    pub only_a: u64,
    /// Images that only the second gets right.
    pub only_b: u64,
    /// Probability of a difference at least this large either way, by chance.
    pub probability: f64,
}

impl McNemar {
    pub(super) fn new(only_a: u64, only_b: u64) -> McNemar {
        let (least, all) = (only_a.min(only_b), only_a + only_b);
        let half = Binomial::new(0.5, all).expect("one half is a probability");
        let probability = if all == 0 { 1.0 } else { (2.0 * half.cdf(least)).min(1.0) };
        McNemar { only_a, only_b, probability }
    }
}

/// Answers on a split.
pub(super) struct Answers {
    pub(super) evaluation: Evaluation,
    pub(super) calibration_error: f64,
}

impl Answers {
    pub(super) fn of(side: &Side, test: &Samples) -> Result<Answers> {
        let found = probabilities(&side.session, test)?;
        let classes = side.labels.len();
        let predictions = Predictions { probabilities: &found, labels: &test.labels, classes };
        let evaluation = Evaluation::of(&found, test, &side.labels);
        Ok(Answers { evaluation, calibration_error: calibration_error(predictions) })
    }
}

pub(super) fn mcnemar(answers: &[Answers; 2], test: &Samples) -> McNemar {
    let right = |side: usize, image: usize| answers[side].evaluation.predictions[image] == test.labels[image];
    let only =
        |side: usize| (0..test.len()).filter(|&image| right(side, image) && !right(1 - side, image)).count();
    McNemar::new(only(0) as u64, only(1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.binomtest(min(a, b), a + b, 0.5).pvalue`.
    #[test]
    fn the_exact_test_is_scipys() {
        for (a, b, expected) in [
            (5, 15, 0.04138946533203125),
            (0, 6, 0.03125),
            (10, 10, 1.0),
            (0, 0, 1.0),
            (37, 61, 0.019690184799846844),
            (400, 500, 0.0009564441369189461),
        ] {
            let found = McNemar::new(a, b).probability;
            assert!((found - expected).abs() < 1e-10, "{a} {b}: {found}, {expected}");
        }
    }
}

//! What a difference between runs is worth: established methods, checked against statsmodels and scipy by
//! `scripts/check_statistics.py`.
//!
//! Runs that share a seed share their split, their first weights and the order of their images, so that the seed is a
//! block (Fisher 1935): differences are taken within seeds.

mod analysis;
mod findings;
mod least_squares;
#[cfg(test)]
mod placebo;
mod table;
mod view;

pub(crate) use analysis::{Analysis, analyse};
pub(crate) use findings::{Difference, ERROR, Knob, Rules, Test, Verdict};
pub(crate) use table::{Run, Table};

use statrs::distribution::{ContinuousCDF, FisherSnedecor, StudentsT};

/// Mean and standard deviation (`n - 1`; 0 for one value).
pub(crate) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

/// The variance of a single observation, as estimated, and how well that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Noise {
    pub(crate) variance: f64,
    /// Degrees of freedom, above 0.
    pub(crate) freedom: usize,
}

impl Noise {
    /// From what a fit left over, and not below what rounding alone makes: accuracies are counts of images, so that few
    /// runs can agree by accident. `None` without degrees of freedom.
    fn new(squares: f64, freedom: usize, step: f64) -> Option<Noise> {
        let rounding = step.powi(2) / 12.0;
        (freedom > 0).then(|| Noise { variance: (squares / freedom as f64).max(rounding), freedom })
    }

    /// Probability of a sum of squares at least this large, of so many degrees of freedom, by chance (F test).
    fn chance(&self, squares: f64, freedom: usize) -> f64 {
        let ratio = squares / freedom as f64 / self.variance;
        let distribution = FisherSnedecor::new(freedom as f64, self.freedom as f64);
        distribution.expect("degrees of freedom are above 0").sf(ratio.max(0.0))
    }

    fn students_t(&self) -> StudentsT {
        StudentsT::new(0.0, 1.0, self.freedom as f64).expect("degrees of freedom are above 0")
    }

    /// Half of the width of a two-sided confidence interval.
    fn half_width(&self, variance: f64, error: f64) -> f64 {
        self.students_t().inverse_cdf(1.0 - error / 2.0) * (self.variance * variance).sqrt()
    }

    /// Probability of a difference at least this large either way, by chance (t test).
    fn chance_of_difference(&self, difference: f64, variance: f64) -> f64 {
        let t = difference.abs() / (self.variance * variance).sqrt();
        2.0 * self.students_t().sf(t)
    }
}

/// Probabilities corrected for being several (Holm 1979), in the order given.
pub(crate) fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let mut corrected = vec![0.0; probabilities.len()];
    let mut least = 0.0f64;
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max(probabilities[index] * (probabilities.len() - rank) as f64).min(1.0);
        corrected[index] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `statsmodels.stats.multitest.multipletests([0.01, 0.04, 0.03, 0.005], method="holm")`.
    #[test]
    fn holm_corrects_from_the_smallest_on() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in corrected.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{corrected:?}");
        }
    }

    /// `scipy.stats.f.sf(13, 2, 6)`, `scipy.stats.t.ppf(0.995, 4)`, `2 * scipy.stats.t.sf(3, 4)`.
    #[test]
    fn distributions_are_those_of_others() {
        let noise = Noise { variance: 1.0, freedom: 6 };
        assert!((noise.chance(26.0, 2) - 0.006591796875).abs() < 1e-9);
        let noise = Noise { variance: 4.0, freedom: 4 };
        assert!((noise.half_width(0.25, 0.01) - 4.604094871349993).abs() < 1e-8);
        assert!((noise.chance_of_difference(3.0, 0.25) - 0.03994196807171886).abs() < 1e-9);
    }

    #[test]
    fn agreement_by_rounding_is_not_certainty() {
        let noise = Noise::new(0.0, 1, 0.02).unwrap();
        assert!((noise.variance - 0.02f64.powi(2) / 12.0).abs() < 1e-15);
        assert_eq!(Noise::new(1.0, 0, 0.02), None);
    }
}

//! Effect against noise.

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

/// Mean and standard deviation (`n - 1`; 0 for one value).
pub(super) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

/// Noise between runs that differ only in the seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Noise {
    /// Pooled standard deviation.
    pub(super) deviation: f64,
    /// Degrees of freedom: runs minus combinations.
    pub(super) freedom: usize,
}

/// Pools the deviation within groups of runs that differ only in the seed; `None` if every group has one.
pub(super) fn noise(groups: &[Vec<f64>]) -> Option<Noise> {
    let squares = |group: &Vec<f64>| {
        let (mean, _) = mean_and_deviation(group);
        group.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
    };
    let freedom: usize = groups.iter().map(|group| group.len().saturating_sub(1)).sum();
    let deviation = (groups.iter().map(squares).sum::<f64>() / freedom.max(1) as f64).sqrt();
    (freedom > 0).then_some(Noise { deviation, freedom })
}

/// Probability of a spread between the groups' means at least this large if the knob did nothing:
/// one-way analysis of variance, F test (Fisher 1925). `None` without noise to compare with.
pub(super) fn chance(groups: &[Vec<f64>], noise: Option<Noise>) -> Option<f64> {
    let noise = noise.filter(|noise| noise.deviation > 0.0)?;
    let all: Vec<f64> = groups.iter().flatten().copied().collect();
    let (grand, _) = mean_and_deviation(&all);
    let between: f64 =
        groups.iter().map(|group| group.len() as f64 * (mean_and_deviation(group).0 - grand).powi(2)).sum();
    let freedom =
        groups.iter().filter(|group| !group.is_empty()).count().checked_sub(1).filter(|&f| f > 0)?;
    let ratio = between / freedom as f64 / noise.deviation.powi(2);
    Some(FisherSnedecor::new(freedom as f64, noise.freedom as f64).ok()?.sf(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against `scipy.stats.f_oneway([1, 2, 3], [2, 3, 4], [5, 6, 7])`: F = 13, p = 0.006591796875.
    #[test]
    fn analysis_of_variance() {
        let groups = [vec![1.0, 2.0, 3.0], vec![2.0, 3.0, 4.0], vec![5.0, 6.0, 7.0]];
        let noise = noise(&groups);
        assert_eq!(noise, Some(Noise { deviation: 1.0, freedom: 6 }));
        assert!((chance(&groups, noise).unwrap() - 0.006591796875).abs() < 1e-9);
    }

    #[test]
    fn without_a_second_seed_there_is_no_noise_to_compare_with() {
        let groups = [vec![1.0], vec![2.0]];
        assert_eq!((noise(&groups), chance(&groups, noise(&groups))), (None, None));
        assert_eq!(mean_and_deviation(&[3.0]), (3.0, 0.0));
        assert_eq!(mean_and_deviation(&[1.0, 3.0]), (2.0, 2f64.sqrt()));
    }
}

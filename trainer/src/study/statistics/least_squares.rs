//! Least squares with factors: the analysis of variance of any design, balanced or not.

use nalgebra::{DMatrix, DVector};

/// A factor: for every observation the level that it has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factor {
    levels: Vec<usize>,
    count: usize,
}

impl Factor {
    /// Levels from 0.
    pub(crate) fn new(levels: Vec<usize>) -> Factor {
        let count = levels.iter().max().map_or(0, |&highest| highest + 1);
        Factor { levels, count }
    }

    /// Every combination of two factors' levels is a level.
    pub(crate) fn crossed(&self, other: &Factor) -> Factor {
        let pairs = self.levels.iter().zip(&other.levels);
        Factor::new(pairs.map(|(&one, &two)| one * other.count + two).collect())
    }
}

/// Observations described by the sum of an intercept and of what each factor's level adds.
#[derive(Debug, Clone)]
pub(crate) struct Fit {
    /// Sum of the squares that is not described.
    pub(crate) residual_squares: f64,
    /// Observations less independent terms.
    pub(crate) freedom: usize,
    coefficients: DVector<f64>,
    /// Pseudo-inverse of the Gram matrix `X'X`.
    inverse: DMatrix<f64>,
    gram: DMatrix<f64>,
    /// The first column of each factor.
    starts: Vec<usize>,
}

/// An estimated difference between two levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// The difference.
    pub(crate) value: f64,
    /// Its variance, in units of an observation's.
    pub(crate) variance: f64,
}

/// Singular values below this share of the largest are none: entries are 0 and 1.
const TOLERANCE: f64 = 1e-9;

impl Fit {
    /// Fits by the pseudo-inverse, so that it does not matter that levels add up to the intercept.
    pub(crate) fn new(values: &[f64], factors: &[&Factor]) -> Fit {
        let mut starts = Vec::new();
        let mut columns = 1;
        for factor in factors {
            starts.push(columns);
            columns += factor.count;
        }
        let design = DMatrix::from_fn(values.len(), columns, |row, column| {
            let is_set = column == 0
                || factors.iter().zip(&starts).any(|(factor, &start)| start + factor.levels[row] == column);
            f64::from(u8::from(is_set))
        });
        let gram = design.transpose() * &design;
        let decomposition = gram.clone().svd(true, true);
        let largest = decomposition.singular_values.iter().copied().fold(0.0, f64::max);
        let rank = decomposition.rank(largest * TOLERANCE);
        let inverse = decomposition
            .pseudo_inverse(largest * TOLERANCE)
            .expect("both sides of the decomposition are there");
        // Around the mean, sums of squares keep more digits.
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let centred = DVector::from_iterator(values.len(), values.iter().map(|value| value - mean));
        let coefficients = &inverse * (design.transpose() * &centred);
        let residual_squares = (&centred - &design * &coefficients).norm_squared();
        let freedom = values.len() - rank;
        Fit { residual_squares, freedom, coefficients, inverse, gram, starts }
    }

    /// What a level of a factor adds beyond another; `None` if the observations cannot tell.
    pub(crate) fn difference(&self, factor: usize, level: usize, reference: usize) -> Option<Estimate> {
        let mut contrast = DVector::zeros(self.coefficients.len());
        contrast[self.starts[factor] + level] += 1.0;
        contrast[self.starts[factor] + reference] -= 1.0;
        let solved = &self.inverse * &contrast;
        let is_estimable = (&self.gram * &solved - &contrast).amax() < 1e-6;
        is_estimable
            .then(|| Estimate { value: contrast.dot(&self.coefficients), variance: contrast.dot(&solved) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two values under three seeds, one run missing: against
    /// `statsmodels.formula.api.ols("y ~ C(seed) + C(value)")`.
    #[test]
    fn an_unbalanced_design() {
        let values = [1.0, 2.0, 4.0, 2.5, 3.0];
        let seed = Factor::new(vec![0, 1, 2, 0, 1]);
        let value = Factor::new(vec![0, 0, 0, 1, 1]);
        let fit = Fit::new(&values, &[&seed, &value]);
        assert_eq!(fit.freedom, 1);
        assert!((fit.residual_squares - 0.0625).abs() < 1e-12, "{}", fit.residual_squares);
        let difference = fit.difference(1, 1, 0).unwrap();
        assert!((difference.value - 1.25).abs() < 1e-12 && (difference.variance - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_was_never_seen_together_is_not_told_apart() {
        // Value 1 was tried with seed 1 only, value 0 with seed 0 only.
        let fit = Fit::new(&[1.0, 2.0, 3.0], &[&Factor::new(vec![0, 0, 1]), &Factor::new(vec![0, 0, 1])]);
        assert_eq!(fit.difference(1, 1, 0), None);
        assert_eq!(fit.freedom, 1);
    }

    #[test]
    fn crossed_factors_have_a_level_for_each_pair() {
        let crossed = Factor::new(vec![0, 1, 0, 1]).crossed(&Factor::new(vec![0, 0, 2, 2]));
        assert_eq!(crossed.levels, [0, 3, 2, 5]);
    }
}

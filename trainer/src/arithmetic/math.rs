//! Functions of one number and their derivatives, of operations that IEEE 754 rounds alike everywhere.
//!
//! Written without branches, so that a loop over them becomes vector code. Largest errors are a few units
//! in the last place; the tests compare with `libm`.

// Coefficients stand as they were published.
#![allow(clippy::excessive_precision)]

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// `e^x` for `x` clamped to `[-87.3, 88.3]`, where it is a normal number; NaN stays NaN.
///
/// `2^n e^r` with `n` the integer next to `x / ln 2` and `|r| <= ln 2 / 2`, by Cody and Waite's reduction
/// and a polynomial (coefficients of Cephes' `expf`).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // ln 2 in two parts: the first has few enough bits that its multiples are exact.
    const LN_2_HIGH: f32 = 0.693_359_375;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding it leaves an integer in the lowest bits of the mantissa.
    const SHIFT: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    let shifted = x.mul_add(LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = (-n).mul_add(LN_2_LOW, (-n).mul_add(LN_2_HIGH, x));
    let p = horner(r, [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]);
    let power = (r * r).mul_add(p, r) + 1.0;
    // Adds n to the exponent. NaN has no lowest bits that would reach it.
    f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// Logistic function `1 / (1 + e^-x)`, and `s (1 - s)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> (f32, f32) {
    let s = 1.0 / (1.0 + exp(-x));
    (s, s * (1.0 - s))
}

/// Hyperbolic tangent, and `1 - t^2`.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> (f32, f32) {
    let size = x.abs();
    let square = x * x;
    // Near zero, the difference below would cancel (coefficients of Cephes' `tanhf`).
    let p = horner(square, [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328_2e-1]);
    let near = (x * square).mul_add(p, x);
    let far = (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x);
    let t = if size < 0.625 { near } else { far };
    (t, (-t).mul_add(t, 1.0))
}

/// `x sigmoid(x)`.
#[inline(always)]
pub(crate) fn silu(x: f32) -> (f32, f32) {
    let (s, _) = sigmoid(x);
    (x * s, s * x.mul_add(1.0 - s, 1.0))
}

/// `x` above zero, `e^x - 1` below.
#[inline(always)]
pub(crate) fn elu(x: f32) -> (f32, f32) {
    let power = exp(x);
    // Near zero, the difference would cancel: Taylor's series instead.
    let p = horner(x, [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5]);
    let near = (x * x).mul_add(p, x);
    let below = if x > -0.3 { near } else { power - 1.0 };
    if x > 0.0 { (x, 1.0) } else { (below, power) }
}

/// `x Φ(x)`, and `Φ(x) + x φ(x)`.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> (f32, f32) {
    const FRAC_1_SQRT_2PI: f32 = 0.398_942_28;
    let share = 0.5 * (1.0 + erf(x * FRAC_1_SQRT_2));
    let density = FRAC_1_SQRT_2PI * exp(-0.5 * x * x);
    (x * share, x.mul_add(density, share))
}

/// Error function: an odd rational function (coefficients of Eigen's `erf` for `float`) up to where it
/// rounds to 1.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let square = x * x;
    let above = horner(
        square,
        [
            -2.726_142_3e-10,
            2.770_681_4e-8,
            -2.101_024e-6,
            -5.692_506_3e-5,
            -7.349_906e-4,
            -2.954_599_8e-3,
            -1.609_603_3e-2,
        ],
    );
    let below =
        horner(square, [-1.456_607_2e-5, -2.133_740_5e-4, -1.682_827e-3, -7.373_329_2e-3, -1.426_473_9e-2]);
    if x.abs() < 3.9 { x * above / below } else { x.clamp(-1.0, 1.0) }
}

/// `((c0 x + c1) x + c2) x + ...`.
#[inline(always)]
fn horner<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for &coefficient in &coefficients[1..] {
        sum = sum.mul_add(x, coefficient);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error of `found` over `[-30, 30]`, in units of the larger of `|expected|` and `floor`.
    fn error(found: impl Fn(f32) -> f32, expected: impl Fn(f64) -> f64, floor: f64) -> f64 {
        let points = (-300_000..=300_000).map(|i| i as f32 * 1e-4);
        points
            .map(|x| {
                let exact = expected(x.into());
                (f64::from(found(x)) - exact).abs() / exact.abs().max(floor)
            })
            .fold(0.0, f64::max)
    }

    fn logistic(x: f64) -> f64 {
        1.0 / (1.0 + libm::exp(-x))
    }

    fn normal(x: f64) -> f64 {
        0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
    }

    #[test]
    fn values_are_those_of_libm() {
        assert!(error(exp, libm::exp, 0.0) < 2e-7);
        assert!(error(|x| sigmoid(x).0, logistic, 0.0) < 3e-7);
        assert!(error(|x| tanh(x).0, libm::tanh, 1e-30) < 3e-7);
        assert!(error(|x| silu(x).0, |x| x * logistic(x), 1e-30) < 3e-7);
        assert!(error(|x| elu(x).0, |x| if x > 0.0 { x } else { libm::expm1(x) }, 1e-30) < 3e-7);
        assert!(error(erf, libm::erf, 1e-30) < 5e-7);
        // Far below zero 1 + erf cancels, as it does in libtorch and in the exported graph.
        assert!(error(|x| gelu(x).0, |x| x * normal(x), 1.0) < 1e-6);
    }

    #[test]
    fn derivatives_are_those_of_the_values() {
        let step = 1e-5;
        let slope = |f: &dyn Fn(f64) -> f64, x: f64| (f(x + step) - f(x - step)) / (2.0 * step);
        let check = |name: &str, derivative: fn(f32) -> (f32, f32), value: &dyn Fn(f64) -> f64| {
            // Off zero, where the derivative of elu has its corner.
            let worst = error(|x| derivative(x).1, |x| slope(value, x), 1.0);
            assert!(worst < 1e-4, "{name}: {worst:e}");
        };
        check("sigmoid", sigmoid, &logistic);
        check("tanh", tanh, &|x| libm::tanh(x));
        check("silu", silu, &|x| x * logistic(x));
        check("elu", elu, &|x| if x > 0.0 { x } else { libm::expm1(x) });
        check("gelu", gelu, &|x| x * normal(x));
    }

    #[test]
    fn the_ends_are_right_and_nan_stays() {
        assert_eq!(sigmoid(-200.0).0, 1.0 / (1.0 + exp(200.0)));
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::INFINITY) > 2e38);
        assert_eq!((sigmoid(200.0).0, tanh(200.0).0, tanh(-200.0).0, elu(-200.0).0), (1.0, 1.0, -1.0, -1.0));
        assert_eq!((gelu(50.0).0, gelu(-50.0).0), (50.0, 0.0));
        for f in [sigmoid, tanh, silu, elu, gelu] {
            assert!(f(f32::NAN).0.is_nan() && f(0.0).0.abs() <= 0.5);
        }
    }
}

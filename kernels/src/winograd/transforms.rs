//! The transforms of kernels, inputs and outputs, as polynomials: a line of a tile and a line of a kernel
//! are multiplied by their values at points.
//!
//! With finite points `p`, and infinity as the last: a kernel's line `g` has the value `sum of g[k] p^k /
//! product of (p - q)` over the other finite points `q`, and at infinity its last element. An input's line
//! `d` goes through the coefficients of `product of (x - q)`, and an output has `sum of m[i] p[i]^k`, the
//! last output with the value at infinity.

use pulp::Simd;

use crate::unroll::unroll;

/// Points for tiles of 5 and of 6, without infinity. Points further from 1 cost digits.
const POINTS: [f64; 5] = [0.0, 1.0, -1.0, 2.0, -2.0];

/// What a kernel's line is multiplied by, for each point of tiles of `tile`.
pub(super) fn kernel_powers(tile: usize, kernel_size: usize) -> Vec<Vec<f64>> {
    let points = &POINTS[..tile - 1];
    let finite = points.iter().enumerate().map(|(at, point)| {
        let others = points.iter().enumerate().filter(|&(other, _)| other != at);
        let product: f64 = others.map(|(_, other)| point - other).product();
        (0..kernel_size).map(|degree| point.powi(degree as i32) / product).collect()
    });
    let infinity = (0..kernel_size).map(|degree| f64::from(u8::from(degree + 1 == kernel_size))).collect();
    finite.chain([infinity]).collect()
}

/// `B' d` for a line of `N` inputs.
#[inline(always)]
pub(super) fn input<S: Simd, const N: usize>(simd: S, d: [S::f32s; N]) -> [S::f32s; N] {
    let mut values = d;
    match N {
        5 => values[..5].copy_from_slice(&input_5::<S>(simd, unroll!(5, at => d[at]))),
        _ => values[..6].copy_from_slice(&input_6::<S>(simd, unroll!(6, at => d[at]))),
    }
    values
}

/// For the points 0, 1, -1, 2 and infinity.
#[inline(always)]
fn input_5<S: Simd>(simd: S, d: [S::f32s; 5]) -> [S::f32s; 5] {
    let [two, minus_two, minus_three] = [2.0, -2.0, -3.0].map(|value| simd.splat_f32s(value));
    // 2 d0 - d1 - 2 d2 + d3, and the same one place on for infinity.
    let first = simd.sub_f32s(d[3], d[1]);
    let last = simd.sub_f32s(d[4], d[2]);
    [
        simd.mul_add_e_f32s(two, simd.sub_f32s(d[0], d[2]), first),
        simd.mul_add_e_f32s(minus_two, d[1], simd.sub_f32s(d[3], d[2])),
        simd.mul_add_e_f32s(two, d[1], simd.mul_add_e_f32s(minus_three, d[2], d[3])),
        first,
        simd.mul_add_e_f32s(two, simd.sub_f32s(d[1], d[3]), last),
    ]
}

/// For the points 0, 1, -1, 2, -2 and infinity.
#[inline(always)]
fn input_6<S: Simd>(simd: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
    let two = simd.splat_f32s(2.0);
    let four = simd.splat_f32s(4.0);
    let even = simd.mul_add_e_f32s(simd.splat_f32s(-4.0), d[2], d[4]);
    let odd = simd.mul_add_e_f32s(simd.splat_f32s(-4.0), d[1], d[3]);
    let even_two = simd.sub_f32s(d[4], d[2]);
    let odd_two = simd.mul_f32s(two, simd.sub_f32s(d[3], d[1]));
    let first = simd.mul_add_e_f32s(simd.splat_f32s(-5.0), d[2], d[4]);
    let last = simd.mul_add_e_f32s(simd.splat_f32s(-5.0), d[3], d[5]);
    [
        simd.mul_add_e_f32s(four, d[0], first),
        simd.add_f32s(even, odd),
        simd.sub_f32s(even, odd),
        simd.add_f32s(even_two, odd_two),
        simd.sub_f32s(even_two, odd_two),
        simd.mul_add_e_f32s(four, d[1], last),
    ]
}

/// `A' m` for a line of `N` products: `M` outputs, in the first of four places.
#[inline(always)]
pub(super) fn output<S: Simd, const N: usize, const M: usize>(simd: S, m: [S::f32s; N]) -> [S::f32s; 4] {
    let (even, odd) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let powers = unroll!(4, degree => simd.splat_f32s((1 << degree) as f32));
    let mut sums = match N {
        5 => [
            simd.add_f32s(simd.add_f32s(even, m[3]), m[0]),
            simd.mul_add_e_f32s(powers[1], m[3], odd),
            simd.mul_add_e_f32s(powers[2], m[3], even),
            simd.mul_add_e_f32s(powers[3], m[3], odd),
        ],
        _ => {
            let (even_two, odd_two) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
            [
                simd.add_f32s(simd.add_f32s(even, even_two), m[0]),
                simd.mul_add_e_f32s(powers[1], odd_two, odd),
                simd.mul_add_e_f32s(powers[2], even_two, even),
                simd.mul_add_e_f32s(powers[3], odd_two, odd),
            ]
        }
    };
    sums[M - 1] = simd.add_f32s(sums[M - 1], m[N - 1]);
    sums
}

/// `A y` for a line of `M` outputs, in the first of four places: the transpose of [`output`] for tiles of 6.
#[inline(always)]
pub(super) fn slope<S: Simd, const M: usize>(simd: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
    let [two, four] = [2.0, 4.0].map(|value| simd.splat_f32s(value));
    let (mut even, mut odd) = (y[0], y[1]);
    let (mut even_two, mut odd_two) = (y[0], simd.mul_f32s(two, y[1]));
    if M > 2 {
        even = simd.add_f32s(even, y[2]);
        even_two = simd.mul_add_e_f32s(four, y[2], even_two);
    }
    if M > 3 {
        odd = simd.add_f32s(odd, y[3]);
        odd_two = simd.mul_add_e_f32s(simd.splat_f32s(8.0), y[3], odd_two);
    }
    [
        y[0],
        simd.add_f32s(even, odd),
        simd.sub_f32s(even, odd),
        simd.add_f32s(even_two, odd_two),
        simd.sub_f32s(even_two, odd_two),
        y[M - 1],
    ]
}

/// `B v` for a line of a tile of 6: the transpose of [`input`].
#[inline(always)]
pub(super) fn input_slope<S: Simd>(simd: S, v: [S::f32s; 6]) -> [S::f32s; 6] {
    let [two, four] = [2.0, 4.0].map(|value| simd.splat_f32s(value));
    let [minus_four, minus_five] = [-4.0, -5.0].map(|value| simd.splat_f32s(value));
    let (sum, difference) = (simd.add_f32s(v[1], v[2]), simd.sub_f32s(v[1], v[2]));
    let (sum_two, difference_two) = (simd.add_f32s(v[3], v[4]), simd.sub_f32s(v[3], v[4]));
    let twice = simd.mul_f32s(two, difference_two);
    let fourfold = simd.mul_f32s(four, v[5]);
    [
        simd.mul_f32s(four, v[0]),
        simd.mul_add_e_f32s(minus_four, difference, simd.sub_f32s(fourfold, twice)),
        simd.mul_add_e_f32s(minus_five, v[0], simd.mul_add_e_f32s(minus_four, sum, simd.neg_f32s(sum_two))),
        simd.mul_add_e_f32s(minus_five, v[5], simd.add_f32s(difference, twice)),
        simd.add_f32s(v[0], simd.add_f32s(sum, sum_two)),
        v[5],
    ]
}

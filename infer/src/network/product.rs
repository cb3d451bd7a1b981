//! Matrix products on the widest vector unit that the processor has: convolutions and dense layers.
//!
//! The windows of a convolution are not copied. In an image `[H, W, C]` each row of a window is
//! `kernel_width * C` values side by side, so a window is a few such runs and its product with
//! the weights reads them where they are; a dense layer is the case of one run. Every output is
//! one chain of multiply-adds in the order of the runs, so it does not depend on what else is
//! computed at the same time.

use pulp::{Arch, Simd, WithSimd};

/// Weights `[features, depth]`, arranged in panels: as many features as a vector has lanes,
/// side by side, for each place of the depth.
#[derive(Debug)]
pub(super) struct Weights {
    panels: Vec<f32>,
    /// One value per lane of every panel.
    bias: Vec<f32>,
    depth: usize,
    features: usize,
    arch: Arch,
}

/// Where the inputs of each output row lie.
pub(super) struct Windows<'a> {
    /// First value of each window.
    pub(super) origins: &'a [usize],
    /// Number of runs of a window.
    pub(super) runs: usize,
    /// Values of a run.
    pub(super) run: usize,
    /// From one run to the next.
    pub(super) stride: usize,
}

impl Weights {
    /// Arranges `weight(feature, place)` for this processor.
    pub(super) fn new(
        features: usize,
        depth: usize,
        weight: impl Fn(usize, usize) -> f32,
        mut bias: Vec<f32>,
    ) -> Weights {
        let arch = Arch::new();
        let lanes = arch.dispatch(Lanes);
        let padded = features.next_multiple_of(lanes);
        let mut panels = vec![0.0; padded * depth];
        for (panel, first) in
            panels.chunks_exact_mut((lanes * depth).max(1)).zip((0..features).step_by(lanes))
        {
            for (place, values) in panel.chunks_exact_mut(lanes).enumerate() {
                for (value, feature) in values.iter_mut().zip(first..features) {
                    *value = weight(feature, place);
                }
            }
        }
        bias.resize(padded, 0.0);
        Weights { panels, bias, depth, features, arch }
    }

    /// Outputs of a row.
    pub(super) fn features(&self) -> usize {
        self.features
    }

    /// `output[row] = window[row] * weights^T + bias`, at least 0 with `relu`, for outputs
    /// `[rows, features]`.
    pub(super) fn apply(&self, input: &[f32], windows: &Windows<'_>, relu: bool, output: &mut [f32]) {
        let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
        self.arch.dispatch(Product { input, windows, weights: self, floor, output });
    }
}

/// Asks for the number of `f32` in a vector.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

struct Product<'a> {
    input: &'a [f32],
    windows: &'a Windows<'a>,
    weights: &'a Weights,
    /// Smallest output.
    floor: f32,
    output: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let count = self.weights.bias.len() / S::F32_LANES;
        let mut panel = 0;
        // As many sums at a time as there are registers: a row alone takes many panels.
        if self.windows.origins.len() == 1 {
            while panel + 8 <= count {
                self.tile_1x8(simd, 0, panel);
                panel += 8;
            }
        }
        while panel + 2 <= count {
            self.two_panels(simd, panel);
            panel += 2;
        }
        if panel < count {
            self.one_panel(simd, panel);
        }
    }
}

/// An array whose elements are written out, for the places 0, 1, 2, ... of `$i`. Loops over
/// vectors may stay loops, with the vectors in memory; whether they do changes with every compiler.
macro_rules! each {
    (1, $i:ident => $value:expr) => {
        each!(@ $i $value; 0)
    };
    (2, $i:ident => $value:expr) => {
        each!(@ $i $value; 0 1)
    };
    (4, $i:ident => $value:expr) => {
        each!(@ $i $value; 0 1 2 3)
    };
    (6, $i:ident => $value:expr) => {
        each!(@ $i $value; 0 1 2 3 4 5)
    };
    (8, $i:ident => $value:expr) => {
        each!(@ $i $value; 0 1 2 3 4 5 6 7)
    };
    (12, $i:ident => $value:expr) => {
        each!(@ $i $value; 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@ $i:ident $value:expr; $($place:literal)*) => {
        [$({ let $i: usize = $place; $value }),*]
    };
}
pub(super) use each;

/// A method for `$rows` rows and `$panels` panels, summed in registers.
macro_rules! tile {
    ($name:ident, $rows:tt, $panels:tt) => {
        #[inline(always)]
        fn $name<S: Simd>(&mut self, simd: S, row: usize, panel: usize) {
            let Weights { panels, bias, depth, features, .. } = self.weights;
            let Windows { origins, runs, run, stride } = *self.windows;
            let (panels, _) = S::as_simd_f32s(panels);
            let (bias, _) = S::as_simd_f32s(bias);
            let panels = each!($panels, v => &panels[(panel + v) * depth..][..*depth]);
            let mut sums = each!($rows, _r => each!($panels, v => bias[panel + v]));
            for at in 0..runs {
                let inputs = each!($rows, r => &self.input[origins[row + r] + at * stride..][..run]);
                let weights = each!($panels, v => &panels[v][at * run..][..run]);
                for place in 0..run {
                    let weight = each!($panels, v => weights[v][place]);
                    sums = each!($rows, r => {
                        let value = simd.splat_f32s(inputs[r][place]);
                        each!($panels, v => simd.mul_add_e_f32s(value, weight[v], sums[r][v]))
                    });
                }
            }
            let floor = simd.splat_f32s(self.floor);
            let sums = each!($rows, r => each!($panels, v => simd.max_f32s(floor, sums[r][v])));
            let outputs = self.output[row * features..].chunks_exact_mut(*features);
            for (output, sums) in outputs.zip(&sums) {
                store::<S>(simd, &mut output[panel * S::F32_LANES..], sums);
            }
        }
    };
}

/// A method for all rows and `$panels` panels: AVX-512 has 32 registers, AVX2 has 16.
macro_rules! all_rows {
    ($name:ident, $twelve:ident, $six:ident, $four:ident, $one:ident) => {
        #[inline(always)]
        fn $name<S: Simd>(&mut self, simd: S, panel: usize) {
            let rows = self.windows.origins.len();
            let mut row = 0;
            while S::F32_LANES == 16 && row + 12 <= rows {
                self.$twelve(simd, row, panel);
                row += 12;
            }
            while S::F32_LANES != 16 && row + 6 <= rows {
                self.$six(simd, row, panel);
                row += 6;
            }
            while row + 4 <= rows {
                self.$four(simd, row, panel);
                row += 4;
            }
            while row < rows {
                self.$one(simd, row, panel);
                row += 1;
            }
        }
    };
}

impl Product<'_> {
    all_rows!(two_panels, tile_12x2, tile_6x2, tile_4x2, tile_1x2);
    all_rows!(one_panel, tile_12x1, tile_6x1, tile_4x1, tile_1x1);
    tile!(tile_12x2, 12, 2);
    tile!(tile_6x2, 6, 2);
    tile!(tile_4x2, 4, 2);
    tile!(tile_1x2, 1, 2);
    tile!(tile_12x1, 12, 1);
    tile!(tile_6x1, 6, 1);
    tile!(tile_4x1, 4, 1);
    tile!(tile_1x1, 1, 1);
    tile!(tile_1x8, 1, 8);
}

/// Writes vectors, the last one only as far as there is room.
#[inline(always)]
fn store<S: Simd>(simd: S, output: &mut [f32], vectors: &[S::f32s]) {
    let (whole, rest) = S::as_mut_simd_f32s(output);
    for (output, vector) in whole.iter_mut().zip(vectors) {
        *output = *vector;
    }
    if let Some(vector) = vectors.get(whole.len()) {
        simd.partial_store_f32s(rest, *vector);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every number of rows and features, whole vectors or not, against one sum after another.
        #[test]
        fn is_the_sum_of_products(
            rows in 1usize..30, features in 1usize..70, runs in 1usize..4, run in 1usize..9, relu: bool,
        ) {
            let number = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 50.0;
            let depth = runs * run;
            let stride = run + 3;
            let input: Vec<f32> = (0..rows * 2 + runs * stride).map(number).collect();
            let origins: Vec<usize> = (0..rows).map(|row| row * 2).collect();
            let weight = |feature: usize, place: usize| number(feature * 7 + place * 3);
            let bias: Vec<f32> = (0..features).map(|feature| number(feature * 11)).collect();
            let weights = Weights::new(features, depth, weight, bias.clone());
            let mut output = vec![f32::NAN; rows * features];
            let windows = Windows { origins: &origins, runs, run, stride };
            weights.apply(&input, &windows, relu, &mut output);
            for (row, outputs) in output.chunks(features).enumerate() {
                for (feature, found) in outputs.iter().enumerate() {
                    let place = |place: usize| origins[row] + place / run * stride + place % run;
                    let sum: f32 = (0..depth).map(|at| input[place(at)] * weight(feature, at)).sum();
                    let sum = sum + bias[feature];
                    let expected = if relu { sum.max(0.0) } else { sum };
                    prop_assert!((found - expected).abs() < 1e-4, "{row}, {feature}: {found}, {expected}");
                }
            }
        }
    }
}

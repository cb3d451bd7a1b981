//! Matrix product through an indirection buffer (Dukhan 2019, "The Indirect Convolution Algorithm",
//! arXiv:1907.02129): convolutions and dense layers.
//!
//! The simple algorithm, for `rows` windows over an input and `features` outputs of each:
//!
//! ```text
//! for row in rows:
//!     for feature in features:
//!         sum = bias[feature]
//!         for run in runs:                        # rows or taps of the window
//!             for k in 0..run_length:
//!                 sum += input[origins[row] + runs[run] + k] * weight[feature][run][k]
//!         output[row][feature] = clamp(sum)
//! ```
//!
//! Departures:
//!
//! 1. Windows are not copied into a matrix (`im2col`): in an image `[H, W, C]` a row of a window is
//!    `kernel_width * C` values side by side, and the indirection buffer says where each begins.
//! 2. NR features at a time: weights are packed in panels of as many features as a vector has lanes,
//!    so that one multiply-add serves a whole vector of sums.
//! 3. MR rows at a time, in a microkernel of MR x NR sums that stay in registers: each vector of weights
//!    that is loaded serves MR rows, and the sums of several rows hide the latency of the multiply-adds.
//!    12 x 2 vectors with AVX-512 (32 registers), 6 x 2 with the 16 registers of AVX2; 8 x 3 and 4 x 3 where
//!    the panels are odd in number; a row alone takes 1 x 8. One row at a time takes 1.5 to 1.9 times as
//!    long, one vector at a time 1.25 times for dense layers and the same for convolutions.
//! 4. The sums of a microkernel are written out by [`unroll!`], not looped over.
//! 5. Bias and activation are fused: sums start at the bias and are clamped before they are stored.
//! 6. A row alone reads every weight for one multiply-add, so that it waits for memory if the weights are larger than the
//!    second-level cache (4 MB for 1024 x 1024). Every other row takes the panels from the last to the first: it begins with
//!    those that the row before left in the cache. That takes 0.8 of the time.
//!
//! Gains are medians of 11 turns with AVX-512, each departure taken away alone.
//!
//! Every output is one chain of multiply-adds in the order of the runs. It depends neither on the
//! rows computed with it nor on the vector width, as long as the processor has fused multiply-adds.
//!
//! Left out: blocking over the depth, which would add partial sums in another order; the longest panel
//! of the published networks (3136 values of 16 features, 200 KB) fits into the second-level cache.

use std::sync::atomic::{AtomicBool, Ordering};

use pulp::{Arch, Simd, WithSimd};

use crate::blocks::blocks;
use crate::buffer::AlignedBuffer;
use crate::huge_pages::HugePageBuffer;
use crate::unroll::unroll;

/// `f32` in the widest vector.
const MAX_LANES: usize = 16;

/// Places that are packed at a time: four lines of the cache of one feature's weights, which are fetched together.
const PLACES: usize = 64;

/// Weights `[features, depth]` packed in panels: as many features as a vector has lanes, side by
/// side, for each place of the depth.
#[derive(Debug)]
pub struct PackedWeights {
    panels: HugePageBuffer,
    /// One value per lane of every panel.
    bias: Vec<f32>,
    depth: usize,
    features: usize,
    arch: Arch,
    /// Whether the next row alone takes the panels from the last to the first.
    backward: AtomicBool,
}

/// Where the inputs of each output row lie: run `r` of row `i` begins at `origins[i] + runs[r]`.
#[derive(Debug, Clone, Copy)]
pub struct IndirectionBuffer<'a> {
    /// First value of each window.
    pub origins: &'a [usize],
    /// Where each run of a window begins, from its first value.
    pub runs: &'a [usize],
    /// Values of a run; `runs.len() * run_length` is the depth.
    pub run_length: usize,
}

/// Where the outputs go: the features of row `i` at `i * row_stride + offset`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputRows {
    pub(crate) row_stride: usize,
    pub(crate) offset: usize,
}

/// An activation fused into the store: `min(max(x, self.min), self.max)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clamp {
    /// Smallest output.
    pub min: f32,
    /// Largest output.
    pub max: f32,
}

impl Clamp {
    /// Nothing is clamped.
    pub const NONE: Clamp = Clamp { min: f32::NEG_INFINITY, max: f32::INFINITY };
    /// ReLU.
    pub const RELU: Clamp = Clamp { min: 0.0, ..Clamp::NONE };

    /// What comes out for `value`.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, simd: S, value: S::f32s) -> S::f32s {
        simd.min_f32s(simd.splat_f32s(self.max), simd.max_f32s(simd.splat_f32s(self.min), value))
    }
}

impl PackedWeights {
    /// Packs `weight(feature, place)` for this processor.
    pub fn new(
        features: usize,
        depth: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: Vec<f32>,
    ) -> PackedWeights {
        let lanes = Arch::new().dispatch(Lanes);
        let mut panels = HugePageBuffer::zeroed(features.next_multiple_of(lanes) * depth);
        let firsts = (0..features).step_by(lanes);
        for (panel, first) in panels.chunks_exact_mut((lanes * depth).max(1)).zip(firsts) {
            // A few places at a time: the weights of a feature usually lie side by side, and those of the
            // next as far away as makes them fall into the same lines of the first-level cache.
            for (at, block) in panel.chunks_mut(lanes * PLACES).enumerate() {
                for (lane, feature) in (first..features).take(lanes).enumerate() {
                    for (place, values) in block.chunks_exact_mut(lanes).enumerate() {
                        values[lane] = weight(feature, at * PLACES + place);
                    }
                }
            }
        }
        PackedWeights::over(panels, features, depth, bias)
    }

    /// Packs a matrix `[depth, features]` whose rows begin `stride` values apart, without a bias: the
    /// features of a place lie side by side, and are copied a vector at a time.
    ///
    /// # Panics
    /// If `matrix` is too short.
    pub fn of_matrix(matrix: &[f32], stride: usize, depth: usize, features: usize) -> PackedWeights {
        let panels = Arch::new().dispatch(Pack { matrix, stride, depth, features });
        PackedWeights::over(panels.into(), features, depth, Vec::new())
    }

    fn over(panels: HugePageBuffer, features: usize, depth: usize, mut bias: Vec<f32>) -> PackedWeights {
        let arch = Arch::new();
        bias.resize(features.next_multiple_of(arch.dispatch(Lanes)), 0.0);
        PackedWeights { panels, bias, depth, features, arch, backward: AtomicBool::new(false) }
    }

    /// Bytes of so many packed weights, about: the last panel may be partly empty.
    pub fn bytes(features: usize, depth: usize) -> usize {
        features.div_ceil(MAX_LANES).saturating_mul(MAX_LANES * size_of::<f32>()).saturating_mul(depth)
    }

    /// As many features as a vector has lanes, for each place of the depth.
    pub(crate) fn panels(&self) -> &[f32] {
        &self.panels
    }

    /// One value per lane of every panel.
    pub(crate) fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Outputs of a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// `output[row] = clamp(window[row] * weights^T + bias)` for outputs `[rows, features]`.
    ///
    /// # Panics
    /// If a window has not the weights' depth or reaches beyond `input`, or `output` is too short.
    pub fn forward(&self, input: &[f32], windows: IndirectionBuffer<'_>, clamp: Clamp, output: &mut [f32]) {
        let rows = OutputRows { row_stride: self.features, offset: 0 };
        self.forward_into(input, windows, clamp, rows, output);
    }

    /// The same for outputs that lie between others, such as those of a group of features.
    pub(crate) fn forward_into(
        &self,
        input: &[f32],
        windows: IndirectionBuffer<'_>,
        clamp: Clamp,
        rows: OutputRows,
        output: &mut [f32],
    ) {
        let depth = windows.runs.len() * windows.run_length;
        assert_eq!(depth, self.depth, "runs of a window and weights of a feature");
        self.arch.dispatch(Product { input, windows, weights: self, clamp, rows, output });
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

/// Packs a matrix whose columns are the features.
struct Pack<'a> {
    matrix: &'a [f32],
    stride: usize,
    depth: usize,
    features: usize,
}

impl WithSimd for Pack<'_> {
    type Output = AlignedBuffer;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> AlignedBuffer {
        let Pack { matrix, stride, depth, features } = self;
        let rows = || (0..depth).map(|place| &matrix[place * stride..][..features]);
        // Appended, not overwritten: clearing as much memory first takes half as long as packing.
        AlignedBuffer::filled(features.next_multiple_of(S::F32_LANES) * depth, |panels| {
            let whole = features / S::F32_LANES * S::F32_LANES;
            for first in (0..whole).step_by(S::F32_LANES) {
                rows().for_each(|row| panels.extend_from_slice(&row[first..first + S::F32_LANES]));
            }
            if whole < features {
                for row in rows() {
                    panels.extend_from_slice(&row[whole..]);
                    panels.resize(panels.len() + S::F32_LANES - (features - whole), 0.0);
                }
            }
        })
    }
}

struct Product<'a> {
    input: &'a [f32],
    windows: IndirectionBuffer<'a>,
    weights: &'a PackedWeights,
    clamp: Clamp,
    rows: OutputRows,
    output: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (panels, _) = S::as_simd_f32s(&self.weights.panels);
        let (bias, _) = S::as_simd_f32s(&self.weights.bias);
        let mut sums = Sums::<S> { product: self, panels, bias };
        let mut done = 0;
        // A row alone takes as many panels at a time as there are registers.
        if sums.rows() == 1 {
            let blocks = bias.len() / 8;
            let backward = blocks > 1 && sums.product.weights.backward.fetch_xor(true, Ordering::Relaxed);
            for block in 0..blocks {
                let block = if backward { blocks - 1 - block } else { block };
                sums.microkernel_1x8(simd, 0, 8 * block);
            }
            done = 8 * blocks;
        }
        sums.all_panels(simd, done, bias.len());
    }
}

/// A product and its weights as vectors.
struct Sums<'a, S: Simd> {
    product: Product<'a>,
    panels: &'a [S::f32s],
    bias: &'a [S::f32s],
}

/// A microkernel of `$rows` (MR) rows and `$panels` panels (NR vectors), summed in registers.
macro_rules! microkernel {
    ($name:ident, $rows:tt, $panels:tt) => {
        #[inline(always)]
        fn $name(&mut self, simd: S, row: usize, panel: usize) {
            let Product { input, windows, weights, clamp, rows, output } = &mut self.product;
            let PackedWeights { depth, features, .. } = weights;
            let IndirectionBuffer { origins, runs, run_length } = *windows;
            let panels = unroll!($panels, v => &self.panels[(panel + v) * depth..][..*depth]);
            let mut sums = unroll!($rows, _r => unroll!($panels, v => self.bias[panel + v]));
            for (at, run) in runs.iter().enumerate() {
                let inputs = unroll!($rows, r => &input[origins[row + r] + run..][..run_length]);
                let weights = unroll!($panels, v => &panels[v][at * run_length..][..run_length]);
                for place in 0..run_length {
                    let weight = unroll!($panels, v => weights[v][place]);
                    sums = unroll!($rows, r => {
                        let value = simd.splat_f32s(inputs[r][place]);
                        unroll!($panels, v => simd.mul_add_e_f32s(value, weight[v], sums[r][v]))
                    });
                }
            }
            let sums = unroll!($rows, r => unroll!($panels, v => clamp.apply(simd, sums[r][v])));
            let OutputRows { row_stride, offset } = *rows;
            let outputs = output[row * row_stride..].chunks_mut(row_stride);
            for (output, sums) in outputs.zip(&sums) {
                store::<S>(simd, &mut output[offset..][..*features][panel * S::F32_LANES..], sums);
            }
        }
    };
}

impl<S: Simd> Sums<'_, S> {
    #[inline(always)]
    fn rows(&self) -> usize {
        self.product.windows.origins.len()
    }

    blocks!(microkernel);
    microkernel!(microkernel_1x8, 1, 8);
}

/// Writes vectors, the last one only as far as there is room.
#[inline(always)]
pub(crate) fn store<S: Simd>(simd: S, output: &mut [f32], vectors: &[S::f32s]) {
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
            let starts: Vec<usize> = (0..runs).map(|at| at * stride).collect();
            let input: Vec<f32> = (0..rows * 2 + runs * stride).map(number).collect();
            let origins: Vec<usize> = (0..rows).map(|row| row * 2).collect();
            let weight = |feature: usize, place: usize| number(feature * 7 + place * 3);
            let bias: Vec<f32> = (0..features).map(|feature| number(feature * 11)).collect();
            let weights = PackedWeights::new(features, depth, weight, bias.clone());
            let mut output = vec![f32::NAN; rows * features];
            let windows = IndirectionBuffer { origins: &origins, runs: &starts, run_length: run };
            weights.forward(&input, windows, if relu { Clamp::RELU } else { Clamp::NONE }, &mut output);
            let matrix: Vec<f32> =
                (0..depth * (features + 2)).map(|at| weight(at % (features + 2), at / (features + 2))).collect();
            let other = PackedWeights::of_matrix(&matrix, features + 2, depth, features);
            prop_assert_eq!(&*other.panels, &*weights.panels);
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

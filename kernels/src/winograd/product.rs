//! The products of Winograd's minimal filtering: for every place of a tile a matrix product `[tiles,
//! channels] x [channels, features]`.
//!
//! The microkernels are those of [`gemm`](crate::gemm), on another layout: a vector of channels of one
//! tile, then those of the next tile, so that the rows of a microkernel lie at constant distances
//! from one pointer. With a pointer for each row, as windows of an image need them, there are more than
//! registers; that takes 1.5 times as long (median of 30 turns, 13x13x16 to 16 features, AVX-512).

use pulp::{Simd, WithSimd};

use crate::blocks::blocks;
use crate::unroll::unroll;

/// All places of a group of tiles. `[a, b]` values are `a` blocks of `b`.
pub(super) struct Products<'a> {
    /// Places of a tile.
    pub(super) places: usize,
    pub(super) tiles: usize,
    /// Tiles' values, `[channels / lanes, tiles, lanes]` for each place, and how far apart places are.
    pub(super) inputs: (&'a [f32], usize),
    /// Kernels' values, `[features / lanes, channels, lanes]` for each place.
    pub(super) weights: &'a [f32],
    /// Sums over the channels, `[features / lanes, tiles, lanes]` for each place, and how far apart these are.
    pub(super) outputs: (&'a mut [f32], usize),
    pub(super) channels: usize,
    pub(super) features: usize,
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Products { places, tiles, channels, features, .. } = self;
        let (inputs, weights) =
            (self.inputs.0.chunks(self.inputs.1), self.weights.chunks_exact(channels * features));
        let outputs = self.outputs.0.chunks_mut(self.outputs.1);
        for ((input, weights), output) in inputs.zip(weights).zip(outputs).take(places) {
            let (weights, _) = S::as_simd_f32s(weights);
            let (output, _) = S::as_mut_simd_f32s(&mut output[..tiles * features]);
            let mut place =
                Place::<S> { input: &input[..tiles * channels], weights, output, tiles, channels };
            place.all_panels(simd, 0, features / S::F32_LANES);
        }
    }
}

/// One place of all tiles.
struct Place<'a, S: Simd> {
    input: &'a [f32],
    weights: &'a [S::f32s],
    output: &'a mut [S::f32s],
    tiles: usize,
    channels: usize,
}

/// A microkernel of `$rows` tiles and `$panels` panels, summed in registers.
macro_rules! microkernel {
    ($name:ident, $rows:tt, $panels:tt) => {
        #[inline(always)]
        fn $name(&mut self, simd: S, row: usize, panel: usize) {
            let zero = simd.splat_f32s(0.0);
            let mut sums = [[zero; $panels]; $rows];
            let panels = unroll!($panels, v => &self.weights[(panel + v) * self.channels..][..self.channels]);
            for (at, block) in self.input.chunks_exact(self.tiles * S::F32_LANES).enumerate() {
                let rows = &block[row * S::F32_LANES..][..$rows * S::F32_LANES];
                let weights = unroll!($panels, v => &panels[v][at * S::F32_LANES..][..S::F32_LANES]);
                for lane in 0..S::F32_LANES {
                    let weight = unroll!($panels, v => weights[v][lane]);
                    sums = unroll!($rows, r => {
                        let value = simd.splat_f32s(rows[r * S::F32_LANES + lane]);
                        unroll!($panels, v => simd.mul_add_e_f32s(value, weight[v], sums[r][v]))
                    });
                }
            }
            for v in 0..$panels {
                let output = &mut self.output[(panel + v) * self.tiles + row..][..$rows];
                output.iter_mut().zip(&sums).for_each(|(output, sums)| *output = sums[v]);
            }
        }
    };
}

impl<S: Simd> Place<'_, S> {
    #[inline(always)]
    fn rows(&self) -> usize {
        self.tiles
    }

    blocks!(microkernel);
}

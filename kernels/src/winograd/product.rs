//! The products of Winograd's minimal filtering: for every place of a tile a matrix product `[tiles,
//! channels] x [channels, features]`.
//!
//! The microkernels are those of [`gemm`](crate::gemm), on another layout: a vector of channels of one
//! tile, then those of the next tile, so that the rows of a microkernel lie at constant distances
//! from one pointer. With a pointer for each row, as windows of an image need them, there are more than
//! registers; that takes 1.5 times as long (median of 30 turns, 13x13x16 to 16 features, AVX-512).

use pulp::{Simd, WithSimd};

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
            let panels = features / S::F32_LANES;
            let mut panel = 0;
            // Three at once rather than two and one.
            if panels % 2 == 1 && panels > 1 {
                place.three_panels(simd, 0);
                panel = 3;
            }
            while panel + 2 <= panels {
                place.two_panels(simd, panel);
                panel += 2;
            }
            if panel < panels {
                place.one_panel(simd, panel);
            }
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

/// A method for all tiles: as many at a time as there are registers for their sums, of which AVX-512 has 32 and AVX2 has 16.
macro_rules! all_tiles {
    ($name:ident, $of_32:ident $many:literal, $eight:ident, $of_16:ident $few:literal, $four:ident, $one:ident) => {
        #[inline(always)]
        fn $name(&mut self, simd: S, panel: usize) {
            let mut row = 0;
            while S::F32_LANES == 16 && row + $many <= self.tiles {
                self.$of_32(simd, row, panel);
                row += $many;
            }
            while S::F32_LANES == 16 && row + 8 <= self.tiles {
                self.$eight(simd, row, panel);
                row += 8;
            }
            while S::F32_LANES != 16 && row + $few <= self.tiles {
                self.$of_16(simd, row, panel);
                row += $few;
            }
            while row + 4 <= self.tiles {
                self.$four(simd, row, panel);
                row += 4;
            }
            while row < self.tiles {
                self.$one(simd, row, panel);
                row += 1;
            }
        }
    };
}

impl<S: Simd> Place<'_, S> {
    all_tiles!(
        three_panels,
        microkernel_8x3 8,
        microkernel_8x3,
        microkernel_4x3 4,
        microkernel_4x3,
        microkernel_1x3
    );
    all_tiles!(
        two_panels,
        microkernel_12x2 12,
        microkernel_8x2,
        microkernel_6x2 6,
        microkernel_4x2,
        microkernel_1x2
    );
    all_tiles!(
        one_panel,
        microkernel_12x1 12,
        microkernel_8x1,
        microkernel_6x1 6,
        microkernel_4x1,
        microkernel_1x1
    );
    microkernel!(microkernel_8x3, 8, 3);
    microkernel!(microkernel_4x3, 4, 3);
    microkernel!(microkernel_1x3, 1, 3);
    microkernel!(microkernel_12x2, 12, 2);
    microkernel!(microkernel_8x2, 8, 2);
    microkernel!(microkernel_6x2, 6, 2);
    microkernel!(microkernel_4x2, 4, 2);
    microkernel!(microkernel_1x2, 1, 2);
    microkernel!(microkernel_12x1, 12, 1);
    microkernel!(microkernel_8x1, 8, 1);
    microkernel!(microkernel_6x1, 6, 1);
    microkernel!(microkernel_4x1, 4, 1);
    microkernel!(microkernel_1x1, 1, 1);
}

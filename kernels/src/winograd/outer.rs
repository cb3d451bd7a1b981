//! The products of the kernels' gradient: for every place of a tile a matrix product `[channels, tiles] x
//! [tiles, features]`, added to the sums of the tiles before.
//!
//! Inputs and slopes lie as the pass left them. A microkernel takes channels of one vector, which are its
//! rows, at the tiles one after the other.

use pulp::{Simd, WithSimd};

use super::tiles::PLACES;
use crate::unroll::unroll;

/// All places of a group of tiles.
pub(super) struct OuterProducts<'a> {
    pub(super) tiles: usize,
    /// `[channels / lanes, tiles, lanes]` for each place, and how far apart places are.
    pub(super) inputs: (&'a [f32], usize),
    /// `[features / lanes, tiles, lanes]` for each place, and how far apart places are.
    pub(super) slopes: (&'a [f32], usize),
    pub(super) channels: usize,
    pub(super) features: usize,
    /// `[features / lanes, channels, lanes]` for each place.
    pub(super) sums: &'a mut [f32],
}

impl WithSimd for OuterProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let OuterProducts { tiles, channels, features, .. } = self;
        let (inputs, slopes) = (self.inputs.0.chunks(self.inputs.1), self.slopes.0.chunks(self.slopes.1));
        let sums = self.sums.chunks_exact_mut(channels * features);
        for ((inputs, slopes), sums) in inputs.zip(slopes).zip(sums).take(PLACES) {
            let (slopes, _) = S::as_simd_f32s(&slopes[..tiles * features]);
            let (sums, _) = S::as_mut_simd_f32s(sums);
            let mut place = Place::<S> { inputs: &inputs[..tiles * channels], slopes, sums, tiles, channels };
            let panels = features / S::F32_LANES;
            for panel in (0..panels - panels % 2).step_by(2) {
                place.two_panels(simd, panel);
            }
            if panels % 2 == 1 {
                place.one_panel(simd, panels - 1);
            }
        }
    }
}

/// One place of all tiles.
struct Place<'a, S: Simd> {
    inputs: &'a [f32],
    slopes: &'a [S::f32s],
    sums: &'a mut [S::f32s],
    tiles: usize,
    channels: usize,
}

/// A microkernel of `$rows` channels from `channel` on and `$panels` panels, summed in registers.
macro_rules! microkernel {
    ($name:ident, $rows:tt, $panels:tt) => {
        #[inline(always)]
        fn $name(&mut self, simd: S, channel: usize, panel: usize) {
            let (block, lane) = (channel / S::F32_LANES, channel % S::F32_LANES);
            let inputs = &self.inputs[block * self.tiles * S::F32_LANES..][..self.tiles * S::F32_LANES];
            let panels = unroll!($panels, v => &self.slopes[(panel + v) * self.tiles..][..self.tiles]);
            let places = unroll!($panels, v => (panel + v) * self.channels + channel);
            let before = unroll!($panels, v => &self.sums[places[v]..][..$rows]);
            let mut sums = unroll!($rows, r => unroll!($panels, v => before[v][r]));
            for (tile, values) in inputs.chunks_exact(S::F32_LANES).enumerate() {
                let values = &values[lane..][..$rows];
                let slope = unroll!($panels, v => panels[v][tile]);
                sums = unroll!($rows, r => {
                    let value = simd.splat_f32s(values[r]);
                    unroll!($panels, v => simd.mul_add_e_f32s(value, slope[v], sums[r][v]))
                });
            }
            for v in 0..$panels {
                let after = &mut self.sums[places[v]..][..$rows];
                after.iter_mut().zip(&sums).for_each(|(after, sums)| *after = sums[v]);
            }
        }
    };
}

/// A method for all channels and a number of panels, half a vector of channels at a time: AVX-512 has 32
/// registers, AVX2 has 16. Vectors of 2 do not exist.
macro_rules! all_channels {
    ($name:ident, $eight:ident, $four:ident, $two:ident, $one:ident) => {
        #[inline(always)]
        fn $name(&mut self, simd: S, panel: usize) {
            for channel in (0..self.channels).step_by((S::F32_LANES / 2).max(1)) {
                match S::F32_LANES {
                    16 => self.$eight(simd, channel, panel),
                    8 => self.$four(simd, channel, panel),
                    4 => self.$two(simd, channel, panel),
                    _ => self.$one(simd, channel, panel),
                }
            }
        }
    };
}

impl<S: Simd> Place<'_, S> {
    all_channels!(two_panels, microkernel_8x2, microkernel_4x2, microkernel_2x2, microkernel_1x2);
    all_channels!(one_panel, microkernel_8x1, microkernel_4x1, microkernel_2x1, microkernel_1x1);
    microkernel!(microkernel_8x2, 8, 2);
    microkernel!(microkernel_4x2, 4, 2);
    microkernel!(microkernel_2x2, 2, 2);
    microkernel!(microkernel_1x2, 1, 2);
    microkernel!(microkernel_8x1, 8, 1);
    microkernel!(microkernel_4x1, 4, 1);
    microkernel!(microkernel_2x1, 2, 1);
    microkernel!(microkernel_1x1, 1, 1);
}

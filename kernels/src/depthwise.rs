//! Depthwise convolution: every channel has a kernel of its own, and gives one feature.
//!
//! The simple algorithm, on a padded image:
//!
//! ```text
//! for each output pixel, channel c:
//!     sum = bias[c]
//!     for tap in the kernel:
//!         sum += padded[origin of the pixel + tap][c] * weight[tap][c]
//!     output[pixel][c] = clamp(sum)
//! ```
//!
//! Departures:
//!
//! 1. A vector of channels at a time: the channels of a pixel lie side by side, and so do the weights of a tap.
//! 2. Four pixels at a time: each vector of weights that is loaded serves four sums, which hide the latency of each
//!    other's multiply-adds.
//!
//! Every output is one chain of multiply-adds in the order of the taps, as in [`gemm`](crate::gemm). As a matrix product
//! of one feature for each group, a vector would hold one value.

use pulp::{Arch, Simd, WithSimd};

use crate::buffer::AlignedBuffer;
use crate::gemm::Clamp;
use crate::unroll::unroll;

#[derive(Debug)]
pub(crate) struct Depthwise {
    /// `[taps, channels]`.
    weights: AlignedBuffer,
    bias: Vec<f32>,
    /// Where each tap lies, from a window's first value.
    taps: Vec<usize>,
    /// First value of each window.
    origins: Vec<usize>,
    arch: Arch,
}

impl Depthwise {
    /// For weights that `weight(channel, tap)` gives.
    pub(crate) fn new(
        taps: Vec<usize>,
        origins: Vec<usize>,
        weight: impl Fn(usize, usize) -> f32,
        bias: Vec<f32>,
    ) -> Depthwise {
        let places = (0..taps.len()).flat_map(|tap| (0..bias.len()).map(move |channel| (channel, tap)));
        let weights = AlignedBuffer::filled(taps.len() * bias.len(), |weights| {
            weights.extend(places.map(|(channel, tap)| weight(channel, tap)));
        });
        Depthwise { weights, bias, taps, origins, arch: Arch::new() }
    }

    /// Bytes of what it keeps for so many channels, taps and windows.
    pub(crate) fn bytes(channels: usize, taps: usize, windows: usize) -> usize {
        (taps + 1)
            .saturating_mul(channels)
            .saturating_mul(size_of::<f32>())
            .saturating_add(windows.saturating_mul(8))
    }

    /// Outputs `[windows, channels]` for a padded image.
    ///
    /// # Panics
    /// If a window reaches beyond `image`, or `output` is too short.
    pub(crate) fn forward(&self, image: &[f32], clamp: Clamp, output: &mut [f32]) {
        self.arch.dispatch(Pass { layer: self, image, clamp, output });
    }
}

struct Pass<'a> {
    layer: &'a Depthwise,
    image: &'a [f32],
    clamp: Clamp,
    output: &'a mut [f32],
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let windows = self.layer.origins.len();
        let whole = windows - windows % 4;
        (0..whole).step_by(4).for_each(|first| self.four(simd, first));
        (whole..windows).for_each(|first| self.one(simd, first));
    }
}

/// A microkernel of `$rows` windows and a vector of channels, over all channels.
macro_rules! microkernel {
    ($name:ident, $rows:tt) => {
        #[inline(always)]
        fn $name<S: Simd>(&mut self, simd: S, first: usize) {
            let Depthwise { weights, bias, taps, origins, .. } = self.layer;
            let channels = bias.len();
            for from in (0..channels).step_by(S::F32_LANES) {
                // The last vector may be partly empty.
                let length = S::F32_LANES.min(channels - from);
                let load = |values: &[f32]| match S::as_simd_f32s(values) {
                    ([vector], _) => *vector,
                    _ => simd.partial_load_f32s(values),
                };
                let start = load(&bias[from..][..length]);
                let mut sums = unroll!($rows, _r => start);
                for (tap, weights) in taps.iter().zip(weights.chunks_exact(channels)) {
                    let weight = load(&weights[from..][..length]);
                    sums = unroll!($rows, r => {
                        let value = load(&self.image[origins[first + r] + tap + from..][..length]);
                        simd.mul_add_e_f32s(value, weight, sums[r])
                    });
                }
                for (row, sum) in sums.into_iter().enumerate() {
                    let output = &mut self.output[(first + row) * channels + from..][..length];
                    let sum = self.clamp.apply(simd, sum);
                    match S::as_mut_simd_f32s(output) {
                        ([vector], _) => *vector = sum,
                        (_, rest) => simd.partial_store_f32s(rest, sum),
                    }
                }
            }
        }
    };
}

impl Pass<'_> {
    microkernel!(four, 4);
    microkernel!(one, 1);
}

//! Convolution of images with one channel, such as the first layer of a network for grey images.
//!
//! The simple algorithm is that of [`conv`](crate::conv), with one channel:
//!
//! ```text
//! for each output pixel (y, x), feature f:
//!     sum = bias[f]
//!     for (i, j) in the kernel:
//!         sum += image[y + i][x + j] * weight[f][i][j]
//!     output[y][x][f] = clamp(sum)
//! ```
//!
//! Departures:
//!
//! 1. A vector of features at a time, for a block of 2x6 pixels whose sums stay in registers: a vector of
//!    weights that is loaded serves twelve pixels, and a row of the image two rows of the block. The matrix
//!    product of [`gemm`](crate::gemm) looks up a run of three or five values for each pixel and row of
//!    the kernel, which takes as long as the multiply-adds.
//! 2. Blocks at the right edge overlap those before them instead of being smaller: their sums are
//!    the same, and so are the instructions. Only the last two columns have a block of their own.
//! 3. With max-pooling of 2x2 windows the largest of four sums is stored, so that the layer's outputs
//!    are never in memory.
//!
//! Every sum is the chain of multiply-adds that the matrix product has, so the bits are the same.

pub(crate) mod gradient;

use pulp::{Arch, Simd, WithSimd};

use crate::frame::Images;
use crate::gemm::{Clamp, PackedWeights, store};
use crate::pool::relu_winner;
use crate::unroll::unroll;
use crate::window::Window;

/// Rows and columns of a block.
const BLOCK: [usize; 2] = [2, 6];

/// A convolution of stride 1 over images with one channel.
#[derive(Debug)]
pub(crate) struct Direct {
    /// `[features, rows * columns of the kernel]`.
    weights: PackedWeights,
    kernel_size: usize,
}

impl Direct {
    /// Whether it serves for such a convolution.
    pub(crate) fn fits(window: &Window, channels: usize, output: [usize; 2]) -> bool {
        channels == 1
            && matches!(window.kernel, [3, 3] | [5, 5])
            && window.strides == [1, 1]
            && window.dilations == [1, 1]
            && output[0] >= BLOCK[0]
            && output[1] >= BLOCK[1]
    }

    /// For weights of a square kernel, row-major.
    pub(crate) fn new(weights: PackedWeights, kernel_size: usize) -> Direct {
        Direct { weights, kernel_size }
    }

    /// Outputs `[N, height, width, features]`, or the maxima of their 2x2 windows, all clamped.
    pub(crate) fn forward(&self, images: Images<'_>, clamp: Clamp, is_pooled: bool, output: &mut [f32]) {
        self.run(images, clamp, if is_pooled { POOLED } else { PLAIN }, output, &mut []);
    }

    /// Largest values of 2x2 windows of the outputs, after ReLU, and which they were.
    pub(crate) fn forward_recorded(&self, images: Images<'_>, output: &mut [f32], winners: &mut [f32]) {
        self.run(images, Clamp::NONE, RECORDED, output, winners);
    }

    fn run(&self, images: Images<'_>, clamp: Clamp, stores: u8, output: &mut [f32], winners: &mut [f32]) {
        let arch = Arch::new();
        let direct = self;
        match (self.kernel_size, stores) {
            (3, PLAIN) => arch.dispatch(Convolve::<3, PLAIN> { direct, images, clamp, output, winners }),
            (3, POOLED) => arch.dispatch(Convolve::<3, POOLED> { direct, images, clamp, output, winners }),
            (3, RECORDED) => {
                arch.dispatch(Convolve::<3, RECORDED> { direct, images, clamp, output, winners })
            }
            (5, PLAIN) => arch.dispatch(Convolve::<5, PLAIN> { direct, images, clamp, output, winners }),
            (5, POOLED) => arch.dispatch(Convolve::<5, POOLED> { direct, images, clamp, output, winners }),
            (5, RECORDED) => {
                arch.dispatch(Convolve::<5, RECORDED> { direct, images, clamp, output, winners })
            }
            (size, _) => unreachable!("`fits` admits kernels of 3 and 5, not {size}"),
        }
    }
}

/// All outputs are stored.
const PLAIN: u8 = 0;
/// The largest of each 2x2 window is stored.
const POOLED: u8 = 1;
/// The largest of each 2x2 window after ReLU is stored, and which it was.
const RECORDED: u8 = 2;

/// With the size of the kernel and what is stored known to the compiler.
struct Convolve<'a, const K: usize, const STORES: u8> {
    direct: &'a Direct,
    images: Images<'a>,
    clamp: Clamp,
    output: &'a mut [f32],
    /// Which values won, if that is stored.
    winners: &'a mut [f32],
}

impl<const K: usize, const STORES: u8> WithSimd for Convolve<'_, K, STORES> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Convolve { direct, images, clamp, output, winners } = self;
        let features = direct.weights.features();
        let [height, width] = images.output;
        let [padded_height, padded_width] = images.padded;
        let scale = if STORES == PLAIN { 1 } else { 2 };
        let size = (height / scale) * (width / scale) * features;
        let images = images.values.chunks_exact(padded_height * padded_width);
        for (number, (image, output)) in images.zip(output.chunks_exact_mut(size)).enumerate() {
            let winners = if STORES == RECORDED { &mut winners[number * size..][..size] } else { &mut [] };
            let mut blocks =
                Blocks::<K, STORES> { direct, image, padded_width, width, clamp, output, winners };
            for y in (0..height).step_by(BLOCK[0]) {
                let y = y.min(height - BLOCK[0]);
                let mut x = 0;
                while x + 2 < width {
                    blocks.six_columns(simd, y, x.min(width - BLOCK[1]));
                    x += BLOCK[1];
                }
                if x < width {
                    blocks.two_columns(simd, y, width - 2);
                }
            }
        }
    }
}

/// Blocks of an image.
struct Blocks<'a, const K: usize, const STORES: u8> {
    direct: &'a Direct,
    image: &'a [f32],
    padded_width: usize,
    /// Of the output, before pooling.
    width: usize,
    clamp: Clamp,
    output: &'a mut [f32],
    /// Which values won, if that is stored.
    winners: &'a mut [f32],
}

/// A block of two rows and `$columns` columns, for all features.
macro_rules! block {
    ($name:ident, $columns:tt, $pooled:tt) => {
        #[inline(always)]
        fn $name<S: Simd>(&mut self, simd: S, y: usize, x: usize) {
            let (weights, _) = S::as_simd_f32s(self.direct.weights.panels());
            let (bias, _) = S::as_simd_f32s(self.direct.weights.bias());
            let corner = y * self.padded_width + x;
            for (panel, (weights, bias)) in weights.chunks_exact(K * K).zip(bias).enumerate() {
                let mut sums = [[*bias; $columns]; 2];
                for i in 0..K {
                    let rows = unroll!(2, r => &self.image[corner + (i + r) * self.padded_width..][..$columns + K - 1]);
                    for j in 0..K {
                        let weight = weights[i * K + j];
                        sums = unroll!(2, r => unroll!($columns, c => {
                            simd.mul_add_e_f32s(simd.splat_f32s(rows[r][c + j]), weight, sums[r][c])
                        }));
                    }
                }
                let pixel = y / 2 * (self.width / 2) + x / 2;
                if STORES == RECORDED {
                    let none = simd.splat_f32s(0.0);
                    let windows = unroll!($pooled, c => {
                        let window = [sums[0][2 * c], sums[0][2 * c + 1], sums[1][2 * c], sums[1][2 * c + 1]];
                        relu_winner(simd, window, none)
                    });
                    let features = self.direct.weights.features();
                    let largest = unroll!($pooled, c => windows[c].0);
                    let winners = unroll!($pooled, c => windows[c].1);
                    write::<S>(simd, self.output, features, panel, pixel, &largest);
                    write::<S>(simd, self.winners, features, panel, pixel, &winners);
                } else if STORES == POOLED {
                    let largest = unroll!($pooled, c => {
                        let [top, bottom] = unroll!(2, r => simd.max_f32s(sums[r][2 * c], sums[r][2 * c + 1]));
                        self.clamp.apply(simd, simd.max_f32s(top, bottom))
                    });
                    self.store(simd, panel, pixel, &largest);
                } else {
                    let sums = unroll!(2, r => unroll!($columns, c => self.clamp.apply(simd, sums[r][c])));
                    self.store(simd, panel, y * self.width + x, &sums[0]);
                    self.store(simd, panel, (y + 1) * self.width + x, &sums[1]);
                }
            }
        }
    };
}

impl<const K: usize, const STORES: u8> Blocks<'_, K, STORES> {
    block!(six_columns, 6, 3);
    block!(two_columns, 2, 1);

    #[inline(always)]
    fn store<S: Simd>(&mut self, simd: S, panel: usize, pixel: usize, vectors: &[S::f32s]) {
        write::<S>(simd, self.output, self.direct.weights.features(), panel, pixel, vectors);
    }
}

/// Writes a panel's features of neighbouring pixels.
#[inline(always)]
fn write<S: Simd>(
    simd: S,
    output: &mut [f32],
    features: usize,
    panel: usize,
    pixel: usize,
    vectors: &[S::f32s],
) {
    let pixels = output[pixel * features..].chunks_exact_mut(features);
    for (pixel, vector) in pixels.zip(vectors) {
        store::<S>(simd, &mut pixel[panel * S::F32_LANES..], &[*vector]);
    }
}

//! The direct kernel in training, with ReLU and max-pooling of 2x2 windows or without.
//!
//! ```text
//! for each output (y, x), or each of the windows and (y, x) in it; for each feature f:
//!     dy = slope of the output, or of the window if (y, x) won it, else 0
//!     for (i, j) in the kernel: dw[f][i][j] += dy * image[y + i][x + j]
//! ```
//!
//! A vector of features at a time; the sums of as many rows of the kernel as there are registers for stay
//! in these over all images.

use pulp::{Arch, Simd, WithSimd};

use super::Direct;
use crate::frame::Images;
use crate::gemm::PackedWeights;
use crate::slopes::Slopes;
use crate::unroll::unroll;

/// A convolution of stride 1 over images with one channel that is trained.
#[derive(Debug, Clone)]
pub(crate) struct TrainedDirect {
    /// Whole vectors.
    pub(crate) features: usize,
    pub(crate) kernel_size: usize,
}

impl TrainedDirect {
    fn area(&self) -> usize {
        self.kernel_size * self.kernel_size
    }

    pub(crate) fn sums(&self) -> usize {
        self.features * self.area()
    }

    /// The convolution with weights `[features, kernel_size, kernel_size]`.
    pub(crate) fn factors(&self, weight: &[f32], bias: &[f32]) -> Direct {
        let weight = |feature: usize, place: usize| weight[feature * self.area() + place];
        let weights = PackedWeights::new(self.features, self.area(), weight, bias.to_vec());
        Direct::new(weights, self.kernel_size)
    }

    /// Adds to `sums` `[features / lanes, rows * columns of the kernel, lanes]` and `bias`.
    pub(crate) fn backward(
        &self,
        images: Images<'_>,
        slopes: Slopes<'_>,
        sums: &mut [f32],
        bias: &mut [f32],
    ) {
        Arch::new().dispatch(Backward { kernel_size: self.kernel_size, images, slopes, sums, bias });
    }

    pub(crate) fn finish(&self, sums: &[f32], weight: &mut [f32]) {
        Arch::new().dispatch(Unpack { area: self.area(), sums, weight });
    }
}

struct Backward<'a> {
    kernel_size: usize,
    images: Images<'a>,
    slopes: Slopes<'a>,
    sums: &'a mut [f32],
    bias: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for panel in 0..self.bias.len() / S::F32_LANES {
            self.biases(simd, panel);
            match self.kernel_size {
                3 => self.rows_3x3(simd, panel, 0),
                5 if S::F32_LANES == 16 => self.rows_5x5(simd, panel, 0),
                5 => {
                    self.rows_2x5(simd, panel, 0);
                    self.rows_2x5(simd, panel, 2);
                    self.rows_1x5(simd, panel, 4);
                }
                size => unreachable!("`fits` admits kernels of 3 and 5, not {size}"),
            }
        }
    }
}

/// A method for `$rows` rows of a kernel from `first` on, each of `$size` values.
macro_rules! rows {
    ($name:ident, $rows:tt, $size:tt) => {
        #[inline(always)]
        fn $name<S: Simd>(&mut self, simd: S, panel: usize, first: usize) {
            let zero = simd.splat_f32s(0.0);
            let (slopes, _) = S::as_simd_f32s(self.slopes.values);
            let (winners, _) = S::as_simd_f32s(self.slopes.winners.unwrap_or_default());
            let vectors = self.bias.len() / S::F32_LANES;
            let [height, width] = self.images.padded;
            let is_pooled = self.slopes.winners.is_some();
            let step = if is_pooled { 2 } else { 1 };
            let [rows, columns] = self.images.output.map(|length| length / step);
            let (all, _) = S::as_mut_simd_f32s(self.sums);
            let all = &mut all[(panel * $size + first) * $size..][..$rows * $size];
            let mut sums = unroll!($rows, i => unroll!($size, j => all[i * $size + j]));
            let images = self.images.values.chunks_exact(height * width);
            for (number, image) in images.enumerate() {
                for window in 0..rows * columns {
                    let at = (number * rows * columns + window) * vectors + panel;
                    let corner = (step * (window / columns) + first) * width + step * (window % columns);
                    for place in 0..step * step {
                        let mut slope = slopes[at];
                        if is_pooled {
                            let wins = simd.equal_f32s(winners[at], simd.splat_f32s(place as f32));
                            slope = simd.select_f32s(wins, slope, zero);
                        }
                        let corner = corner + place / 2 * width + place % 2;
                        let lines = unroll!($rows, i => &image[corner + i * width..][..$size]);
                        sums = unroll!($rows, i => unroll!($size, j => {
                            simd.mul_add_e_f32s(simd.splat_f32s(lines[i][j]), slope, sums[i][j])
                        }));
                    }
                }
            }
            all.iter_mut().zip(sums.as_flattened()).for_each(|(to, from)| *to = *from);
        }
    };
}

impl Backward<'_> {
    rows!(rows_3x3, 3, 3);
    rows!(rows_5x5, 5, 5);
    rows!(rows_2x5, 2, 5);
    rows!(rows_1x5, 1, 5);

    /// Slopes of windows that no value above zero won go nowhere.
    #[inline(always)]
    fn biases<S: Simd>(&mut self, simd: S, panel: usize) {
        let (slopes, _) = S::as_simd_f32s(self.slopes.values);
        let winners = self.slopes.winners.map(|winners| S::as_simd_f32s(winners).0);
        let vectors = self.bias.len() / S::F32_LANES;
        let (bias, _) = S::as_mut_simd_f32s(self.bias);
        let (zero, none) = (simd.splat_f32s(0.0), simd.splat_f32s(4.0));
        let mut sum = bias[panel];
        for at in (panel..slopes.len()).step_by(vectors) {
            let mut slope = slopes[at];
            if let Some(winners) = winners {
                slope = simd.select_f32s(simd.equal_f32s(winners[at], none), zero, slope);
            }
            sum = simd.add_f32s(sum, slope);
        }
        bias[panel] = sum;
    }
}

/// From `[features / lanes, area, lanes]` to `[features, area]`.
struct Unpack<'a> {
    area: usize,
    sums: &'a [f32],
    weight: &'a mut [f32],
}

impl WithSimd for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Unpack { area, sums, weight } = self;
        for (feature, kernel) in weight.chunks_exact_mut(area).enumerate() {
            let (panel, lane) = (feature / S::F32_LANES, feature % S::F32_LANES);
            let sums = sums[panel * area * S::F32_LANES + lane..].iter().step_by(S::F32_LANES);
            kernel.iter_mut().zip(sums).for_each(|(to, from)| *to = *from);
        }
    }
}

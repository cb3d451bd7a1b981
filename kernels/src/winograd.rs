//! Winograd's minimal filtering F(m x m, r x r) on tiles of 6x6 inputs (Lavin and Gray 2016,
//! "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308): F(4x4, 3x3),
//! F(3x3, 4x4) and F(2x2, 5x5), with 4, 4 and 2.8 times fewer multiplications than the definition.
//!
//! The simple algorithm, `g` being an `r x r` kernel and `d` a 6x6 tile of the input:
//!
//! ```text
//! for each feature, channel:  U[feature][channel] = G g G'           # kernel transform, once
//! for each tile of m x m outputs:
//!     for each channel:       V[channel] = B' d B                    # input transform, 6x6
//!     for each feature:       M = sum over channels of U * V         # 36 products, element by element
//!                             output tile = A' M A                   # output transform, m x m
//! ```
//!
//! Rows and columns of tiles and kernels are polynomials, multiplied by their values at the points 0,
//! 1, -1, 2, -2 and infinity. Larger tiles would need points further from 1, which cost digits.
//!
//! Departures:
//!
//! 1. The sum over channels of one element for many tiles is a matrix product `[tiles, channels] x
//!    [channels, features]`: 36 products by the microkernels of [`PackedWeights`].
//! 2. A vector of channels is transformed at a time, rows first, then columns, in registers.
//! 3. 24 tiles at a time: what they are transformed into stays in the second-level cache. One tile at a
//!    time takes 2.5 to 3 times as long; all tiles at a time the same for small images, 1.4 times as long
//!    for 28x28x128.
//! 4. The 36 elements lie 64 bytes further apart than they are long: at distances of 4 KiB they would
//!    all fall into one set of the first-level cache. With 128 channels, where that happens, this takes a
//!    tenth off; with fewer it changes nothing.
//! 5. Bias and activation are fused into the output transform.
//!
//! Against the matrix product of [`gemm`](crate::gemm), F(2x2, 5x5) takes 0.55 of the time for 12x12x32 to
//! 64 features, F(4x4, 3x3) 0.68 for 13x13x16 to 32, 0.45 for 28x28x128 to 128, and all of it for 7x7x32
//! to 64, whose outputs fill their tiles badly. Gains are medians of 11 turns with AVX-512.
//!
//! Left out: F(2x2, 3x3), which would waste less of the tiles that hang over the edge of a 5x5 output.

use pulp::{Arch, Simd, WithSimd};

use crate::buffer::at_least;
use crate::gemm::{Clamp, IndirectionBuffer, PackedWeights};
use crate::unroll::unroll;
use crate::window::Window;

/// Rows and columns of a tile, and the number of points.
const TILE: usize = 6;
/// The finite points, and by what their values of a kernel are scaled.
const POINTS: [(f64, f64); TILE - 1] =
    [(0.0, 1.0 / 4.0), (1.0, -1.0 / 6.0), (-1.0, -1.0 / 6.0), (2.0, 1.0 / 24.0), (-2.0, 1.0 / 24.0)];
/// Tiles at a time: what they are turned into stays in the second-level cache.
const GROUP: usize = 24;

/// Values between those for one place of a tile and the next: at distances of 4 KiB, all 36 would
/// fall into the same lines of the first-level cache.
const GAP: usize = 16;

/// A convolution of stride 1.
#[derive(Debug)]
pub(crate) struct Winograd {
    /// `[features, channels]` for each place of a tile, column by column.
    weights: Vec<PackedWeights>,
    bias: Vec<f32>,
    channels: usize,
    /// Rows and columns of the outputs of a tile.
    step: usize,
}

/// What a thread keeps between calls.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Tiles' values at the points, `[36, tiles, channels]`.
    inputs: Vec<f32>,
    /// Their products, `[36, tiles, features]`.
    products: Vec<f32>,
    /// Where the tiles begin.
    origins: Vec<usize>,
}

impl Winograd {
    /// Whether it serves for such a convolution: vectors must be full on every processor.
    pub(crate) fn fits(window: &Window, channels: usize, features: usize) -> bool {
        let full = |count: usize| count > 0 && count.is_multiple_of(16);
        let dense = window.strides == [1, 1] && window.dilations == [1, 1];
        dense && matches!(window.kernel, [3, 3] | [4, 4] | [5, 5]) && full(channels) && full(features)
    }

    /// Bytes of its packed weights.
    pub(crate) fn bytes(channels: usize, features: usize) -> usize {
        PackedWeights::bytes(features, channels).saturating_mul(TILE * TILE)
    }

    /// For weights `[features, channels, kernel_size, kernel_size]`.
    pub(crate) fn new(weight: &[f32], bias: Vec<f32>, channels: usize, kernel_size: usize) -> Winograd {
        let features = bias.len();
        let area = kernel_size * kernel_size;
        let powers: Vec<Vec<f64>> = (0..TILE).map(|point| powers(point, kernel_size)).collect();
        let dot = |values: &[f64], powers: &[f64]| values.iter().zip(powers).map(|(v, p)| v * p).sum::<f64>();
        // Values of every kernel, `[features, channels, 36]`: first of its rows, then of these values.
        let mut values = Vec::with_capacity(features * channels * TILE * TILE);
        let weight: Vec<f64> = weight.iter().map(|&w| w.into()).collect();
        for kernel in weight.chunks_exact(area) {
            for across in &powers {
                let mut rows = [0.0; TILE];
                for (value, row) in rows.iter_mut().zip(kernel.chunks_exact(kernel_size)) {
                    *value = dot(row, across);
                }
                values.extend(powers.iter().map(|down| dot(&rows, down) as f32));
            }
        }
        let at = |place: usize| {
            let value =
                |feature: usize, channel: usize| values[(feature * channels + channel) * TILE * TILE + place];
            PackedWeights::new(features, channels, value, vec![0.0; features])
        };
        let weights = (0..TILE * TILE).map(at).collect();
        Winograd { weights, bias, channels, step: TILE + 1 - kernel_size }
    }

    /// Channels of the output.
    pub(crate) fn features(&self) -> usize {
        self.bias.len()
    }

    /// Rows or columns of input, padding included, that all tiles together read for so many outputs.
    pub(crate) fn reach(&self, outputs: usize) -> usize {
        outputs.next_multiple_of(self.step) + TILE - self.step
    }

    /// Outputs `[N, height, width, features]`, clamped, for inputs `[N, reach(height), reach(width), channels]`.
    pub(crate) fn forward(
        &self,
        input: &[f32],
        [height, width]: [usize; 2],
        clamp: Clamp,
        buffers: &mut Buffers,
        output: &mut [f32],
    ) {
        let arch = Arch::new();
        let [rows, columns] = [height, width].map(|length| length.div_ceil(self.step));
        let image = self.reach(height) * self.reach(width) * self.channels;
        let tiles = rows * columns * (input.len() / image);
        let Buffers { inputs, products, origins } = buffers;
        for first in (0..tiles).step_by(GROUP) {
            let count = GROUP.min(tiles - first);
            let places = Places { first, count, rows, columns, height, width };
            let [apart, features_apart] = [self.channels, self.features()].map(|each| places.apart(each));
            let inputs = at_least(inputs, TILE * TILE * apart);
            let products = at_least(products, TILE * TILE * features_apart);
            arch.dispatch(InputTransform { convolution: self, places, input, values: inputs });
            origins.clear();
            origins.extend((0..count).map(|tile| tile * self.channels));
            let windows = IndirectionBuffer { origins, runs: &[0], run_length: self.channels };
            let values = inputs.chunks_exact(apart);
            let results = products.chunks_exact_mut(features_apart);
            for ((weights, values), results) in self.weights.iter().zip(values).zip(results) {
                weights.forward(values, windows, Clamp::NONE, results);
            }
            let transform = OutputTransform { convolution: self, places, products, clamp, output };
            match self.step {
                2 => arch.dispatch(transform.of::<2>()),
                3 => arch.dispatch(transform.of::<3>()),
                4 => arch.dispatch(transform.of::<4>()),
                step => {
                    unreachable!("`fits` admits kernels of 3, 4 and 5, so a step of 4, 3 or 2, not {step}")
                }
            }
        }
    }
}

/// What a kernel's row or column is multiplied by for its value at a point.
fn powers(point: usize, kernel_size: usize) -> Vec<f64> {
    match POINTS.get(point) {
        Some((at, scale)) => (0..kernel_size).map(|degree| scale * at.powi(degree as i32)).collect(),
        None => (0..kernel_size).map(|degree| f64::from(u8::from(degree + 1 == kernel_size))).collect(),
    }
}

/// A group of tiles.
#[derive(Clone, Copy)]
struct Places {
    first: usize,
    count: usize,
    /// Tiles above each other and side by side in an image.
    rows: usize,
    columns: usize,
    /// Of the output.
    height: usize,
    width: usize,
}

impl Places {
    /// From the values of one place of all tiles to those of the next, `each` to a tile.
    #[inline(always)]
    fn apart(&self, each: usize) -> usize {
        self.count * each + GAP
    }

    /// Number of the image of a tile of the group, and the tile's row and column in it.
    #[inline(always)]
    fn of(&self, tile: usize) -> (usize, usize, usize) {
        let tile = self.first + tile;
        let (row, column) = (tile / self.columns, tile % self.columns);
        (row / self.rows, row % self.rows, column)
    }
}

struct InputTransform<'a> {
    convolution: &'a Winograd,
    places: Places,
    input: &'a [f32],
    values: &'a mut [f32],
}

impl WithSimd for InputTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Winograd { channels, step, .. } = *self.convolution;
        let Places { count, height, width, .. } = self.places;
        let vectors = channels / S::F32_LANES;
        let row = self.convolution.reach(width) * vectors;
        let apart = self.places.apart(channels) / S::F32_LANES;
        let (input, _) = S::as_simd_f32s(self.input);
        let (values, _) = S::as_mut_simd_f32s(self.values);
        for tile in 0..count {
            let (image, y, x) = self.places.of(tile);
            let corner = (image * self.convolution.reach(height) + y * step) * row + x * step * vectors;
            for vector in 0..vectors {
                let corner = corner + vector;
                let lines = unroll!(6, y => input_transform::<S>(simd, unroll!(6, x => input[corner + y * row + x * vectors])));
                let columns = unroll!(6, x => input_transform::<S>(simd, unroll!(6, y => lines[y][x])));
                for (place, value) in columns.as_flattened().iter().enumerate() {
                    values[place * apart + tile * vectors + vector] = *value;
                }
            }
        }
    }
}

/// `B' d` for a line of six inputs.
#[inline(always)]
fn input_transform<S: Simd>(simd: S, d: [S::f32s; TILE]) -> [S::f32s; TILE] {
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

struct OutputTransform<'a> {
    convolution: &'a Winograd,
    places: Places,
    products: &'a [f32],
    clamp: Clamp,
    output: &'a mut [f32],
}

/// With the number of outputs known to the compiler.
struct OutputTransformOf<'a, const M: usize>(OutputTransform<'a>);

impl<'a> OutputTransform<'a> {
    fn of<const M: usize>(self) -> OutputTransformOf<'a, M> {
        OutputTransformOf(self)
    }
}

impl<const M: usize> WithSimd for OutputTransformOf<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let OutputTransform { convolution, places, products, clamp, output } = self.0;
        let Places { count, height, width, .. } = places;
        let vectors = convolution.features() / S::F32_LANES;
        let apart = places.apart(convolution.features()) / S::F32_LANES;
        let (products, _) = S::as_simd_f32s(products);
        let (bias, _) = S::as_simd_f32s(&convolution.bias);
        let (output, _) = S::as_mut_simd_f32s(output);
        for tile in 0..count {
            let (image, y, x) = places.of(tile);
            let (top, left) = (y * M, x * M);
            // What fits into the image, if that is not all.
            let (down, right) = (M.min(height - top), M.min(width - left));
            for vector in 0..vectors {
                let value = |place: usize| products[place * apart + tile * vectors + vector];
                let columns =
                    unroll!(6, x => output_transform::<S, M>(simd, unroll!(6, y => value(x * TILE + y))));
                let corner = ((image * height + top) * width + left) * vectors + vector;
                unroll!(4, y => if y < down {
                    let sums = output_transform::<S, M>(simd, unroll!(6, x => columns[x][y]));
                    unroll!(4, x => if x < right {
                        let sum = simd.add_f32s(sums[x], bias[vector]);
                        output[corner + (y * width + x) * vectors] = clamp.apply(simd, sum);
                    });
                });
            }
        }
    }
}

/// `A' m` for a line of six products: `M` outputs, in the first of four places.
#[inline(always)]
fn output_transform<S: Simd, const M: usize>(simd: S, v: [S::f32s; TILE]) -> [S::f32s; 4] {
    let (even, odd) = (simd.add_f32s(v[1], v[2]), simd.sub_f32s(v[1], v[2]));
    let (even_two, odd_two) = (simd.add_f32s(v[3], v[4]), simd.sub_f32s(v[3], v[4]));
    let powers = unroll!(4, degree => simd.splat_f32s((1 << degree) as f32));
    let mut sums = [
        simd.add_f32s(simd.add_f32s(even, even_two), v[0]),
        simd.mul_add_e_f32s(powers[1], odd_two, odd),
        simd.mul_add_e_f32s(powers[2], even_two, even),
        simd.mul_add_e_f32s(powers[3], odd_two, odd),
    ];
    sums[M - 1] = simd.add_f32s(sums[M - 1], v[TILE - 1]);
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        /// Against the definition of a convolution in f64: outputs that fill their tiles or do not,
        /// and more tiles than go through at a time.
        #[test]
        fn is_a_convolution(
            kernel_size in 3usize..6, height in 1usize..14, width in 1usize..14, images in 1usize..4, relu: bool,
        ) {
            let number = |i: usize| ((i * 37 % 1009) as f32 - 500.0) / 500.0;
            let (channels, features) = (16, 32);
            let area = kernel_size * kernel_size;
            let weight: Vec<f32> = (0..features * channels * area).map(|i| number(i * 3) / 10.0).collect();
            let bias: Vec<f32> = (0..features).map(number).collect();
            let winograd = Winograd::new(&weight, bias.clone(), channels, kernel_size);
            let columns = winograd.reach(width);
            let rows = winograd.reach(height);
            let input: Vec<f32> = (0..images * rows * columns * channels).map(number).collect();
            let mut output = vec![f32::NAN; images * height * width * features];
            let clamp = if relu { Clamp::RELU } else { Clamp::NONE };
            winograd.forward(&input, [height, width], clamp, &mut Buffers::default(), &mut output);
            for (at, found) in output.iter().enumerate() {
                let (pixel, feature) = (at / features, at % features);
                let mut sum = f64::from(bias[feature]);
                for (place, w) in weight[feature * channels * area..][..channels * area].iter().enumerate() {
                    let (channel, y, x) = (place / area, place % area / kernel_size, place % kernel_size);
                    let row = pixel / width / height * rows + pixel / width % height + y;
                    let column = pixel % width + x;
                    sum += f64::from(*w) * f64::from(input[(row * columns + column) * channels + channel]);
                }
                let expected = if relu { sum.max(0.0) } else { sum };
                prop_assert!((f64::from(*found) - expected).abs() < 2e-5, "{at}: {found}, {expected}");
            }
        }
    }
}

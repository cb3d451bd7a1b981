//! Winograd's minimal filtering F(m x m, r x r) on tiles of 5x5 or 6x6 inputs (Lavin and Gray 2016,
//! "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308): F(4x4, 3x3), F(3x3, 4x4),
//! F(2x2, 5x5), F(3x3, 3x3) and F(2x2, 4x4), with 4, 4, 2.8, 3.2 and 2.6 times fewer multiplications than
//! the definition.
//!
//! The simple algorithm, `g` being an `r x r` kernel and `d` an `n x n` tile of the input:
//!
//! ```text
//! for each feature, channel:  U[feature][channel] = G g G'           # kernel transform, once
//! for each tile of m x m outputs:
//!     for each channel:       V[channel] = B' d B                    # input transform, n x n
//!     for each feature:       M = sum over channels of U * V         # n * n products, element by element
//!                             output tile = A' M A                   # output transform, m x m
//! ```
//!
//! What the matrices are, is said in [`transforms`].
//!
//! Departures:
//!
//! 1. The sum over channels of one element for many tiles is a matrix product `[tiles, channels] x
//!    [channels, features]` ([`product`]).
//! 2. A vector of channels is transformed at a time, rows first, then columns, in registers.
//! 3. 24 tiles at a time: what they are transformed into stays in the second-level cache. One tile at a
//!    time takes 2.5 to 3 times as long; all tiles at a time the same for small images, 1.4 times as long
//!    for 28x28x128.
//! 4. The elements lie 64 bytes further apart than they are long: at distances of 4 KiB they would
//!    all fall into one set of the first-level cache. With 128 channels, where that happens, this takes a
//!    tenth off; with fewer it changes nothing.
//! 5. Bias, activation and max-pooling of 2x2 windows are fused into the output transform.
//! 6. Tiles of 5x5 where they have fewer products, all tiles together: outputs of 3x3 and 5x5 fill
//!    tiles of 6x6 badly.
//!
//! Against the matrix product of [`gemm`](crate::gemm), F(2x2, 5x5) takes 0.55 of the time for 12x12x32 to
//! 64 features, F(4x4, 3x3) 0.68 for 13x13x16 to 32, 0.45 for 28x28x128 to 128. Gains are medians of 11 turns
//! with AVX-512.

pub(crate) mod gradient;
mod outer;
mod product;
mod slopes;
mod tiles;
mod transforms;

use pulp::{Arch, Simd, WithSimd};

use crate::buffer::AlignedBuffer;
use crate::frame::Images;
use crate::gemm::Clamp;
use crate::huge_pages::HugePageBuffer;
use crate::window::Window;
use product::Products;
use tiles::{InputTransform, OutputTransform, Tiles, Tiling};

/// Largest number of rows and columns of a tile.
const MAX_TILE: usize = 6;

/// Transformed weights of which a layer has so many do not stay in the second-level cache among those of the
/// other layers: 512 KiB.
const LARGE_WEIGHTS: usize = 128 * 1024;

/// A convolution of stride 1.
#[derive(Debug)]
pub(crate) struct Winograd {
    /// `[features / lanes, channels, lanes]` for each place of a tile, column by column.
    weights: HugePageBuffer,
    bias: Vec<f32>,
    channels: usize,
    pub(crate) tiling: Tiling,
}

/// What a thread keeps between calls.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Tiles' values at the points, `[places, channels / lanes, tiles, lanes]`.
    inputs: AlignedBuffer,
    /// Their products, or the slopes of these, `[places, features / lanes, tiles, lanes]`.
    products: AlignedBuffer,
}

impl Buffers {
    /// For so many places of a group of tiles: inputs and products.
    fn of(
        &mut self,
        tiles: Tiles,
        places: usize,
        channels: usize,
        features: usize,
    ) -> (&mut [f32], &mut [f32]) {
        let [inputs, products] = [channels, features].map(|each| places * tiles.apart(each));
        (self.inputs.at_least(inputs), self.products.at_least(products))
    }
}

impl Winograd {
    /// Whether it serves for such a convolution: vectors must be full on every processor.
    pub(crate) fn fits(window: &Window, channels: usize, features: usize) -> bool {
        let full = |count: usize| count > 0 && count.is_multiple_of(16);
        let dense = window.strides == [1, 1] && window.dilations == [1, 1];
        dense && matches!(window.kernel, [3, 3] | [4, 4] | [5, 5]) && full(channels) && full(features)
    }

    /// Whether it takes less time than the matrix product. An image that is a single tile has one multiply-add
    /// for each transformed weight, and there are 1.4 (5x5 kernels) to 4 times (3x3) as many of those as weights.
    /// Where they do not stay in the second-level cache, reading them takes longer than the multiplications that
    /// they save: without them one image to a call takes 0.7 of the time for `fashion-robust`, whose last two
    /// convolutions are such, and 0.85 for `mnist-robust`; 32 to a call take 1.1.
    pub(crate) fn pays(kernel_size: usize, channels: usize, features: usize, output: [usize; 2]) -> bool {
        let tiling = Winograd::tiling(kernel_size, output);
        tiling.count(output) > 1 || tiling.tile * tiling.tile * channels * features <= LARGE_WEIGHTS
    }

    /// The one with the fewest products; tiles with one output would be the definition.
    fn tiling(kernel_size: usize, output: [usize; 2]) -> Tiling {
        let [small, large] = [5, 6].map(|tile| Tiling::new(tile, kernel_size));
        let products = |tiling: Tiling| tiling.count(output) * tiling.tile * tiling.tile;
        if kernel_size < 5 && products(small) < products(large) { small } else { large }
    }

    /// Bytes of its packed weights.
    pub(crate) fn bytes(channels: usize, features: usize) -> usize {
        features.saturating_mul(channels).saturating_mul(MAX_TILE * MAX_TILE * size_of::<f32>())
    }

    /// For weights `[features, channels, kernel_size, kernel_size]` and so many rows and columns of outputs.
    pub(crate) fn new(
        weight: &[f32],
        bias: Vec<f32>,
        channels: usize,
        kernel_size: usize,
        output: [usize; 2],
    ) -> Winograd {
        let tiling @ Tiling { tile, .. } = Winograd::tiling(kernel_size, output);
        let weights =
            Arch::new().dispatch(Pack { weight, channels, kernel_size, tile, features: bias.len() });
        Winograd { weights, bias, channels, tiling }
    }

    /// Channels of the output.
    fn features(&self) -> usize {
        self.bias.len()
    }

    /// Outputs `[N, height, width, features]`, or the maxima of their 2x2 windows, all clamped.
    ///
    /// # Panics
    /// If `is_pooled` but not [`Tiling::pools`].
    pub(crate) fn forward(
        &self,
        images: Images<'_>,
        clamp: Clamp,
        is_pooled: bool,
        buffers: &mut Buffers,
        output: &mut [f32],
    ) {
        let arch = Arch::new();
        let Tiling { tile, step } = self.tiling;
        let (channels, features) = (self.channels, self.features());
        for tiles in self.tiling.groups(images, channels) {
            let (inputs, products) = buffers.of(tiles, tile * tile, channels, features);
            match tile {
                5 => arch.dispatch(InputTransform::<5> { channels, step, tiles, images, values: inputs }),
                _ => arch.dispatch(InputTransform::<6> { channels, step, tiles, images, values: inputs }),
            }
            arch.dispatch(Products {
                places: tile * tile,
                tiles: tiles.count,
                inputs: (inputs, tiles.apart(channels)),
                weights: &self.weights,
                outputs: (products, tiles.apart(features)),
                channels,
                features,
            });
            let size = images.output;
            let transform = OutputTransform { bias: &self.bias, tiles, size, products, clamp, output };
            match (tile, step, is_pooled) {
                (6, 2, false) => arch.dispatch(transform.of::<6, 2, false>()),
                (6, 2, true) => arch.dispatch(transform.of::<6, 2, true>()),
                (6, 3, false) => arch.dispatch(transform.of::<6, 3, false>()),
                (6, 4, false) => arch.dispatch(transform.of::<6, 4, false>()),
                (6, 4, true) => arch.dispatch(transform.of::<6, 4, true>()),
                (5, 2, false) => arch.dispatch(transform.of::<5, 2, false>()),
                (5, 2, true) => arch.dispatch(transform.of::<5, 2, true>()),
                (5, 3, false) => arch.dispatch(transform.of::<5, 3, false>()),
                other => {
                    unreachable!("`new` makes no such tiles and `pools` admits no such pooling: {other:?}")
                }
            }
        }
    }
}

/// Transforms the kernels and packs what comes out.
struct Pack<'a> {
    weight: &'a [f32],
    channels: usize,
    kernel_size: usize,
    tile: usize,
    features: usize,
}

impl WithSimd for Pack<'_> {
    type Output = HugePageBuffer;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> HugePageBuffer {
        let Pack { weight, channels, kernel_size, tile, features } = self;
        let powers = transforms::kernel_powers(tile, kernel_size);
        let dot = |values: &[f64], powers: &[f64]| values.iter().zip(powers).map(|(v, p)| v * p).sum::<f64>();
        let mut packed = HugePageBuffer::zeroed(tile * tile * features * channels);
        let kernels = weight.chunks_exact(kernel_size * kernel_size);
        let (mut kernel, mut rows) = (vec![0.0; kernel_size * kernel_size], vec![0.0; kernel_size]);
        for (at, values) in kernels.enumerate() {
            let (feature, channel) = (at / channels, at % channels);
            let (panel, lane) = (feature / S::F32_LANES, feature % S::F32_LANES);
            let first = (panel * channels + channel) * S::F32_LANES + lane;
            kernel.iter_mut().zip(values).for_each(|(to, &from)| *to = from.into());
            for (column, across) in powers.iter().enumerate() {
                for (value, row) in rows.iter_mut().zip(kernel.chunks_exact(kernel_size)) {
                    *value = dot(row, across);
                }
                for (row, down) in powers.iter().enumerate() {
                    packed[(column * tile + row) * features * channels + first] = dot(&rows, down) as f32;
                }
            }
        }
        packed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pool::MaxPool;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(80))]
        /// Against the definition of a convolution in f64: outputs that fill their tiles or do not,
        /// and more tiles than go through at a time; and pooled, against pooling what comes out.
        #[test]
        fn is_a_convolution(
            kernel_size in 3usize..6, height in 1usize..14, width in 1usize..14, images in 1usize..5, relu: bool,
        ) {
            let number = |i: usize| ((i * 37 % 1009) as f32 - 500.0) / 500.0;
            let (channels, features) = (16, 48);
            let area = kernel_size * kernel_size;
            let weight: Vec<f32> = (0..features * channels * area).map(|i| number(i * 3) / 10.0).collect();
            let bias: Vec<f32> = (0..features).map(number).collect();
            let winograd = Winograd::new(&weight, bias.clone(), channels, kernel_size, [height, width]);
            let (rows, columns) = (winograd.tiling.reach(height), winograd.tiling.reach(width));
            let input: Vec<f32> = (0..images * rows * columns * channels).map(number).collect();
            let mut output = vec![f32::NAN; images * height * width * features];
            let clamp = if relu { Clamp::RELU } else { Clamp::NONE };
            let places = Images { values: &input, padded: [rows, columns], output: [height, width] };
            winograd.forward(places, clamp, false, &mut Buffers::default(), &mut output);
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
            if winograd.tiling.pools() && height > 1 && width > 1 {
                let size = images * (height / 2) * (width / 2) * features;
                let [mut pooled, mut expected] = [(); 2].map(|()| vec![f32::NAN; size]);
                let places = Images { output: [height / 2 * 2, width / 2 * 2], ..places };
                winograd.forward(places, clamp, true, &mut Buffers::default(), &mut pooled);
                let window = Window { strides: [2, 2], ..Window::new([2, 2]) };
                MaxPool { window }.forward(&output, [height, width, features], &mut expected);
                prop_assert_eq!(pooled, expected);
            }
        }
    }

    #[test]
    fn a_single_tile_does_not_pay_with_large_weights() {
        assert!(Winograd::pays(3, 32, 64, [4, 4]));
        assert!(!Winograd::pays(3, 96, 128, [4, 4]));
        assert!(Winograd::pays(3, 96, 128, [5, 4]));
    }

    #[test]
    fn tiles_are_those_with_the_fewest_products() {
        let tile = |kernel_size, output| Winograd::tiling(kernel_size, output).tile;
        assert_eq!([3, 5, 11, 13].map(|length| tile(3, [length, length])), [5, 5, 6, 6]);
        assert_eq!([2, 8].map(|length| tile(5, [length, length])), [6, 6]);
    }
}

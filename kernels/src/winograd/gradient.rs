//! Winograd's minimal filtering in training: the pass, and the gradient of kernels and inputs.
//!
//! The pass is `y = A' ((G g G') * (B' d B)) A` for each tile `d`, with `*` element by element and summed
//! over channels. Every part is linear, so the gradient goes through the transposed parts (Lavin and Gray
//! 2016, arXiv:1509.09308, section 4.3, name the one for kernels):
//!
//! ```text
//! dM = A dy A'                                               # slope transform, n x n
//! dd = B (sum over features of U * dM) B'                    # added to what other tiles gave
//! dg = G' (sum over images and tiles of V * dM) G
//! ```
//!
//! All three products are as many times smaller than the definition's as the pass is. Tiles are of 6x6, a
//! group at a time as in the pass; the inputs' transform is made again instead of kept, which takes a tenth
//! of the product that needs it and no memory.

use pulp::{Arch, Simd, WithSimd};

use super::outer::OuterProducts;
use super::product::Products;
use super::slopes::{InputSlopes, PooledOutput, SlopeTransform};
use super::tiles::{InputTransform, OutputTransform, PLACES, TILE, Tiles, Tiling};
use super::{Buffers, transforms};
use crate::buffer::AlignedBuffer;
use crate::frame::Images;
use crate::gemm::Clamp;
use crate::slopes::Slopes;

/// What weights and biases are turned into for a step.
#[derive(Debug)]
pub(crate) struct Factors {
    /// Transformed kernels for the pass, `[features / lanes, channels, lanes]` for each place.
    pub(crate) forward: AlignedBuffer,
    /// For the gradient of inputs, `[channels / lanes, features, lanes]`; empty if that is not needed.
    pub(crate) backward: AlignedBuffer,
    pub(crate) bias: Vec<f32>,
}

/// A convolution of stride 1 that is trained.
#[derive(Debug, Clone)]
pub(crate) struct TrainedWinograd {
    channels: usize,
    features: usize,
    kernel_size: usize,
    pub(crate) tiling: Tiling,
}

impl TrainedWinograd {
    pub(crate) fn new(channels: usize, features: usize, kernel_size: usize) -> TrainedWinograd {
        TrainedWinograd { channels, features, kernel_size, tiling: Tiling::new(TILE, kernel_size) }
    }

    /// Values of the sums of products that the kernels' gradient is made of.
    pub(crate) fn sums(&self) -> usize {
        PLACES * self.channels * self.features
    }

    /// The transformed kernels of `weight` `[features, kernel_size, kernel_size, channels]`, for the
    /// pass and for the gradient of inputs.
    pub(crate) fn factors(&self, weight: &[f32], bias: &[f32], for_inputs: bool) -> Factors {
        let mut kernels = AlignedBuffer::zeroed(self.sums());
        let arch = Arch::new();
        arch.dispatch(KernelTransform { convolution: self, weight, values: &mut kernels });
        let mut transposed = AlignedBuffer::zeroed(if for_inputs { self.sums() } else { 0 });
        arch.dispatch(Transpose { convolution: self, from: &kernels, to: &mut transposed });
        Factors { forward: kernels, backward: transposed, bias: bias.to_vec() }
    }

    /// Outputs `[N, height, width, features]`; with `winners`, of 2x2 windows after ReLU the largest
    /// values and where they were.
    pub(crate) fn forward(
        &self,
        factors: &Factors,
        images: Images<'_>,
        buffers: &mut Buffers,
        output: &mut [f32],
        mut winners: Option<&mut [f32]>,
    ) {
        let arch = Arch::new();
        let (size, bias) = (images.output, &factors.bias);
        for tiles in self.tiling.groups(images, self.channels) {
            let (inputs, products) = buffers.of(tiles, PLACES, self.channels, self.features);
            self.transform_inputs(tiles, images, inputs);
            arch.dispatch(Products {
                places: PLACES,
                tiles: tiles.count,
                inputs: (inputs, tiles.apart(self.channels)),
                weights: &factors.forward,
                outputs: (products, tiles.apart(self.features)),
                channels: self.channels,
                features: self.features,
            });
            if let Some(winners) = winners.as_deref_mut() {
                match self.tiling.step {
                    2 => arch.dispatch(PooledOutput::<2> { bias, tiles, size, products, output, winners }),
                    _ => arch.dispatch(PooledOutput::<4> { bias, tiles, size, products, output, winners }),
                }
                continue;
            }
            let transform = OutputTransform { bias, tiles, size, products, clamp: Clamp::NONE, output };
            match self.tiling.step {
                2 => arch.dispatch(transform.of::<TILE, 2, false>()),
                3 => arch.dispatch(transform.of::<TILE, 3, false>()),
                _ => arch.dispatch(transform.of::<TILE, 4, false>()),
            }
        }
    }

    /// Adds to `sums` what the slopes of the outputs mean for the transformed kernels, to `bias` what
    /// they mean for the biases, and to `inputs`, which is like the padded images, what they mean for these.
    pub(crate) fn backward(
        &self,
        factors: &Factors,
        images: Images<'_>,
        slopes: Slopes<'_>,
        buffers: &mut Buffers,
        mut input_slopes: Option<&mut [f32]>,
        (sums, bias): (&mut [f32], &mut [f32]),
    ) {
        let arch = Arch::new();
        let (size, padded) = (images.output, images.padded);
        let Slopes { values: slopes, winners } = slopes;
        for tiles in self.tiling.groups(images, self.channels) {
            let (inputs, products) = buffers.of(tiles, PLACES, self.channels, self.features);
            let transform = SlopeTransform { slopes, winners, tiles, size, values: products, bias };
            match (self.tiling.step, winners.is_some()) {
                (2, false) => arch.dispatch(transform.of::<2, false>()),
                (2, true) => arch.dispatch(transform.of::<2, true>()),
                (3, false) => arch.dispatch(transform.of::<3, false>()),
                (4, false) => arch.dispatch(transform.of::<4, false>()),
                (4, true) => arch.dispatch(transform.of::<4, true>()),
                other => unreachable!("`pools` admits no such tiles: {other:?}"),
            }
            let (channels, features) = (self.channels, self.features);
            let (inputs_apart, products_apart) = (tiles.apart(channels), tiles.apart(features));
            if let Some(input_slopes) = input_slopes.as_deref_mut() {
                assert_eq!(factors.backward.len(), self.sums(), "factors for the gradient of inputs");
                // The same product with channels and features exchanged.
                arch.dispatch(Products {
                    places: PLACES,
                    tiles: tiles.count,
                    inputs: (products, products_apart),
                    weights: &factors.backward,
                    outputs: (inputs, inputs_apart),
                    channels: features,
                    features: channels,
                });
                let step = self.tiling.step;
                arch.dispatch(InputSlopes { channels, step, tiles, padded, values: inputs, input_slopes });
            }
            self.transform_inputs(tiles, images, inputs);
            arch.dispatch(OuterProducts {
                tiles: tiles.count,
                inputs: (inputs, inputs_apart),
                slopes: (products, products_apart),
                channels,
                features,
                sums,
            });
        }
    }

    /// Kernels' gradient, `[features, kernel_size, kernel_size, channels]`, from all sums.
    pub(crate) fn finish(&self, sums: &[f32], weight: &mut [f32]) {
        Arch::new().dispatch(KernelSlopes { convolution: self, sums, weight });
    }

    fn transform_inputs(&self, tiles: Tiles, images: Images<'_>, values: &mut [f32]) {
        let TrainedWinograd { channels, tiling: Tiling { step, .. }, .. } = *self;
        Arch::new().dispatch(InputTransform::<TILE> { channels, step, tiles, images, values });
    }

    /// What a kernel's line is multiplied by at each point.
    fn powers(&self) -> [[f32; 5]; TILE] {
        let powers = transforms::kernel_powers(TILE, self.kernel_size);
        let power =
            |point: usize, degree: usize| powers[point].get(degree).map_or(0.0, |&power| power as f32);
        std::array::from_fn(|point| std::array::from_fn(|degree| power(point, degree)))
    }
}

/// `G g G'` of every kernel, `[features / lanes, channels, lanes]` for each place.
struct KernelTransform<'a> {
    convolution: &'a TrainedWinograd,
    weight: &'a [f32],
    values: &'a mut [f32],
}

impl WithSimd for KernelTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let KernelTransform { convolution, weight, values } = self;
        let TrainedWinograd { channels, features, kernel_size, .. } = *convolution;
        let powers = convolution.powers();
        let area = kernel_size * kernel_size;
        let (values, _) = S::as_mut_simd_f32s(values);
        let apart = channels * features / S::F32_LANES;
        let mut lanes = vec![0.0; S::F32_LANES * area];
        let zero = simd.splat_f32s(0.0);
        for (panel, weight) in weight.chunks_exact(S::F32_LANES * channels * area).enumerate() {
            for channel in 0..channels {
                for (lane, kernels) in weight.chunks_exact(channels * area).enumerate() {
                    let kernel = kernels.chunks_exact(channels).enumerate();
                    kernel.for_each(|(at, values)| lanes[at * S::F32_LANES + lane] = values[channel]);
                }
                let (kernel, _) = S::as_simd_f32s(&lanes);
                let mut lines = [[zero; 5]; TILE];
                for (line, powers) in lines.iter_mut().zip(&powers) {
                    for (column, value) in line.iter_mut().enumerate().take(kernel_size) {
                        for (row, power) in powers.iter().enumerate().take(kernel_size) {
                            let power = simd.splat_f32s(*power);
                            *value = simd.mul_add_e_f32s(power, kernel[row * kernel_size + column], *value);
                        }
                    }
                }
                for (x, powers) in powers.iter().enumerate() {
                    for (y, line) in lines.iter().enumerate() {
                        let mut value = zero;
                        for (term, power) in line.iter().zip(powers).take(kernel_size) {
                            value = simd.mul_add_e_f32s(simd.splat_f32s(*power), *term, value);
                        }
                        values[(x * TILE + y) * apart + panel * channels + channel] = value;
                    }
                }
            }
        }
    }
}

/// From `[features / lanes, channels, lanes]` to `[channels / lanes, features, lanes]`, for each place.
struct Transpose<'a> {
    convolution: &'a TrainedWinograd,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl WithSimd for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let TrainedWinograd { channels, features, .. } = *self.convolution;
        let size = channels * features;
        for (from, to) in self.from.chunks_exact(size).zip(self.to.chunks_exact_mut(size)) {
            for (panel, from) in from.chunks_exact(channels * S::F32_LANES).enumerate() {
                for (channel, from) in from.chunks_exact(S::F32_LANES).enumerate() {
                    let (block, lane) = (channel / S::F32_LANES, channel % S::F32_LANES);
                    let first = (block * features + panel * S::F32_LANES) * S::F32_LANES + lane;
                    let to = to[first..].iter_mut().step_by(S::F32_LANES);
                    to.zip(from).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}

/// `G' s G` of every kernel's sums.
struct KernelSlopes<'a> {
    convolution: &'a TrainedWinograd,
    sums: &'a [f32],
    weight: &'a mut [f32],
}

impl WithSimd for KernelSlopes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let KernelSlopes { convolution, sums, weight } = self;
        let TrainedWinograd { channels, features, kernel_size, .. } = *convolution;
        let powers = convolution.powers();
        let area = kernel_size * kernel_size;
        let (sums, _) = S::as_simd_f32s(sums);
        let apart = channels * features / S::F32_LANES;
        let mut lanes = vec![0.0; S::F32_LANES * area];
        let zero = simd.splat_f32s(0.0);
        for (panel, weight) in weight.chunks_exact_mut(S::F32_LANES * channels * area).enumerate() {
            for channel in 0..channels {
                let mut lines = [[zero; TILE]; 5];
                for (row, line) in lines.iter_mut().enumerate().take(kernel_size) {
                    for (x, value) in line.iter_mut().enumerate() {
                        for (y, powers) in powers.iter().enumerate() {
                            let sum = sums[(x * TILE + y) * apart + panel * channels + channel];
                            *value = simd.mul_add_e_f32s(simd.splat_f32s(powers[row]), sum, *value);
                        }
                    }
                }
                let (kernel, _) = S::as_mut_simd_f32s(&mut lanes);
                for (at, value) in kernel.iter_mut().enumerate() {
                    let (row, column) = (at / kernel_size, at % kernel_size);
                    *value = zero;
                    for (term, powers) in lines[row].iter().zip(&powers) {
                        *value = simd.mul_add_e_f32s(simd.splat_f32s(powers[column]), *term, *value);
                    }
                }
                for (lane, kernels) in weight.chunks_exact_mut(channels * area).enumerate() {
                    let kernel = kernels.chunks_exact_mut(channels).enumerate();
                    kernel.for_each(|(at, values)| values[channel] = lanes[at * S::F32_LANES + lane]);
                }
            }
        }
    }
}

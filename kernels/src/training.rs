//! Convolutions in training: the pass, and the gradient of weights, biases and inputs.
//!
//! Every value is one chain of operations whose order the shapes alone decide, so equal inputs give
//! equal bits on every processor with fused multiply-adds. [`TrainedConv`] works on one thread; gradients of
//! weights of parts of a batch are sums that may be added in a fixed order before [`TrainedConv::finish`].

use crate::buffer::AlignedBuffer;
use crate::direct::{Direct, gradient::TrainedDirect};
use crate::frame::{Frame, FramedImages, Images};
use crate::gemm::Clamp;
use crate::slopes::Slopes;
use crate::window::Window;
use crate::winograd::gradient::{self as winograd, TrainedWinograd};
use crate::winograd::{Buffers, Winograd};

/// A convolution of images `[H, W, C]` that can be trained, with ReLU and max-pooling of 2x2 windows after
/// it or without.
#[derive(Debug, Clone)]
pub struct TrainedConv {
    method: Method,
    frame: Frame,
    /// Rows and columns that are convolved: even for those that are pooled.
    convolved: [usize; 2],
    /// `[H, W, features]`.
    output: [usize; 3],
    /// Rows times columns of the kernel.
    kernel_area: usize,
    is_pooled: bool,
}

#[derive(Debug, Clone)]
enum Method {
    Direct(TrainedDirect),
    Winograd(TrainedWinograd),
}

/// What weights and biases are turned into for a step.
#[derive(Debug)]
pub struct Factors(FactorsOf);

/// By method.
#[derive(Debug)]
enum FactorsOf {
    Direct(Direct),
    Winograd(winograd::Factors),
}

impl Factors {
    /// Without what only the pass needs.
    pub fn for_gradient(self) -> Factors {
        Factors(match self.0 {
            FactorsOf::Winograd(factors) => {
                FactorsOf::Winograd(winograd::Factors { forward: AlignedBuffer::default(), ..factors })
            }
            direct @ FactorsOf::Direct(_) => direct,
        })
    }
}

/// What a thread keeps between calls.
#[derive(Debug, Default)]
pub struct TrainingScratch {
    images: FramedImages,
    input_slopes: AlignedBuffer,
    buffers: Buffers,
}

/// Tiles of whole images at a time: enough that groups of tiles are full, few enough that images and
/// their slopes stay in the second-level cache.
const TILES: usize = 96;

impl TrainedConv {
    /// For a convolution of images `[H, W, C]` without groups; if `is_pooled`, it is followed by ReLU and
    /// max-pooling of 2x2 windows side by side. `None` if there is no kernel for it.
    ///
    /// There is one for 3x3, 4x4 and 5x5 kernels of stride 1, without dilation, on multiples of 16 channels, and
    /// for 3x3 and 5x5 on one channel with at least 2x6 outputs; features must be a multiple of 16, and 4x4 is not
    /// pooled.
    pub fn new(window: Window, input: [usize; 3], features: usize, is_pooled: bool) -> Option<TrainedConv> {
        let [height, width, channels] = input;
        let (span, whole) = (window.span(), window.padded([height, width]));
        let fits = (0..2).all(|axis| span[axis] <= whole[axis]);
        if !fits {
            return None;
        }
        let full = window.output([height, width]);
        let (convolved, output) = match is_pooled {
            true => (full.map(|length| length / 2 * 2), full.map(|length| length / 2)),
            false => (full, full),
        };
        if output.contains(&0) {
            return None;
        }
        let [kernel_size, _] = window.kernel;
        let (method, padded) = if Winograd::fits(&window, channels, features) {
            let winograd = TrainedWinograd::new(channels, features, kernel_size);
            if is_pooled && !winograd.tiling.pools() {
                return None;
            }
            let padded = full.map(|length| winograd.tiling.reach(length));
            (Method::Winograd(winograd), padded)
        } else if features.is_multiple_of(16) && Direct::fits(&window, channels, convolved) {
            (Method::Direct(TrainedDirect { features, kernel_size }), whole)
        } else {
            return None;
        };
        let before = [window.padding[0][0], window.padding[1][0]];
        let frame = Frame { input, before, padded: [padded[0], padded[1], channels] };
        let (output, kernel_area) = ([output[0], output[1], features], kernel_size * kernel_size);
        Some(TrainedConv { method, frame, convolved, output, kernel_area, is_pooled })
    }

    /// `[H, W, features]` that comes out.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// Whether it computes ReLU and max-pooling too.
    pub fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// Whether it has the gradient of its inputs.
    pub fn has_input_slopes(&self) -> bool {
        matches!(self.method, Method::Winograd(_))
    }

    /// Number of sums that [`TrainedConv::backward`] adds to: those of weights, then those of biases.
    pub fn sums(&self) -> usize {
        let [.., features] = self.output;
        self.products() + features
    }

    fn products(&self) -> usize {
        match &self.method {
            Method::Direct(direct) => direct.sums(),
            Method::Winograd(winograd) => winograd.sums(),
        }
    }

    /// What a step needs of weights `[features, kernel_size, kernel_size, channels]` and biases, with what the
    /// gradient of the inputs needs or without.
    ///
    /// # Panics
    /// If there are not as many of them.
    pub fn factors(&self, weight: &[f32], bias: &[f32], for_inputs: bool) -> Factors {
        let ([.., channels], [.., features]) = (self.frame.input, self.output);
        assert_eq!(bias.len(), features, "one bias for each feature");
        assert_eq!(weight.len(), features * self.kernel_area * channels, "a kernel for each feature");
        Factors(match &self.method {
            Method::Direct(direct) => FactorsOf::Direct(direct.factors(weight, bias)),
            Method::Winograd(winograd) => FactorsOf::Winograd(winograd.factors(weight, bias, for_inputs)),
        })
    }

    /// Outputs `[N, H', W', features]` for images `[N, H, W, C]`; where pooled, also which value of each
    /// window won, in a buffer of the same length: 0 to 3 row by row, 4 if none was above zero.
    ///
    /// # Panics
    /// If lengths are not those of whole images, there are winners without pooling, or the factors are those of
    /// another layer.
    pub fn forward(
        &self,
        factors: &Factors,
        images: &[f32],
        scratch: &mut TrainingScratch,
        output: &mut [f32],
        mut winners: Option<&mut [f32]>,
    ) {
        self.check(images, output.len());
        assert_eq!(winners.as_ref().map(|winners| winners.len()), self.is_pooled.then_some(output.len()));
        let [input_size, output_size] = self.sizes();
        let at_a_time = self.at_a_time();
        for (number, images) in images.chunks(at_a_time * input_size).enumerate() {
            let first = number * at_a_time * output_size;
            let count = images.len() / input_size * output_size;
            let output = &mut output[first..][..count];
            let winners = winners.as_deref_mut().map(|winners| &mut winners[first..][..count]);
            let images = self.images(self.frame.surround(images, &mut scratch.images));
            match (&self.method, &factors.0) {
                (Method::Direct(_), FactorsOf::Direct(direct)) => match winners {
                    Some(winners) => direct.forward_recorded(images, output, winners),
                    None => direct.forward(images, Clamp::NONE, false, output),
                },
                (Method::Winograd(winograd), FactorsOf::Winograd(factors)) => {
                    winograd.forward(factors, images, &mut scratch.buffers, output, winners);
                }
                (method, _) => unreachable!("factors of another layer than {method:?}"),
            }
        }
    }

    /// Adds to `sums` what the gradient of the outputs means for weights and biases, and writes what it means
    /// for the images.
    ///
    /// # Panics
    /// If lengths are not those of whole images, the gradient of images is asked for without
    /// [`TrainedConv::has_input_slopes`] or with factors that are not for it, or these are those of another layer.
    pub fn backward(
        &self,
        factors: &Factors,
        images: &[f32],
        slopes: Slopes<'_>,
        scratch: &mut TrainingScratch,
        mut image_slopes: Option<&mut [f32]>,
        sums: &mut [f32],
    ) {
        self.check(images, slopes.values.len());
        assert_eq!(slopes.winners.map(<[f32]>::len), self.is_pooled.then_some(slopes.values.len()));
        let (sums, bias) = sums.split_at_mut(self.products());
        let [input_size, output_size] = self.sizes();
        let at_a_time = self.at_a_time();
        for (number, images) in images.chunks(at_a_time * input_size).enumerate() {
            let count = images.len() / input_size;
            let slopes = slopes.part(number * at_a_time * output_size, count * output_size);
            let padded = self.images(self.frame.surround(images, &mut scratch.images));
            match (&self.method, &factors.0) {
                (Method::Direct(direct), _) => {
                    assert!(image_slopes.is_none(), "the direct kernel has no gradient of its inputs");
                    direct.backward(padded, slopes, sums, bias);
                }
                (method @ Method::Winograd(_), FactorsOf::Direct(_)) => {
                    unreachable!("factors of another layer than {method:?}")
                }
                (Method::Winograd(winograd), FactorsOf::Winograd(factors)) => {
                    let Some(image_slopes) = image_slopes.as_deref_mut() else {
                        winograd.backward(factors, padded, slopes, &mut scratch.buffers, None, (sums, bias));
                        continue;
                    };
                    let inside = scratch.input_slopes.at_least(padded.values.len());
                    inside.fill(0.0);
                    let buffers = &mut scratch.buffers;
                    winograd.backward(factors, padded, slopes, buffers, Some(inside), (sums, bias));
                    let image_slopes = &mut image_slopes[number * at_a_time * input_size..][..images.len()];
                    self.frame.take_out(inside, image_slopes);
                }
            }
        }
    }

    /// The gradient of weights and biases from all sums.
    pub fn finish(&self, sums: &[f32], weight: &mut [f32], bias: Option<&mut [f32]>) {
        let (products, biases) = sums.split_at(self.products());
        match &self.method {
            Method::Direct(direct) => direct.finish(products, weight),
            Method::Winograd(winograd) => winograd.finish(products, weight),
        }
        if let Some(bias) = bias {
            bias.copy_from_slice(biases);
        }
    }

    fn at_a_time(&self) -> usize {
        match &self.method {
            Method::Direct(_) => usize::MAX / self.frame.padded.iter().product::<usize>(),
            Method::Winograd(winograd) => (TILES / winograd.tiling.count(self.convolved)).max(1),
        }
    }

    /// Values of an image and of an output.
    fn sizes(&self) -> [usize; 2] {
        [self.frame.input, self.output].map(|shape| shape.iter().product())
    }

    fn images<'a>(&self, values: &'a [f32]) -> Images<'a> {
        let [rows, columns, _] = self.frame.padded;
        Images { values, padded: [rows, columns], output: self.convolved }
    }

    fn check(&self, images: &[f32], outputs: usize) {
        let [input_size, output_size] = self.sizes();
        assert!(images.len().is_multiple_of(input_size), "{} values are no whole images", images.len());
        assert_eq!(outputs, images.len() / input_size * output_size, "one output for each image");
    }
}

#[cfg(test)]
mod tests;

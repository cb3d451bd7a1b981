//! 2-D convolution (cross-correlation) with a bias on images `[N, H, W, C]`.
//!
//! The simple algorithm:
//!
//! ```text
//! for each output pixel (y, x), feature f of group g:
//!     sum = bias[f]
//!     for (i, j) in the kernel, channel c of group g:
//!         sum += padded[y * stride + i * dilation][x * stride + j * dilation][c] * weight[f][c][i][j]
//!     output[y][x][f] = clamp(sum)
//! ```
//!
//! Departures:
//!
//! 1. The input is copied once into a buffer with its padding around it, so that no window needs a test
//!    for the edge; without padding nothing is copied.
//! 2. 3x3, 4x4 and 5x5 kernels of stride 1 with channels and features in multiples of 16 go by Winograd's
//!    minimal filtering ([`winograd`](crate::winograd)), unless that would read too many weights for a single
//!    tile; which, is decided by the shape alone.
//! 3. 3x3 and 5x5 kernels of stride 1 on one channel go by the [`direct`](crate::direct) kernel.
//! 4. With a group for each channel and one feature of each, by the [`depthwise`](crate::depthwise) kernel.
//! 5. Max-pooling of 2x2 windows is part of the direct kernel and of Winograd's, where a window lies in one
//!    tile: what is pooled is never in memory.
//! 6. All others are [`indirect`](crate::indirect) matrix products.

use crate::buffer::AlignedBuffer;
use crate::depthwise::Depthwise;
use crate::direct::Direct;
use crate::frame::{Frame, FramedImages, Images};
use crate::gemm::{Clamp, PackedWeights};
use crate::indirect::Indirect;
use crate::pool::MaxPool;
use crate::window::Window;
use crate::winograd::{Buffers, Winograd};

/// A convolution for inputs of one shape, its weights packed.
#[derive(Debug)]
pub struct Conv2d {
    method: Method,
    /// What comes in, and the zeros around it that `method` reads.
    frame: Frame,
    /// `[H, W, features]`.
    output: [usize; 3],
}

#[derive(Debug)]
enum Method {
    Indirect(Indirect),
    Depthwise(Depthwise),
    Direct(Direct),
    Winograd(Winograd),
}

/// What a thread keeps between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    padded: FramedImages,
    /// Outputs of the convolution that are pooled.
    convolved: AlignedBuffer,
    kept: Kept,
}

/// What the methods keep between calls.
#[derive(Debug, Default)]
struct Kept {
    /// Of Winograd's.
    buffers: Buffers,
    /// Where the windows of several images begin.
    origins: Vec<usize>,
}

impl Conv2d {
    /// For inputs `[H, W, C]` and weights `[features, C / groups, kernel_height, kernel_width]`, of
    /// which `weight` gives the value at a row-major index; one bias for each feature.
    ///
    /// # Panics
    /// If the window does not fit into the padded input, or `groups` divides channels or features with a rest.
    pub fn new(
        window: Window,
        input: [usize; 3],
        groups: usize,
        weight: impl Fn(usize) -> f32,
        bias: Vec<f32>,
    ) -> Conv2d {
        let [height, width, channels] = input;
        let features = bias.len();
        assert!(
            groups > 0 && channels.is_multiple_of(groups) && features.is_multiple_of(groups),
            "{groups} groups do not divide {channels} channels and {features} features"
        );
        let (span, whole) = (window.span(), window.padded([height, width]));
        assert!(span[0] <= whole[0] && span[1] <= whole[1], "a window of {span:?} in an input of {whole:?}");
        let output @ [output_height, output_width] = window.output([height, width]);
        let padded;
        let method = if goes_by_winograd(&window, groups, channels, features, output) {
            let [rows, columns] = window.kernel;
            let weights: Vec<f32> = (0..features * channels * rows * columns).map(weight).collect();
            let winograd = Winograd::new(&weights, bias, channels, rows, output);
            padded = output.map(|length| winograd.tiling.reach(length));
            Method::Winograd(winograd)
        } else {
            padded = window.padded([height, width]);
            let padded = [padded[0], padded[1], channels];
            if is_depthwise(groups, channels, features) {
                depthwise(&window, padded, &weight, bias)
            } else if Direct::fits(&window, channels, output) {
                let area = window.kernel[0] * window.kernel[1];
                let at = |feature: usize, place: usize| weight(feature * area + place);
                Method::Direct(Direct::new(PackedWeights::new(features, area, at, bias), window.kernel[0]))
            } else {
                Method::Indirect(Indirect::new(&window, padded, groups, &weight, &bias))
            }
        };
        Conv2d {
            method,
            frame: Frame {
                input,
                before: [window.padding[0][0], window.padding[1][0]],
                padded: [padded[0], padded[1], channels],
            },
            output: [output_height, output_width, features],
        }
    }

    /// Bytes of what [`Conv2d::new`] keeps, about: packed weights, and where windows begin. The
    /// window must fit into the padded input, and `groups` divide channels and features.
    pub fn bytes(window: &Window, input: [usize; 3], groups: usize, features: usize) -> usize {
        let [height, width, channels] = input;
        let output = window.output([height, width]);
        if goes_by_winograd(window, groups, channels, features, output) {
            return Winograd::bytes(channels, features);
        }
        let [rows, columns] = window.kernel;
        let windows: usize = output.iter().product();
        if is_depthwise(groups, channels, features) {
            return Depthwise::bytes(channels, rows * columns, windows);
        }
        Indirect::bytes(groups, features, channels.saturating_mul(rows * columns), windows)
    }

    /// `[H, W, C]` that comes in.
    pub fn input(&self) -> [usize; 3] {
        self.frame.input
    }

    /// `[H, W, features]` that comes out.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// Outputs `[N, H', W', features]` for images `[N, H, W, C]`.
    ///
    /// # Panics
    /// If `images` or `output` are not whole images of these shapes.
    pub fn forward(&self, images: &[f32], clamp: Clamp, scratch: &mut Scratch, output: &mut [f32]) {
        self.check(images, output, self.output);
        let Scratch { padded, kept, .. } = scratch;
        self.run(self.images(self.frame.surround(images, padded)), clamp, false, kept, output);
    }

    fn run(&self, images: Images<'_>, clamp: Clamp, is_pooled: bool, kept: &mut Kept, output: &mut [f32]) {
        let (size, output_size) = (self.frame.padded.iter().product(), self.output.iter().product());
        match &self.method {
            Method::Winograd(winograd) => {
                winograd.forward(images, clamp, is_pooled, &mut kept.buffers, output)
            }
            Method::Direct(direct) => direct.forward(images, clamp, is_pooled, output),
            Method::Depthwise(depthwise) => {
                let images = images.values.chunks_exact(size);
                for (image, output) in images.zip(output.chunks_exact_mut(output_size)) {
                    depthwise.forward(image, clamp, output);
                }
            }
            Method::Indirect(indirect) => {
                indirect.forward(images.values, size, clamp, &mut kept.origins, output);
            }
        }
    }

    /// The same, followed by max-pooling: outputs `[N, H'', W'', features]`.
    ///
    /// # Panics
    /// If `images` or `output` are not whole images of these shapes.
    pub fn forward_pooled(
        &self,
        images: &[f32],
        clamp: Clamp,
        pool: &MaxPool,
        scratch: &mut Scratch,
        output: &mut [f32],
    ) {
        if pool.halves() && self.pools() {
            // A last row or column without a partner is in no window.
            let [height, width, features] = self.output;
            let halves = [height / 2, width / 2];
            self.check(images, output, [halves[0], halves[1], features]);
            let Scratch { padded, kept, .. } = scratch;
            let images = self.images(self.frame.surround(images, padded));
            let images = Images { output: halves.map(|half| 2 * half), ..images };
            return self.run(images, clamp, true, kept, output);
        }
        let count = images.len() / self.frame.input.iter().product::<usize>();
        let mut buffer = std::mem::take(&mut scratch.convolved);
        let convolved = buffer.at_least(count * self.output.iter().product::<usize>());
        self.forward(images, clamp, scratch, convolved);
        pool.forward(convolved, self.output, output);
        scratch.convolved = buffer;
    }

    /// Whether the method can pool 2x2 windows of what it computes.
    fn pools(&self) -> bool {
        match &self.method {
            Method::Direct(_) => true,
            Method::Winograd(winograd) => winograd.tiling.pools(),
            Method::Depthwise(_) | Method::Indirect(_) => false,
        }
    }

    fn images<'a>(&self, values: &'a [f32]) -> Images<'a> {
        let ([rows, columns, _], [height, width, _]) = (self.frame.padded, self.output);
        Images { values, padded: [rows, columns], output: [height, width] }
    }

    /// Panics unless there is an output of `shape` for each image.
    fn check(&self, images: &[f32], output: &[f32], shape: [usize; 3]) {
        let counts = [(images.len(), self.frame.input), (output.len(), shape)].map(|(length, shape)| {
            let size = shape.iter().product();
            assert!(length.is_multiple_of(size), "{length} values are no whole images {shape:?}");
            length.checked_div(size).unwrap_or(0)
        });
        assert_eq!(counts[0], counts[1], "one output for each image");
    }
}

/// By the shape alone.
fn goes_by_winograd(
    window: &Window,
    groups: usize,
    channels: usize,
    features: usize,
    output: [usize; 2],
) -> bool {
    groups == 1
        && Winograd::fits(window, channels, features)
        && Winograd::pays(window.kernel[0], channels, features, output)
}

/// Whether every channel has a kernel of its own, for one feature.
fn is_depthwise(groups: usize, channels: usize, features: usize) -> bool {
    groups == channels && groups == features && groups > 1
}

fn depthwise(window: &Window, padded: [usize; 3], weight: &impl Fn(usize) -> f32, bias: Vec<f32>) -> Method {
    let taps = window.taps(padded);
    let count = taps.len();
    let weight = |channel: usize, tap: usize| weight(channel * count + tap);
    Method::Depthwise(Depthwise::new(taps, window.origins(padded), weight, bias))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(i: usize) -> f32 {
        ((i * 37 % 1009) as f32 - 500.0) / 500.0
    }

    /// The definition, in f64.
    fn expected(
        window: &Window,
        [height, width, channels]: [usize; 3],
        groups: usize,
        features: usize,
        image: &[f32],
        [y, x, feature]: [usize; 3],
    ) -> f64 {
        let ([rows, columns], depth) = (window.kernel, channels / groups);
        let group = feature / (features / groups);
        let mut sum = f64::from(number(feature));
        for (i, j, c) in
            (0..rows * columns * depth).map(|p| (p / depth / columns, p / depth % columns, p % depth))
        {
            let row = y * window.strides[0] + i * window.dilations[0];
            let column = x * window.strides[1] + j * window.dilations[1];
            let inside = |at: usize, axis: usize, length: usize| {
                at.checked_sub(window.padding[axis][0]).filter(|&at| at < length)
            };
            let (Some(row), Some(column)) = (inside(row, 0, height), inside(column, 1, width)) else {
                continue;
            };
            let w = number(((feature * depth + c) * rows + i) * columns + j) / 10.0;
            sum += f64::from(w) * f64::from(image[(row * width + column) * channels + group * depth + c]);
        }
        sum
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        /// Groups, dilation, stride, padding up to beyond the kernel, on shapes that go by either method.
        #[test]
        fn is_a_convolution(
            kernel in (1usize..6, 1usize..6), stride in (1usize..4, 1usize..4), dilation in (1usize..4, 1usize..4),
            padding in (0usize..8, 0usize..8, 0usize..8, 0usize..8), size in (1usize..10, 1usize..10),
            groups in prop_oneof![1usize..4, 1usize..40], depth in prop_oneof![1usize..5, Just(1), Just(16)],
            share in prop_oneof![1usize..5, Just(1), Just(16), Just(32)],
            count in 1usize..6, relu: bool,
        ) {
            let window = Window {
                kernel: kernel.into(),
                strides: stride.into(),
                dilations: dilation.into(),
                padding: [[padding.0, padding.1], [padding.2, padding.3]],
            };
            let input @ [height, width, channels] = [size.0, size.1, groups * depth];
            let (padded, span) = (window.padded([height, width]), window.span());
            prop_assume!(padded[0] >= span[0] && padded[1] >= span[1]);
            let features = groups * share;
            let bias: Vec<f32> = (0..features).map(number).collect();
            let conv = Conv2d::new(window, input, groups, |i| number(i) / 10.0, bias);
            let images: Vec<f32> = (0..count * height * width * channels).map(|i| number(i * 3)).collect();
            let [rows, columns, _] = conv.output();
            let mut output = vec![f32::NAN; count * rows * columns * features];
            let clamp = if relu { Clamp::RELU } else { Clamp::NONE };
            conv.forward(&images, clamp, &mut Scratch::default(), &mut output);
            for (at, found) in output.iter().enumerate() {
                let (pixel, feature) = (at / features, at % features);
                let place = [pixel / columns % rows, pixel % columns, feature];
                let image = &images[pixel / columns / rows * height * width * channels..][..height * width * channels];
                let sum = expected(&window, input, groups, features, image, place);
                let sum = if relu { sum.max(0.0) } else { sum };
                prop_assert!((f64::from(*found) - sum).abs() < 5e-5, "{at}: {found}, {sum}");
            }
        }
    }

    /// Buffers that are kept from other shapes and counts change nothing, and pooling in one call is
    /// pooling in two.
    #[test]
    fn buffers_are_written_over() {
        let pool = MaxPool { window: Window { strides: [2, 2], ..Window::new([2, 2]) } };
        let layer = |kernel: usize, channels: usize, features: usize, padding: usize| {
            let window = Window { padding: [[padding; 2]; 2], ..Window::new([kernel; 2]) };
            let bias = (0..features).map(number).collect();
            Conv2d::new(window, [9, 9, channels], 1, |i| number(i) / 10.0, bias)
        };
        let layers = [
            layer(3, 16, 32, 1),
            layer(5, 3, 8, 2),
            layer(5, 32, 16, 0),
            layer(4, 3, 40, 0),
            layer(3, 16, 16, 2),
            layer(3, 1, 20, 1),
            layer(5, 1, 32, 0),
            layer(4, 16, 16, 0),
        ];
        let mut kept = Scratch::default();
        for (layer, count) in layers.iter().cycle().zip([5, 1, 3, 2, 1, 4, 2, 7, 3, 1, 2, 8, 1, 5, 2]) {
            let images: Vec<f32> =
                (0..count * layer.input().iter().product::<usize>()).map(|i| number(i * 3)).collect();
            let [height, width, features] = layer.output();
            let mut convolved = vec![f32::NAN; count * height * width * features];
            layer.forward(&images, Clamp::RELU, &mut Scratch::default(), &mut convolved);
            let mut pooled = vec![f32::NAN; count * (height / 2) * (width / 2) * features];
            pool.forward(&convolved, layer.output(), &mut pooled);
            let mut found = vec![f32::NAN; pooled.len()];
            layer.forward_pooled(&images, Clamp::RELU, &pool, &mut kept, &mut found);
            assert_eq!(found, pooled);
        }
    }

    #[test]
    #[should_panic(expected = "a window of [5, 5] in an input of [4, 4]")]
    fn a_window_larger_than_the_input_is_refused() {
        Conv2d::new(Window::new([5, 5]), [4, 4, 1], 1, |_| 0.0, vec![0.0]);
    }

    #[test]
    #[should_panic(expected = "one output for each image")]
    fn outputs_of_another_count_are_refused() {
        let conv = Conv2d::new(Window::new([3, 3]), [4, 4, 1], 1, |_| 0.0, vec![0.0]);
        conv.forward(&[0.0; 32], Clamp::NONE, &mut Scratch::default(), &mut [0.0; 4]);
    }
}

//! What one step computes.

use datasets::ImageShape;
use kernels::{Scratch, with_widest_vectors};

use super::Input;
use crate::network::{Convolution, Dense, Pool, View};

/// A step; sizes are those of one image.
#[derive(Debug)]
pub(super) enum Step {
    /// Bytes `[C, H, W]` to `[H, W, C]`.
    Pixels {
        shape: ImageShape,
    },
    Convolution {
        layer: Convolution,
        size: usize,
    },
    Pool {
        layer: Pool,
        shape: [usize; 3],
    },
    Dense {
        layer: Dense,
    },
    View {
        view: View,
        shape: [usize; 3],
    },
    /// `[pixels, channels]` to `[channels, pixels]`.
    ChannelsFirst {
        pixels: usize,
        channels: usize,
    },
    /// `[pixels, channels]` to `[channels]`: the sum or the largest value of each.
    Reduce {
        arithmetic: Arithmetic,
        pixels: usize,
        channels: usize,
    },
    /// As it is, for operations on what comes in, or on a value that something else reads too.
    Copy {
        size: usize,
    },
    /// With another value of this size.
    Join {
        arithmetic: Arithmetic,
        size: usize,
    },
    Softmax {
        classes: usize,
    },
}

/// What is done to each value with one constant, one of its channel, or one of its own.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) arithmetic: Arithmetic,
    /// One, or as many as divide an image's values: of every channel, or of every value.
    pub(super) constants: Vec<f32>,
}

/// Of a value on the left and one on the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Multiply,
    /// Only by constants.
    Divide,
    Max,
    Min,
}

impl Step {
    /// Writes all of `output`, for `count` images; `second` is what a [`Step::Join`] reads too.
    pub(super) fn run(
        &self,
        input: Input<'_>,
        second: Option<Input<'_>>,
        count: usize,
        scratch: &mut Scratch,
        origins: &mut Vec<usize>,
        output: &mut [f32],
    ) {
        match self {
            Step::Pixels { shape } => pixels(bytes(input), *shape, output),
            Step::Convolution { layer, size } => layer.forward(values(input, count * size), scratch, output),
            Step::Pool { layer, shape } => {
                layer.forward(values(input, count * shape.iter().product::<usize>()), *shape, output);
            }
            Step::Dense { layer } => layer.forward(values(input, count * layer.depth()), origins, output),
            Step::View { view, shape } => {
                view.forward(values(input, count * shape.iter().product::<usize>()), *shape, output);
            }
            Step::ChannelsFirst { pixels, channels } => {
                channels_first(values(input, count * pixels * channels), *pixels, *channels, output);
            }
            Step::Reduce { arithmetic, pixels, channels } => {
                let input = values(input, count * pixels * channels);
                reduce(input, *arithmetic, *pixels, *channels, output);
            }
            Step::Copy { size } => output.copy_from_slice(values(input, count * size)),
            Step::Join { arithmetic, size } => {
                let second = second.expect("`lower` gives two inputs to what joins two values");
                join(values(input, count * size), values(second, count * size), *arithmetic, output);
            }
            Step::Softmax { classes } => {
                let rows = values(input, count * classes).chunks_exact(*classes);
                rows.zip(output.chunks_exact_mut(*classes)).for_each(|(row, output)| softmax(row, output));
            }
        }
    }
}

fn values(input: Input<'_>, length: usize) -> &[f32] {
    match input {
        Input::Features(values) => &values[..length],
        Input::Pixels(_) => unreachable!("`lower` lets only `Step::Pixels` read pixels"),
    }
}

fn bytes(input: Input<'_>) -> &[u8] {
    match input {
        Input::Pixels(bytes) => bytes,
        Input::Features(_) => unreachable!("`lower` lets `Step::Pixels` read nothing but pixels"),
    }
}

fn pixels(bytes: &[u8], shape: ImageShape, output: &mut [f32]) {
    let ImageShape { channels, height, width } = shape;
    let plane = height * width;
    let images = bytes.chunks_exact(channels * plane);
    for (image, output) in images.zip(output.chunks_exact_mut(channels * plane)) {
        for (channel, bytes) in image.chunks_exact(plane).enumerate() {
            match channels {
                1 => output.iter_mut().zip(bytes).for_each(|(value, &byte)| *value = byte.into()),
                _ => {
                    let values = output[channel..].iter_mut().step_by(channels);
                    values.zip(bytes).for_each(|(value, &byte)| *value = byte.into());
                }
            }
        }
    }
}

fn channels_first(input: &[f32], pixels: usize, channels: usize, output: &mut [f32]) {
    let size = pixels * channels;
    for (image, output) in input.chunks_exact(size).zip(output.chunks_exact_mut(size)) {
        for (channel, plane) in output.chunks_exact_mut(pixels).enumerate() {
            let values = image[channel..].iter().step_by(channels);
            plane.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
        }
    }
}

/// Runs loops with a function of a left and a right value: loops of their own for each arithmetic, and for the widest
/// vectors of the processor, because the compiler does not take the choice out of the loops.
macro_rules! with_arithmetic {
    ($arithmetic:expr, $of:ident => $loops:expr) => {
        match $arithmetic {
            Arithmetic::Add => with_arithmetic!(@ $of = |left: f32, right: f32| left + right; $loops),
            Arithmetic::Multiply => with_arithmetic!(@ $of = |left: f32, right: f32| left * right; $loops),
            Arithmetic::Divide => with_arithmetic!(@ $of = |left: f32, right: f32| left / right; $loops),
            Arithmetic::Max => with_arithmetic!(@ $of = f32::max; $loops),
            Arithmetic::Min => with_arithmetic!(@ $of = f32::min; $loops),
        }
    };
    (@ $of:ident = $function:expr; $loops:expr) => {
        with_widest_vectors(
            #[inline(always)]
            || {
                let $of = $function;
                $loops
            },
        )
    };
}

fn reduce(input: &[f32], arithmetic: Arithmetic, pixels: usize, channels: usize, output: &mut [f32]) {
    with_arithmetic!(arithmetic, of => {
        for (image, output) in input.chunks_exact(pixels * channels).zip(output.chunks_exact_mut(channels)) {
            let (first, others) = image.split_at(channels);
            output.copy_from_slice(first);
            for pixel in others.chunks_exact(channels) {
                for (to, value) in output.iter_mut().zip(pixel) {
                    *to = of(*to, *value);
                }
            }
        }
    });
}

fn join(left: &[f32], right: &[f32], arithmetic: Arithmetic, output: &mut [f32]) {
    with_arithmetic!(arithmetic, of => {
        for ((to, left), right) in output.iter_mut().zip(left).zip(right) {
            *to = of(*left, *right);
        }
    });
}

impl Operation {
    /// Changes the values of any number of images.
    pub(super) fn apply(&self, values: &mut [f32]) {
        with_arithmetic!(self.arithmetic, of => match self.constants.as_slice() {
            &[constant] => {
                for value in values {
                    *value = of(*value, constant);
                }
            }
            constants => {
                for values in values.chunks_exact_mut(constants.len()) {
                    for (value, constant) in values.iter_mut().zip(constants) {
                        *value = of(*value, *constant);
                    }
                }
            }
        });
    }
}

/// `exp(x - max) / sum of these`. The exponential is one of Rust: that of each system has bits of its own.
fn softmax(logits: &[f32], output: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    output.iter_mut().zip(logits).for_each(|(value, logit)| *value = libm::expf(logit - largest));
    let sum: f32 = output.iter().sum();
    output.iter_mut().for_each(|value| *value /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_scaled_by_channel() {
        let shape = ImageShape { channels: 2, height: 1, width: 2 };
        let operations = [
            Operation { arithmetic: Arithmetic::Multiply, constants: vec![2.0, 3.0] },
            Operation { arithmetic: Arithmetic::Add, constants: vec![1.0] },
        ];
        let mut output = [0.0; 4];
        pixels(&[1, 2, 10, 20], shape, &mut output);
        operations.iter().for_each(|operation| operation.apply(&mut output));
        assert_eq!(output, [3.0, 31.0, 5.0, 61.0]);
    }

    #[test]
    fn channels_come_first_in_every_image() {
        let mut output = [0.0; 12];
        let input: Vec<f32> = (0u8..12).map(f32::from).collect();
        channels_first(&input, 3, 2, &mut output);
        assert_eq!(output, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0, 6.0, 8.0, 10.0, 7.0, 9.0, 11.0]);
    }

    #[test]
    fn channels_are_reduced_in_every_image() {
        let input = [1.0, -5.0, 3.0, -6.0, 2.0, -7.0, 10.0, 0.5, 30.0, 0.25, 20.0, 0.75];
        let mut output = [0.0; 4];
        reduce(&input, Arithmetic::Max, 3, 2, &mut output);
        assert_eq!(output, [3.0, -5.0, 30.0, 0.75]);
        reduce(&input, Arithmetic::Add, 3, 2, &mut output);
        assert_eq!(output, [6.0, -18.0, 60.0, 1.5]);
    }

    #[test]
    fn softmax_of_large_logits_sums_to_one() {
        let mut output = [0.0; 3];
        softmax(&[1000.0, 1000.0, -1000.0], &mut output);
        assert_eq!(output, [0.5, 0.5, 0.0]);
    }
}

//! Max-pooling and average pooling; in training, max-pooling of 2x2 windows after ReLU with the value that won
//! ([`relu_winner`]), which the direct kernel and Winograd's have in them.
//!
//! The simple algorithm:
//!
//! ```text
//! for each output pixel:
//!     for channel in channels:
//!         output[pixel][channel] = max or mean over the window's pixels inside the image of input[..][channel]
//! ```
//!
//! Departures:
//!
//! 1. A vector of channels at a time: the values of a pixel are side by side, so a window's maximum is
//!    one `max` of two vectors for each of its pixels: nine times as fast with AVX-512 (measured). The
//!    channels that fill no vector are done one by one.
//!
//! Left out: keeping the maxima of a row for the next window. Windows of the published networks do
//! not overlap, so there would be nothing to keep.

use pulp::{Arch, Simd, WithSimd};

use crate::window::Window;

/// Maximum over windows of images `[N, H, W, C]`; padding does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// The window; its dilations must be 1 and its padding smaller than its kernel, so that every
    /// window has a pixel of the image in it.
    pub window: Window,
}

impl MaxPool {
    /// Outputs `[N, H', W', C]` for images `[N, H, W, C]`, of which `shape` is `[H, W, C]`.
    ///
    /// # Panics
    /// If `images` or `output` are not whole images of these shapes.
    pub fn forward(&self, images: &[f32], shape: [usize; 3], output: &mut [f32]) {
        forward::<false>(&self.window, images, shape, output);
    }

    /// Whether it takes windows of 2x2 side by side, without padding.
    pub(crate) fn halves(&self) -> bool {
        self.window == Window { strides: [2, 2], ..Window::new([2, 2]) }
    }
}

/// Mean over windows of images `[N, H, W, C]`; padding does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool {
    /// The window; its dilations must be 1 and its padding smaller than its kernel, so that every
    /// window has a pixel of the image in it.
    pub window: Window,
}

impl AvgPool {
    /// Outputs `[N, H', W', C]` for images `[N, H, W, C]`, of which `shape` is `[H, W, C]`.
    ///
    /// # Panics
    /// If `images` or `output` are not whole images of these shapes.
    pub fn forward(&self, images: &[f32], shape: [usize; 3], output: &mut [f32]) {
        forward::<true>(&self.window, images, shape, output);
    }
}

fn forward<const MEAN: bool>(window: &Window, images: &[f32], shape: [usize; 3], output: &mut [f32]) {
    let [height, width, channels] = shape;
    let [output_height, output_width] = window.output([height, width]);
    let [size, output_size] = [height * width * channels, output_height * output_width * channels];
    assert!(
        images.len().is_multiple_of(size) && images.len() / size * output_size == output.len(),
        "{} values are no whole images {shape:?}, or {} no outputs of them",
        images.len(),
        output.len()
    );
    let arch = Arch::new();
    for (image, output) in images.chunks_exact(size).zip(output.chunks_exact_mut(output_size)) {
        arch.dispatch(Pooling::<MEAN> { window, image, shape, output });
    }
}

struct Pooling<'a, const MEAN: bool> {
    window: &'a Window,
    image: &'a [f32],
    shape: [usize; 3],
    output: &'a mut [f32],
}

impl<const MEAN: bool> WithSimd for Pooling<'_, MEAN> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [height, width, channels] = self.shape;
        let [_, output_width] = self.window.output([height, width]);
        let start = if MEAN { 0.0 } else { f32::NEG_INFINITY };
        // Pixels of one window inside the image, along one axis.
        let inside = |axis: usize, at: usize, length: usize| {
            let Window { kernel, strides, padding, .. } = self.window;
            let end = at * strides[axis] + kernel[axis] - padding[axis][0];
            (at * strides[axis]).saturating_sub(padding[axis][0])..end.min(length)
        };
        for (at, output) in self.output.chunks_exact_mut(channels).enumerate() {
            let rows = inside(0, at / output_width, height);
            let columns = inside(1, at % output_width, width);
            let count = (rows.len() * columns.len()) as f32;
            let (whole, rest) = S::as_mut_simd_f32s(output);
            let done = whole.len() * S::F32_LANES;
            for (vector, output) in whole.iter_mut().enumerate() {
                let mut value = simd.splat_f32s(start);
                for y in rows.clone() {
                    for x in columns.clone() {
                        let (pixel, _) =
                            S::as_simd_f32s(&self.image[(y * width + x) * channels..][..channels]);
                        value = match MEAN {
                            true => simd.add_f32s(value, pixel[vector]),
                            false => simd.max_f32s(pixel[vector], value),
                        };
                    }
                }
                *output = if MEAN { simd.div_f32s(value, simd.splat_f32s(count)) } else { value };
            }
            for (channel, output) in rest.iter_mut().enumerate() {
                let pixels = rows.clone().flat_map(|y| columns.clone().map(move |x| y * width + x));
                let values = pixels.map(|pixel| self.image[pixel * channels + done + channel]);
                *output = match MEAN {
                    true => values.fold(start, |sum, value| sum + value) / count,
                    false => values.fold(start, f32::max),
                };
            }
        }
    }
}

/// `max(0, largest + bias)` of a 2x2 window's values, and which it was: 0 to 3, the first if several are
/// equal, or 4 if the result is zero. NaN stays NaN.
#[inline(always)]
pub(crate) fn relu_winner<S: Simd>(simd: S, window: [S::f32s; 4], bias: S::f32s) -> (S::f32s, S::f32s) {
    let zero = simd.splat_f32s(0.0);
    let (mut largest, mut winner) = (window[0], zero);
    for (place, value) in window.into_iter().enumerate().skip(1) {
        // False if either is NaN: a value that is NaN wins, and keeps what it won.
        let is_less = simd.less_than_or_equal_f32s(value, largest);
        let is_number = simd.equal_f32s(largest, largest);
        let place = simd.select_f32s(is_less, winner, simd.splat_f32s(place as f32));
        winner = simd.select_f32s(is_number, place, winner);
        largest = simd.select_f32s(is_number, simd.select_f32s(is_less, largest, value), largest);
    }
    let value = simd.add_f32s(largest, bias);
    let is_zero = simd.less_than_or_equal_f32s(value, zero);
    (simd.select_f32s(is_zero, zero, value), simd.select_f32s(is_zero, simd.splat_f32s(4.0), winner))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_largest_value_or_the_mean_of_each_window(
            kernel in 1usize..4, stride in 1usize..4, padding in 0usize..3,
            height in 4usize..9, width in 4usize..9, channels in 1usize..40,
        ) {
            prop_assume!(padding < kernel);
            let window = Window { strides: [stride; 2], padding: [[padding; 2]; 2], ..Window::new([kernel; 2]) };
            let image: Vec<f32> =
                (0..height * width * channels).map(|i| ((i * 7919 % 1009) as f32) - 504.0).collect();
            let [rows, columns] = window.output([height, width]);
            let [mut largest, mut means] = [(); 2].map(|()| vec![f32::NAN; rows * columns * channels]);
            MaxPool { window }.forward(&image, [height, width, channels], &mut largest);
            AvgPool { window }.forward(&image, [height, width, channels], &mut means);
            for (at, (found, mean)) in largest.iter().zip(&means).enumerate() {
                let (pixel, channel) = (at / channels, at % channels);
                let (mut best, mut sum, mut count) = (f32::NEG_INFINITY, 0.0, 0.0);
                for y in pixel / columns * stride..pixel / columns * stride + kernel {
                    for x in pixel % columns * stride..pixel % columns * stride + kernel {
                        let inside = (padding..height + padding).contains(&y) && (padding..width + padding).contains(&x);
                        if inside {
                            let value = image[((y - padding) * width + x - padding) * channels + channel];
                            (best, sum, count) = (best.max(value), sum + value, count + 1.0);
                        }
                    }
                }
                prop_assert_eq!((*found, *mean), (best, sum / count));
            }
        }
    }

    #[test]
    #[should_panic(expected = "no outputs of them")]
    fn outputs_of_another_shape_are_refused() {
        let window = Window { strides: [2, 2], ..Window::new([2, 2]) };
        MaxPool { window }.forward(&[0.0; 16], [4, 4, 1], &mut [0.0; 3]);
    }
}

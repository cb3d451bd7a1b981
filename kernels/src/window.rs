//! The geometry of a sliding window.

/// Kernel, strides, dilations and padding along rows and columns, as ONNX's `kernel_shape`,
/// `strides`, `dilations` and `pads` have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// `[height, width]`, at least 1.
    pub kernel: [usize; 2],
    /// `[down, right]`, at least 1.
    pub strides: [usize; 2],
    /// Distance between neighbouring taps of the kernel, `[down, right]`, at least 1.
    pub dilations: [usize; 2],
    /// `[[top, bottom], [left, right]]`.
    pub padding: [[usize; 2]; 2],
}

impl Window {
    /// Stride 1, dilation 1, no padding.
    pub fn new(kernel: [usize; 2]) -> Window {
        Window { kernel, strides: [1, 1], dilations: [1, 1], padding: [[0, 0], [0, 0]] }
    }

    /// Rows and columns that the kernel spans: `(kernel - 1) * dilation + 1`.
    pub fn span(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.kernel[axis] - 1) * self.dilations[axis] + 1)
    }

    /// Rows and columns of the padded input.
    pub fn padded(&self, input: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| self.padding[axis][0] + input[axis] + self.padding[axis][1])
    }

    /// Rows and columns of the output: `floor((padded - span) / stride) + 1`. The window must fit
    /// into the padded input at least once.
    pub fn output(&self, input: [usize; 2]) -> [usize; 2] {
        let (padded, span) = (self.padded(input), self.span());
        [0, 1].map(|axis| (padded[axis] - span[axis]) / self.strides[axis] + 1)
    }

    /// Where each value of a window begins in `padded` (`[H, W, C]`), from its first.
    pub(crate) fn taps(&self, [_, width, channels]: [usize; 3]) -> Vec<usize> {
        let ([rows, columns], [down, right]) = (self.kernel, self.dilations);
        let tap = |row: usize, column: usize| (row * down * width + column * right) * channels;
        (0..rows).flat_map(|row| (0..columns).map(move |column| tap(row, column))).collect()
    }

    /// First value of each window in `padded` (`[H, W, C]`).
    pub(crate) fn origins(&self, [height, width, channels]: [usize; 3]) -> Vec<usize> {
        let [span_height, span_width] = self.span();
        let ys = (0..=height - span_height).step_by(self.strides[0]);
        let xs = |y: usize| {
            (0..=width - span_width).step_by(self.strides[1]).map(move |x| (y * width + x) * channels)
        };
        ys.flat_map(xs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_sizes() {
        let window = Window::new([5, 3]);
        assert_eq!(window.output([28, 28]), [24, 26]);
        let padded = Window { padding: [[2, 2], [1, 1]], ..window };
        assert_eq!(padded.output([28, 28]), [28, 28]);
        let strided = Window { strides: [2, 3], ..padded };
        assert_eq!(strided.output([28, 28]), [14, 10]);
        let dilated = Window { dilations: [2, 4], ..window };
        assert_eq!((dilated.span(), dilated.output([28, 28])), ([9, 9], [20, 20]));
    }
}

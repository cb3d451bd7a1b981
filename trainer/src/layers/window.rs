//! Sliding windows, as convolutions and pools have them.

use super::kind::{Context, Placement};
use super::shape::Shape;
use crate::error::Result;
use crate::onnx::graph::Graph;
use crate::onnx::value::ints;

/// Largest kernel and dilation that `infer` reads.
pub(crate) const MAX_WINDOW: usize = 1024;

/// A window in its place: what slides, and over how much padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// `[height, width]` of the kernel.
    pub(crate) kernel: [usize; 2],
    /// `[down, right]`.
    pub(crate) strides: [usize; 2],
    /// Distance between neighbouring taps.
    pub(crate) dilation: usize,
    /// `[[top, bottom], [left, right]]`.
    pub(crate) padding: [[usize; 2]; 2],
}

impl Window {
    /// A pool's: the same along rows and columns.
    pub(crate) fn square(kernel_size: usize, stride: usize, padding: usize) -> Window {
        Window { kernel: [kernel_size; 2], strides: [stride; 2], dilation: 1, padding: [[padding; 2]; 2] }
    }

    /// Places a pool with this window.
    ///
    /// # Errors
    /// If it does not fit, or a window could be all padding.
    pub(crate) fn place_pool(&self, context: &Context) -> Result<Placement> {
        let [channels, ..] = context.image()?;
        let ([kernel_size, _], [stride, _], [[padding, _], _]) = (self.kernel, self.strides, self.padding);
        if padding.saturating_mul(2) > kernel_size {
            let problem = format!("padding {padding}: expected at most half the kernel_size {kernel_size}");
            return Err(context.refuse(problem));
        }
        context.positive("kernel_size", kernel_size)?;
        if kernel_size > MAX_WINDOW {
            return Err(context.refuse(format!("kernel_size {kernel_size}: expected at most {MAX_WINDOW}")));
        }
        context.positive("stride", stride)?;
        let [height, width] = self.output(context)?;
        Ok(context.placed(Shape::Image { channels, height, width }))
    }

    /// Adds the node of a pool with this window.
    pub(crate) fn export_pool(&self, op: &str, placement: &Placement, x: &str, graph: &mut Graph) -> String {
        let attributes =
            vec![ints("kernel_shape", self.kernel), ints("pads", self.pads()), ints("strides", self.strides)];
        graph.node(op, &placement.name, &[x], attributes)
    }

    /// Rows and columns that the kernel spans: `(kernel - 1) * dilation + 1`.
    pub(crate) fn span(&self) -> [usize; 2] {
        self.kernel.map(|size| size.saturating_sub(1).saturating_mul(self.dilation).saturating_add(1))
    }

    /// Rows and columns of the output: `floor((input + padding - span) / stride) + 1`.
    ///
    /// # Errors
    /// If the window does not fit, or the padded image is too large.
    pub(crate) fn output(&self, context: &Context) -> Result<[usize; 2]> {
        let [_, height, width] = context.image()?;
        let lengths = [height, width];
        let padded =
            [0, 1].map(|axis| self.padding[axis].into_iter().fold(lengths[axis], usize::saturating_add));
        if padded.iter().any(|&length| length > 65_536) {
            return Err(context.refuse("padding: expected a padded image of at most 65536 pixels a side"));
        }
        let span @ [rows, columns] = self.span();
        if (0..2).any(|axis| padded[axis] < span[axis]) {
            let dilated =
                if self.dilation > 1 { format!(" with dilation {}", self.dilation) } else { String::new() };
            return Err(context.refuse(format!(
                "kernel_size {}{dilated} does not fit: with padding the image is [{}, {}], and at least [{rows}, {columns}] is needed",
                self.kernel[0], padded[0], padded[1]
            )));
        }
        Ok([0, 1].map(|axis| (padded[axis] - span[axis]) / self.strides[axis] + 1))
    }

    /// Padding as libtorch takes it, `None` if it differs between the sides.
    pub(crate) fn even_padding(&self) -> Option<[i64; 2]> {
        let [[top, bottom], [left, right]] = self.padding;
        (top == bottom && left == right).then_some([top as i64, left as i64])
    }

    /// ONNX's `pads`: `[top, left, bottom, right]`.
    pub(crate) fn pads(&self) -> [usize; 4] {
        let [[top, bottom], [left, right]] = self.padding;
        [top, left, bottom, right]
    }

    /// Strides as libtorch takes them.
    pub(crate) fn stride(&self) -> [i64; 2] {
        self.strides.map(|stride| stride as i64)
    }
}

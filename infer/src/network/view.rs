//! Another view of an image: mirrored, or moved by some pixels. Networks that average over views begin with it.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::layers::{image, image_fact};
use super::operator::{Input, Operator};

/// What is done to images `[N, H, W, C]`; zeros come in where a move leaves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Left and right changed.
    Mirrored,
    /// Moved by so many pixels, `[down, right]`.
    Moved([i64; 2]),
}

impl View {
    /// Writes the view of images one after another, of which `shape` is `[H, W, C]`.
    pub(crate) fn forward(self, images: &[f32], shape: [usize; 3], outputs: &mut [f32]) {
        let [height, width, channels] = shape;
        let row = width * channels;
        let rows = outputs.chunks_exact_mut(row).enumerate();
        match self {
            View::Mirrored => {
                for (to, from) in outputs.chunks_exact_mut(row).zip(images.chunks_exact(row)) {
                    let pixels = to.chunks_exact_mut(channels).zip(from.chunks_exact(channels).rev());
                    pixels.for_each(|(to, from)| to.copy_from_slice(from));
                }
            }
            View::Moved([down, right]) => rows.for_each(|(at, to)| {
                let source = (at % height) as i64 - down;
                let Some(from) = usize::try_from(source).ok().filter(|&source| source < height) else {
                    return to.fill(0.0);
                };
                let start = (at / height * height + from) * row;
                move_row(&images[start..start + row], right, channels, to);
            }),
        }
    }
}

/// Moves a row's pixels to the right by `by`.
fn move_row(from: &[f32], by: i64, channels: usize, to: &mut [f32]) {
    let values = (by.unsigned_abs() as usize).saturating_mul(channels).min(to.len());
    let kept = to.len() - values;
    if by >= 0 {
        to[..values].fill(0.0);
        to[values..].copy_from_slice(&from[..kept]);
    } else {
        to[..kept].copy_from_slice(&from[values..]);
        to[kept..].fill(0.0);
    }
}

impl Op for View {
    fn name(&self) -> StaticName {
        "View".into()
    }

    op_as_typed_op!();
}

impl EvalOp for View {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let [n, height, width, channels] = image(&input)?;
        let mut output = Tensor::zero::<f32>(&[n, height, width, channels])?;
        let images = input.try_as_plain_ram()?.as_slice::<f32>()?;
        let mut view = output.try_as_plain_ram_mut()?;
        self.forward(images, [height, width, channels], view.as_slice_mut()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for View {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [n, shape] = image_fact(inputs)?;
        Ok(tvec!(f32::fact([n, shape].concat())))
    }

    as_op!();
}

impl Operator<'_> {
    /// ONNX `Slice`, of which only one is known: all columns, from the last to the first.
    pub(super) fn slice(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let &[Input::Value(x), starts, ends, axes, steps] = self.inputs else {
            bail!("{} inputs, expected a value and starts, ends, axes and steps", self.inputs.len());
        };
        let [starts, ends, axes, steps] = [starts, ends, axes, steps].map(|input| input.integers());
        let (starts, ends, axes, steps) = (starts?, ends?, axes?, steps?);
        // Ends count from the last, so that one before the first is anything far below zero.
        let is_mirrored = (starts, axes, steps) == (&[-1], &[3], &[-1])
            && matches!(ends, &[end] if end < -i64::from(u16::MAX));
        ensure!(
            is_mirrored,
            "starts {starts:?}, ends {ends:?}, axes {axes:?}, steps {steps:?}: expected all columns, mirrored"
        );
        self.image(x)?;
        self.add("", View::Mirrored, &[x])
    }

    /// ONNX `Pad`, of which only one kind is known: as many pixels are added on one side as are taken on the other.
    pub(super) fn pad(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let &[Input::Value(x), pads] = self.inputs else {
            bail!("{} inputs, expected a value and pads", self.inputs.len());
        };
        let pads = pads.integers()?;
        let [height, width, _] = self.image(x)?;
        let smaller = |by: i64, length: usize| by.unsigned_abs() < length as u64;
        match *pads {
            [0, 0, down, right, 0, 0, up, left]
                if up.checked_neg() == Some(down)
                    && left.checked_neg() == Some(right)
                    && smaller(down, height)
                    && smaller(right, width) =>
            {
                self.add("", View::Moved([down, right]), &[x])
            }
            _ => bail!("pads {pads:?}: expected a move of rows and columns that leaves some of the image"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_two_images() {
        let images: Vec<f32> = (1u8..=12).map(f32::from).collect();
        let shape = [2, 3, 1];
        let seen = |view: View| {
            let mut out = vec![9.0; 12];
            view.forward(&images, shape, &mut out);
            out
        };
        assert_eq!(seen(View::Mirrored), [3., 2., 1., 6., 5., 4., 9., 8., 7., 12., 11., 10.]);
        assert_eq!(seen(View::Moved([1, 0])), [0., 0., 0., 1., 2., 3., 0., 0., 0., 7., 8., 9.]);
        assert_eq!(seen(View::Moved([-1, 1])), [0., 4., 5., 0., 0., 0., 0., 10., 11., 0., 0., 0.]);
        assert_eq!(seen(View::Moved([0, -2])), [3., 0., 0., 6., 0., 0., 9., 0., 0., 12., 0., 0.]);
    }

    #[test]
    fn channels_stay_together() {
        let mut out = [0.0; 4];
        View::Mirrored.forward(&[1.0, 2.0, 3.0, 4.0], [1, 2, 2], &mut out);
        assert_eq!(out, [3.0, 4.0, 1.0, 2.0]);
    }
}

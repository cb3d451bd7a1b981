//! The layers that do the work, as operators of tract: on images `[N, H, W, C]`, in which each
//! pixel's channels fill vectors, and on `[N, features]`.

use std::sync::Arc;

use pulp::Arch;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::product::{Weights, Windows};

/// `kernel_shape`, `strides` and `pads` of a window over images `[H, W, C]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kernel: [usize; 2],
    pub(super) strides: [usize; 2],
    pub(super) before: [usize; 2],
    pub(super) after: [usize; 2],
}

impl Window {
    /// Rows and columns of the output.
    fn output(&self, input: [usize; 2]) -> [usize; 2] {
        let length = |axis: usize| {
            (self.before[axis] + input[axis] + self.after[axis] - self.kernel[axis]) / self.strides[axis] + 1
        };
        [length(0), length(1)]
    }
}

/// Convolution of `[N, H, W, C]` with a bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Convolution {
    window: Window,
    weights: Arc<Weights>,
    /// Rows, columns and channels of the input with its padding.
    padded: [usize; 3],
    /// First value of each window in the padded input.
    origins: Vec<usize>,
}

impl Convolution {
    /// For inputs `[H, W, C]` and weights `[features, C, kernel_height, kernel_width]`.
    pub(super) fn new(
        window: Window,
        [height, width, channels]: [usize; 3],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Convolution {
        let [rows, columns] = window.kernel;
        let depth = rows * columns * channels;
        // From [C, kernel_height, kernel_width] to the order in which pixels lie.
        let at = |feature: usize, place: usize| {
            let (pixel, channel) = (place / channels, place % channels);
            weight[feature * depth + channel * rows * columns + pixel]
        };
        let weights = Arc::new(Weights::new(weight.len() / depth, depth, at, bias));
        let [output_height, output_width] = window.output([height, width]);
        let padded = [
            window.before[0] + height + window.after[0],
            window.before[1] + width + window.after[1],
            channels,
        ];
        let [down, right] = window.strides;
        let origin = |y: usize| move |x: usize| (y * down * padded[1] + x * right) * channels;
        let origins = (0..output_height).flat_map(|y| (0..output_width).map(origin(y))).collect();
        Convolution { window, weights, padded, origins }
    }

    /// The image with zeros around it.
    fn pad(&self, image: &[f32], width: usize) -> Vec<f32> {
        let [_, columns, channels] = self.padded;
        let mut padded = vec![0.0; self.padded.iter().product()];
        let [top, left] = self.window.before;
        let rows = padded.chunks_exact_mut(columns * channels).skip(top);
        for (row, values) in rows.zip(image.chunks_exact(width * channels)) {
            row[left * channels..][..values.len()].copy_from_slice(values);
        }
        padded
    }
}

impl Op for Convolution {
    fn name(&self) -> StaticName {
        "Convolution".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Convolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let [n, height, width, channels] = image(&input)?;
        let [output_height, output_width] = self.window.output([height, width]);
        let mut output = Tensor::zero::<f32>(&[n, output_height, output_width, self.weights.features()])?;
        let windows = Windows {
            origins: &self.origins,
            runs: self.window.kernel[0],
            run: self.window.kernel[1] * channels,
            stride: self.padded[1] * channels,
        };
        let images = input.try_as_plain_ram()?.as_slice::<f32>()?.chunks_exact(height * width * channels);
        let mut view = output.try_as_plain_ram_mut()?;
        let outputs = view.as_slice_mut()?.chunks_exact_mut(self.origins.len() * self.weights.features());
        for (image, output) in images.zip(outputs) {
            match self.padded == [height, width, channels] {
                true => self.weights.apply(image, &windows, output),
                false => self.weights.apply(&self.pad(image, width), &windows, output),
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Convolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        pooled_fact(&self.window, inputs, Some(self.weights.features()))
    }

    as_op!();
}

/// Maximum over windows of `[N, H, W, C]`; padding does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MaxPool(pub(super) Window);

impl Op for MaxPool {
    fn name(&self) -> StaticName {
        "MaxPool".into()
    }

    op_as_typed_op!();
}

impl EvalOp for MaxPool {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let [n, height, width, channels] = image(&input)?;
        let [output_height, output_width] = self.0.output([height, width]);
        let mut output = Tensor::zero::<f32>(&[n, output_height, output_width, channels])?;
        let images = input.try_as_plain_ram()?.as_slice::<f32>()?.chunks_exact(height * width * channels);
        let mut view = output.try_as_plain_ram_mut()?;
        let outputs = view.as_slice_mut()?.chunks_exact_mut(output_height * output_width * channels);
        // Places of one window inside the image, along one axis.
        let inside = |axis: usize, at: usize, length: usize| {
            let first = at * self.0.strides[axis];
            let places = first..first + self.0.kernel[axis];
            let start = places.start.saturating_sub(self.0.before[axis]);
            start..(places.end.saturating_sub(self.0.before[axis])).min(length)
        };
        Arch::new().dispatch(|| {
            for (image, output) in images.zip(outputs) {
                for (at, best) in output.chunks_exact_mut(channels).enumerate() {
                    best.fill(f32::NEG_INFINITY);
                    for y in inside(0, at / output_width, height) {
                        for x in inside(1, at % output_width, width) {
                            keep_larger(best, &image[(y * width + x) * channels..][..channels]);
                        }
                    }
                }
            }
        });
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for MaxPool {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        pooled_fact(&self.0, inputs, None)
    }

    as_op!();
}

/// `x W^T + b` for `[N, features]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dense {
    weights: Arc<Weights>,
    depth: usize,
}

impl Dense {
    /// For inputs of `depth` values and weights `[features, depth]`.
    pub(super) fn new(depth: usize, weight: &[f32], bias: Option<&[f32]>) -> Dense {
        let at = |feature: usize, place: usize| weight[feature * depth + place];
        Dense { weights: Arc::new(Weights::new(weight.len() / depth, depth, at, bias)), depth }
    }
}

impl Op for Dense {
    fn name(&self) -> StaticName {
        "Dense".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Dense {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let &[n, depth] = input.shape() else { bail!("{input:?}: expected [N, features]") };
        let origins: Vec<usize> = (0..n).map(|row| row * depth).collect();
        let windows = Windows { origins: &origins, runs: 1, run: depth, stride: 0 };
        let mut output = Tensor::zero::<f32>(&[n, self.weights.features()])?;
        let values = input.try_as_plain_ram()?.as_slice::<f32>()?;
        self.weights.apply(values, &windows, output.try_as_plain_ram_mut()?.as_slice_mut()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Dense {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else { bail!("{} inputs, expected 1", inputs.len()) };
        let &[ref n, ref depth] = &*input.shape.to_tvec() else { bail!("{input:?}: expected [N, features]") };
        ensure!(*depth == self.depth.to_dim(), "{input:?}: expected {} features", self.depth);
        Ok(tvec!(f32::fact([n.clone(), self.weights.features().to_dim()])))
    }

    as_op!();
}

fn pooled_fact(
    window: &Window,
    inputs: &[&TypedFact],
    features: Option<usize>,
) -> TractResult<TVec<TypedFact>> {
    let [input] = inputs else { bail!("{} inputs, expected 1", inputs.len()) };
    let &[ref n, ref height, ref width, ref channels] = &*input.shape.to_tvec() else {
        bail!("{input:?}: expected [N, H, W, C]")
    };
    let [height, width] = window.output([height.to_usize()?, width.to_usize()?]);
    let channels = features.map_or_else(|| channels.clone(), |features| features.to_dim());
    Ok(tvec!(f32::fact([n.clone(), height.to_dim(), width.to_dim(), channels])))
}

fn image(input: &TValue) -> TractResult<[usize; 4]> {
    input.shape().try_into().with_context(|| format!("{input:?}: expected [N, H, W, C]"))
}

/// The larger of each pair, into `best`.
#[inline(always)]
fn keep_larger(best: &mut [f32], values: &[f32]) {
    for (best, &value) in best.iter_mut().zip(values) {
        *best = if value > *best { value } else { *best };
    }
}

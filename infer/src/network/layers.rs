//! The layers that do the work, as operators of tract: on images `[N, H, W, C]`, in which each
//! pixel's channels fill vectors, and on `[N, features]`.

use std::cell::RefCell;
use std::sync::Arc;

use pulp::{Arch, Simd, WithSimd};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::file::Constant;
use super::product::{Weights, Windows};
use super::winograd::{Buffers, Winograd};

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

/// Convolution with a bias of images `[N, H, W, C]`, then perhaps ReLU and max-pooling.
#[derive(Debug, Clone)]
pub(super) struct Convolution {
    layer: Arc<Layer>,
    relu: bool,
    pool: Option<MaxPool>,
}

/// What does not change when ReLU and pooling join.
#[derive(Debug)]
struct Layer {
    method: Method,
    /// `[H, W, C]` that comes in.
    input: [usize; 3],
    /// Zeros above and to the left of it.
    before: [usize; 2],
    /// `[H, W, C]` with all zeros around it that `method` reads.
    padded: [usize; 3],
    /// `[H, W, features]` before pooling.
    output: [usize; 3],
}

#[derive(Debug)]
enum Method {
    /// Window by window, with the first value of each and the number of rows of all.
    Direct {
        weights: Weights,
        origins: Vec<usize>,
        kernel: [usize; 2],
    },
    Winograd(Winograd),
}

/// What a thread keeps between images.
#[derive(Default)]
struct Scratch {
    padded: Vec<f32>,
    convolved: Vec<f32>,
    buffers: Buffers,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The same layer, not an equal one: tract compares operators.
impl PartialEq for Convolution {
    fn eq(&self, other: &Convolution) -> bool {
        Arc::ptr_eq(&self.layer, &other.layer) && self.relu == other.relu && self.pool == other.pool
    }
}

impl Eq for Convolution {}

impl Convolution {
    /// For inputs `[H, W, C]` and weights `[features, C, kernel_height, kernel_width]`.
    pub(super) fn new(
        window: Window,
        input: [usize; 3],
        weight: &Constant,
        bias: Option<&Constant>,
    ) -> Convolution {
        let [height, width, channels] = input;
        let [rows, columns] = window.kernel;
        let features = weight.shape.first().copied().unwrap_or(0);
        let bias = bias.map_or_else(|| vec![0.0; features], Constant::values);
        let [output_height, output_width] = window.output([height, width]);
        let (method, [padded_height, padded_width]);
        if Winograd::fits(window.kernel, window.strides, channels, features) {
            let winograd = Winograd::new(&weight.values(), bias, channels, rows);
            [padded_height, padded_width] =
                [output_height, output_width].map(|length| winograd.reach(length));
            method = Method::Winograd(winograd);
        } else {
            let depth = rows * columns * channels;
            // From [C, kernel_height, kernel_width] to the order in which pixels lie.
            let at = |feature: usize, place: usize| {
                let (pixel, channel) = (place / channels, place % channels);
                weight.value(feature * depth + channel * rows * columns + pixel)
            };
            let weights = Weights::new(features, depth, at, bias);
            let [down, right] = window.strides;
            [padded_height, padded_width] =
                [(0, height), (1, width)].map(|(a, length)| window.before[a] + length + window.after[a]);
            let origin = |y: usize| move |x: usize| (y * down * padded_width + x * right) * channels;
            let origins = (0..output_height).flat_map(|y| (0..output_width).map(origin(y))).collect();
            method = Method::Direct { weights, origins, kernel: window.kernel };
        }
        let layer = Layer {
            method,
            input,
            before: window.before,
            padded: [padded_height, padded_width, channels],
            output: [output_height, output_width, features],
        };
        Convolution { layer: Arc::new(layer), relu: false, pool: None }
    }

    /// `[H, W, features]` that comes out.
    fn output(&self) -> [usize; 3] {
        let [height, width, features] = self.layer.output;
        let [height, width] =
            self.pool.as_ref().map_or([height, width], |pool| pool.0.output([height, width]));
        [height, width, features]
    }

    /// Followed by ReLU, unless something else follows already.
    pub(super) fn with_relu(&self) -> Option<Convolution> {
        (!self.relu && self.pool.is_none()).then(|| Convolution { relu: true, ..self.clone() })
    }

    /// Followed by max-pooling, unless that follows already.
    pub(super) fn with_pool(&self, pool: MaxPool) -> Option<Convolution> {
        self.pool.is_none().then(|| Convolution { pool: Some(pool), ..self.clone() })
    }
}

impl Layer {
    /// Outputs `[N, H, W, features]` for images `[N, H, W, C]`.
    fn apply(&self, images: &[f32], relu: bool, scratch: (&mut Vec<f32>, &mut Buffers), output: &mut [f32]) {
        let (padded, buffers) = scratch;
        let input = if self.padded == self.input {
            images
        } else {
            self.pad(images, padded);
            padded
        };
        let [height, width, features] = self.output;
        match &self.method {
            Method::Winograd(winograd) => winograd.apply(input, [height, width], relu, buffers, output),
            Method::Direct { weights, origins, kernel: [rows, columns] } => {
                let [_, padded_width, channels] = self.padded;
                let run = columns * channels;
                let windows = Windows { origins, runs: *rows, run, stride: padded_width * channels };
                let images = input.chunks_exact(self.padded.iter().product());
                for (image, output) in images.zip(output.chunks_exact_mut(height * width * features)) {
                    weights.apply(image, &windows, relu, output);
                }
            }
        }
    }

    /// The images with zeros around each.
    fn pad(&self, images: &[f32], padded: &mut Vec<f32>) {
        let ([height, width, channels], [rows, columns, _]) = (self.input, self.padded);
        let [top, left] = self.before;
        let count = images.len() / (height * width * channels);
        padded.clear();
        padded.resize(count * rows * columns * channels, 0.0);
        let images = images.chunks_exact(height * width * channels);
        for (image, padded) in images.zip(padded.chunks_exact_mut(rows * columns * channels)) {
            let rows = padded.chunks_exact_mut(columns * channels).skip(top);
            for (row, values) in rows.zip(image.chunks_exact(width * channels)) {
                row[left * channels..][..values.len()].copy_from_slice(values);
            }
        }
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
        let layer = &*self.layer;
        let [n, ..] = image(&input)?;
        let [height, width, features] = self.output();
        let mut output = Tensor::zero::<f32>(&[n, height, width, features])?;
        let images = input.try_as_plain_ram()?.as_slice::<f32>()?;
        let mut view = output.try_as_plain_ram_mut()?;
        let outputs = view.as_slice_mut()?;
        SCRATCH.with_borrow_mut(|Scratch { padded, convolved, buffers }| match &self.pool {
            None => layer.apply(images, self.relu, (padded, buffers), outputs),
            Some(pool) => {
                convolved.resize(n * layer.output.iter().product::<usize>(), 0.0);
                layer.apply(images, self.relu, (padded, buffers), convolved);
                pool.apply(convolved, layer.output, outputs);
            }
        });
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Convolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [n, shape] = image_fact(inputs)?;
        let [height, width, channels] = self.layer.input;
        ensure!(shape.as_slice() == [height.to_dim(), width.to_dim(), channels.to_dim()], "{shape:?}");
        let [height, width, features] = self.output();
        Ok(tvec!(f32::fact([n[0].clone(), height.to_dim(), width.to_dim(), features.to_dim()])))
    }

    as_op!();
}

/// Maximum over windows of `[N, H, W, C]`; padding does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MaxPool(pub(super) Window);

impl MaxPool {
    /// Outputs `[N, H, W, C]` for images `[N, H, W, C]`, of which `shape` is one.
    fn apply(&self, images: &[f32], shape: [usize; 3], output: &mut [f32]) {
        let [height, width, channels] = shape;
        let [output_height, output_width] = self.0.output([height, width]);
        let outputs = output.chunks_exact_mut(output_height * output_width * channels);
        let arch = Arch::new();
        for (image, output) in images.chunks_exact(height * width * channels).zip(outputs) {
            arch.dispatch(Maxima { window: &self.0, image, shape, output });
        }
    }
}

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
        let size = self.0.output([height, width]);
        let mut output = Tensor::zero::<f32>(&[n, size[0], size[1], channels])?;
        let images = input.try_as_plain_ram()?.as_slice::<f32>()?;
        let mut view = output.try_as_plain_ram_mut()?;
        self.apply(images, [height, width, channels], view.as_slice_mut()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for MaxPool {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [n, shape] = image_fact(inputs)?;
        let [height, width] = self.0.output([shape[0].to_usize()?, shape[1].to_usize()?]);
        Ok(tvec!(f32::fact([n[0].clone(), height.to_dim(), width.to_dim(), shape[2].clone()])))
    }

    as_op!();
}

struct Maxima<'a> {
    window: &'a Window,
    image: &'a [f32],
    shape: [usize; 3],
    output: &'a mut [f32],
}

impl WithSimd for Maxima<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [height, width, channels] = self.shape;
        let [_, output_width] = self.window.output([height, width]);
        // Places of one window inside the image, along one axis.
        let inside = |axis: usize, at: usize, length: usize| {
            let Window { kernel, strides, before, .. } = self.window;
            let end = at * strides[axis] + kernel[axis] - before[axis];
            (at * strides[axis]).saturating_sub(before[axis])..end.min(length)
        };
        for (at, output) in self.output.chunks_exact_mut(channels).enumerate() {
            let rows = inside(0, at / output_width, height);
            let columns = inside(1, at % output_width, width);
            let (whole, rest) = S::as_mut_simd_f32s(output);
            let done = whole.len() * S::F32_LANES;
            for (vector, output) in whole.iter_mut().enumerate() {
                let mut best = simd.splat_f32s(f32::NEG_INFINITY);
                for y in rows.clone() {
                    for x in columns.clone() {
                        let (pixel, _) =
                            S::as_simd_f32s(&self.image[(y * width + x) * channels..][..channels]);
                        best = simd.max_f32s(pixel[vector], best);
                    }
                }
                *output = best;
            }
            for (channel, output) in rest.iter_mut().enumerate() {
                let pixels = rows.clone().flat_map(|y| columns.clone().map(move |x| y * width + x));
                let values = pixels.map(|pixel| self.image[pixel * channels + done + channel]);
                *output = values.fold(f32::NEG_INFINITY, f32::max);
            }
        }
    }
}

/// `x W^T + b` for `[N, features]`, then perhaps ReLU.
#[derive(Debug, Clone)]
pub(super) struct Dense {
    weights: Arc<Weights>,
    depth: usize,
    relu: bool,
}

impl PartialEq for Dense {
    fn eq(&self, other: &Dense) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights) && self.relu == other.relu
    }
}

impl Eq for Dense {}

impl Dense {
    /// For weights `[features, depth]`.
    pub(super) fn new(weight: &Constant, bias: Option<&Constant>) -> Dense {
        let [features, depth] = [0, 1].map(|axis| weight.shape.get(axis).copied().unwrap_or(0));
        let at = |feature: usize, place: usize| weight.value(feature * depth + place);
        let bias = bias.map_or_else(|| vec![0.0; features], Constant::values);
        Dense { weights: Arc::new(Weights::new(features, depth, at, bias)), depth, relu: false }
    }

    /// Followed by ReLU, unless it is already.
    pub(super) fn with_relu(&self) -> Option<Dense> {
        (!self.relu).then(|| Dense { relu: true, ..self.clone() })
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
        self.weights.apply(values, &windows, self.relu, output.try_as_plain_ram_mut()?.as_slice_mut()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Dense {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else { bail!("{} inputs, expected 1", inputs.len()) };
        let [n, depth] = &*input.shape.to_tvec() else { bail!("{input:?}: expected [N, features]") };
        ensure!(*depth == self.depth.to_dim(), "{input:?}: expected {} features", self.depth);
        Ok(tvec!(f32::fact([n.clone(), self.weights.features().to_dim()])))
    }

    as_op!();
}

/// `[N]` and `[H, W, C]` of the only input.
fn image_fact(inputs: &[&TypedFact]) -> TractResult<[TVec<TDim>; 2]> {
    let [input] = inputs else { bail!("{} inputs, expected 1", inputs.len()) };
    let shape = input.shape.to_tvec();
    ensure!(shape.len() == 4, "{input:?}: expected [N, H, W, C]");
    let (n, image) = shape.split_at(1);
    Ok([n.iter().cloned().collect(), image.iter().cloned().collect()])
}

fn image(input: &TValue) -> TractResult<[usize; 4]> {
    input.shape().try_into().with_context(|| format!("{input:?}: expected [N, H, W, C]"))
}

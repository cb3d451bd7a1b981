//! The layers that do the work, as operators of tract on the kernels of this workspace: on images
//! `[N, H, W, C]`, in which each pixel's channels fill vectors, and on `[N, features]`.
//!
//! tract's own pooling is not vectorised and lists all pixels of all windows, its convolution copies
//! windows, and both lay images out by channels.

use std::cell::RefCell;
use std::sync::Arc;

use kernels::{Clamp, Conv2d, IndirectionBuffer, PackedWeights, Scratch};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::file::Constant;

/// Convolution with a bias of images `[N, H, W, C]`, then perhaps a clamp such as ReLU, and max-pooling.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    conv: Arc<Conv2d>,
    clamp: Clamp,
    pool: Option<kernels::MaxPool>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The same layer, not an equal one: tract compares operators.
impl PartialEq for Convolution {
    fn eq(&self, other: &Convolution) -> bool {
        Arc::ptr_eq(&self.conv, &other.conv) && self.clamp == other.clamp && self.pool == other.pool
    }
}

impl Eq for Convolution {}

impl Convolution {
    /// For inputs `[H, W, C]` and weights `[features, C / groups, kernel_height, kernel_width]`.
    pub(super) fn new(
        window: kernels::Window,
        input: [usize; 3],
        groups: usize,
        weight: &Constant,
        bias: Option<&Constant>,
    ) -> Convolution {
        let features = weight.shape[0];
        let bias = bias.map_or_else(|| vec![0.0; features], Constant::values);
        let conv = Conv2d::new(window, input, groups, |index| weight.value(index), bias);
        Convolution { conv: Arc::new(conv), clamp: Clamp::NONE, pool: None }
    }

    /// `[H, W, features]` that comes out.
    fn output(&self) -> [usize; 3] {
        let [height, width, features] = self.conv.output();
        let [height, width] =
            self.pool.as_ref().map_or([height, width], |pool| pool.window.output([height, width]));
        [height, width, features]
    }

    /// Followed by a clamp, unless something else follows already.
    pub(super) fn with_clamp(&self, clamp: Clamp) -> Option<Convolution> {
        (self.clamp == Clamp::NONE && self.pool.is_none()).then(|| Convolution { clamp, ..self.clone() })
    }

    /// Equal for layers that share their weights.
    pub(crate) fn weights(&self) -> *const () {
        Arc::as_ptr(&self.conv).cast()
    }

    /// Outputs `[N, H', W', features]` for images `[N, H, W, C]`.
    pub(crate) fn forward(&self, images: &[f32], scratch: &mut Scratch, outputs: &mut [f32]) {
        match &self.pool {
            None => self.conv.forward(images, self.clamp, scratch, outputs),
            Some(pool) => self.conv.forward_pooled(images, self.clamp, pool, scratch, outputs),
        }
    }

    /// Followed by max-pooling, unless that follows already.
    pub(super) fn with_pool(&self, pool: kernels::MaxPool) -> Option<Convolution> {
        self.pool.is_none().then(|| Convolution { pool: Some(pool), ..self.clone() })
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
        let [n, ..] = image(&input)?;
        let [height, width, features] = self.output();
        let mut output = Tensor::zero::<f32>(&[n, height, width, features])?;
        let images = input.try_as_plain_ram()?.as_slice::<f32>()?;
        let mut view = output.try_as_plain_ram_mut()?;
        let outputs = view.as_slice_mut()?;
        SCRATCH.with_borrow_mut(|scratch| self.forward(images, scratch, outputs));
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Convolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [n, shape] = image_fact(inputs)?;
        let [height, width, channels] = self.conv.input();
        ensure!(shape.as_slice() == [height.to_dim(), width.to_dim(), channels.to_dim()], "{shape:?}");
        let [height, width, features] = self.output();
        Ok(tvec!(f32::fact([n[0].clone(), height.to_dim(), width.to_dim(), features.to_dim()])))
    }

    as_op!();
}

/// Maximum or mean over windows of `[N, H, W, C]`; padding does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pool {
    Max(kernels::MaxPool),
    Average(kernels::AvgPool),
}

impl Pool {
    fn window(&self) -> &kernels::Window {
        match self {
            Pool::Max(pool) => &pool.window,
            Pool::Average(pool) => &pool.window,
        }
    }

    /// Outputs `[N, H', W', C]` for images `[N, H, W, C]`, of which `shape` is `[H, W, C]`.
    pub(crate) fn forward(&self, images: &[f32], shape: [usize; 3], outputs: &mut [f32]) {
        match self {
            Pool::Max(pool) => pool.forward(images, shape, outputs),
            Pool::Average(pool) => pool.forward(images, shape, outputs),
        }
    }
}

impl Op for Pool {
    fn name(&self) -> StaticName {
        "Pool".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Pool {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let [n, height, width, channels] = image(&input)?;
        let size = self.window().output([height, width]);
        let mut output = Tensor::zero::<f32>(&[n, size[0], size[1], channels])?;
        let images = input.try_as_plain_ram()?.as_slice::<f32>()?;
        let mut view = output.try_as_plain_ram_mut()?;
        self.forward(images, [height, width, channels], view.as_slice_mut()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Pool {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [n, shape] = image_fact(inputs)?;
        let [height, width] = self.window().output([shape[0].to_usize()?, shape[1].to_usize()?]);
        Ok(tvec!(f32::fact([n[0].clone(), height.to_dim(), width.to_dim(), shape[2].clone()])))
    }

    as_op!();
}

/// `x W^T + b` for `[N, features]`, or `[N, H, W, C]` as the features that it has, then perhaps a clamp.
#[derive(Debug, Clone)]
pub(crate) struct Dense {
    weights: Arc<PackedWeights>,
    depth: usize,
    clamp: Clamp,
}

impl PartialEq for Dense {
    fn eq(&self, other: &Dense) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights) && self.clamp == other.clamp
    }
}

impl Eq for Dense {}

impl Dense {
    /// For weights `[features, depth]`.
    pub(super) fn new(weight: &Constant, bias: Option<&Constant>) -> Dense {
        let [features, depth] = [weight.shape[0], weight.shape[1]];
        let at = |feature: usize, place: usize| weight.value(feature * depth + place);
        let bias = bias.map_or_else(|| vec![0.0; features], Constant::values);
        Dense::of(PackedWeights::new(features, depth, at, bias), depth)
    }

    /// For packed weights of `depth` features that come in.
    pub(crate) fn of(weights: PackedWeights, depth: usize) -> Dense {
        Dense { weights: Arc::new(weights), depth, clamp: Clamp::NONE }
    }

    /// Equal for layers that share their weights.
    pub(crate) fn weights(&self) -> *const () {
        Arc::as_ptr(&self.weights).cast()
    }

    /// Features that come in.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Outputs `[N, features]` for `[N, depth]`; `origins` is memory that is kept between calls.
    pub(crate) fn forward(&self, input: &[f32], origins: &mut Vec<usize>, output: &mut [f32]) {
        origins.clear();
        origins.extend((0..input.len()).step_by(self.depth));
        let windows = IndirectionBuffer { origins, runs: &[0], run_length: self.depth };
        self.weights.forward(input, windows, self.clamp, output);
    }

    /// Followed by a clamp, unless it is already.
    pub(super) fn with_clamp(&self, clamp: Clamp) -> Option<Dense> {
        (self.clamp == Clamp::NONE).then(|| Dense { clamp, ..self.clone() })
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
        let &n = input.shape().first().context("expected [N, features]")?;
        let mut output = Tensor::zero::<f32>(&[n, self.weights.features()])?;
        let values = input.try_as_plain_ram()?.as_slice::<f32>()?;
        let mut view = output.try_as_plain_ram_mut()?;
        self.forward(values, &mut Vec::new(), view.as_slice_mut()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Dense {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else { bail!("{} inputs, expected 1", inputs.len()) };
        let shape = input.shape.to_tvec();
        let (n, features) = shape.split_first().context("expected [N, features]")?;
        let depth: TDim = features.iter().product();
        ensure!(depth == self.depth.to_dim(), "{input:?}: expected {} features", self.depth);
        Ok(tvec!(f32::fact([n.clone(), self.weights.features().to_dim()])))
    }

    as_op!();
}

/// `[N]` and `[H, W, C]` of the only input.
pub(super) fn image_fact(inputs: &[&TypedFact]) -> TractResult<[TVec<TDim>; 2]> {
    let [input] = inputs else { bail!("{} inputs, expected 1", inputs.len()) };
    let shape = input.shape.to_tvec();
    ensure!(shape.len() == 4, "{input:?}: expected [N, H, W, C]");
    let (n, image) = shape.split_at(1);
    Ok([n.iter().cloned().collect(), image.iter().cloned().collect()])
}

pub(super) fn image(input: &TValue) -> TractResult<[usize; 4]> {
    input.shape().try_into().with_context(|| format!("{input:?}: expected [N, H, W, C]"))
}

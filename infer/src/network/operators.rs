//! The operators of published models: what each ONNX node becomes in tract.
//!
//! Source: the ONNX operator reference, opset 17. An attribute that is not named here is
//! refused, so that nothing is ever silently left out of a computation.

use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::logic::{Iff, comp_lt};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer, Softmax, SoftmaxKind};
use tract_onnx::tract_core::ops::nn::{leaky_relu, sigmoid};

use super::per_image;

/// Largest number of rows and columns of a window: tract keeps an offset for each of its places.
const MAX_KERNEL: usize = 1024;
/// ONNX's number for `float32` as the target of a cast.
const FLOAT: i64 = 1;

/// Adds a node to the model and returns its output.
pub(super) fn wire(model: &mut TypedModel, node: &NodeProto, inputs: &[OutletId]) -> TractResult<OutletId> {
    ensure!(node.domain.is_empty(), "unknown domain {:?}", node.domain);
    let mut operator = Operator { model, node, inputs };
    match node.op_type.as_str() {
        "Add" => operator.binary(math::add()),
        "AveragePool" => operator.average_pool(),
        "Cast" => operator.cast(),
        "Conv" => operator.conv(),
        "Elu" => operator.elu(),
        "Erf" => operator.unary(math::erf()),
        "Flatten" => operator.flatten(),
        "Gemm" => operator.dense(),
        "GlobalAveragePool" => operator.global_average_pool(),
        "LeakyRelu" => operator.leaky_relu(),
        "MaxPool" => operator.max_pool(),
        "Mul" => operator.binary(math::mul()),
        "Relu" => operator.relu(),
        "Sigmoid" => operator.unary(sigmoid()),
        "Softmax" => operator.softmax(),
        "Tanh" => operator.unary(math::tanh()),
        _ => bail!("unknown operator"),
    }
}

struct Operator<'a> {
    model: &'a mut TypedModel,
    node: &'a NodeProto,
    inputs: &'a [OutletId],
}

/// `kernel_shape`, `strides` and `pads` of a window over images.
struct Window {
    kernel: TVec<usize>,
    strides: TVec<usize>,
    before: TVec<usize>,
    after: TVec<usize>,
}

impl Window {
    fn spec(
        self,
        padding: impl Fn(TVec<usize>, TVec<usize>) -> PaddingSpec,
        input_channels: usize,
        output_channels: usize,
    ) -> PoolSpec {
        PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: self.kernel,
            padding: padding(self.before, self.after),
            dilations: None,
            strides: Some(self.strides),
            input_channels,
            output_channels,
        }
    }
}

impl Operator<'_> {
    fn binary(&mut self, op: TypedBinOp) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let [a, b] = *self.inputs else { bail!("{} inputs, expected 2", self.inputs.len()) };
        let out = only(&wire_with_rank_broadcast(&self.node.name, self.model, op, &[a, b])?)?;
        let shape = |outlet| Ok::<_, TractError>(self.model.outlet_fact(outlet)?.shape.clone());
        ensure!(shape(out)? == shape(a)?, "{:?} and {:?}: shapes that do not fit", shape(a)?, shape(b)?);
        Ok(out)
    }

    fn unary(&mut self, op: impl Into<Box<dyn TypedOp>>) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let x = only(self.inputs)?;
        self.add("", op, &[x])
    }

    fn cast(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["to"])?;
        let to = self.node.get_attr::<i64>("to")?;
        ensure!(to == FLOAT, "attribute \"to\": {to}, expected {FLOAT}");
        let x = only(self.inputs)?;
        self.add("", cast::cast(f32::datum_type()), &[x])
    }

    fn relu(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let x = only(self.inputs)?;
        let zero = self.scalar("zero", 0.0, x)?;
        self.add("", math::max(), &[x, zero])
    }

    fn leaky_relu(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["alpha"])?;
        let x = only(self.inputs)?;
        let alpha = self.node.get_attr_opt("alpha")?.unwrap_or(0.01);
        self.add("", leaky_relu(alpha), &[x])
    }

    /// `x` above 0, `alpha (exp x - 1)` below.
    fn elu(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["alpha"])?;
        let x = only(self.inputs)?;
        let zero = self.scalar("zero", 0.0, x)?;
        let one = self.scalar("one", 1.0, x)?;
        let alpha = self.scalar("alpha", self.node.get_attr_opt("alpha")?.unwrap_or(1.0), x)?;
        let exp = self.add(".exp", math::exp(), &[x])?;
        let shifted = self.add(".shifted", math::sub(), &[exp, one])?;
        let below = self.add(".below", math::mul(), &[alpha, shifted])?;
        let positive = self.add(".positive", TypedBinOp(comp_lt(), None), &[zero, x])?;
        self.add("", Iff, &[positive, x, below])
    }

    fn conv(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["kernel_shape", "pads", "strides"])?;
        let (x, weight, bias) = self.weights(4)?;
        let [features, channels, height, width] = self
            .model
            .outlet_fact(weight)?
            .shape
            .as_concrete()
            .and_then(|shape| <[usize; 4]>::try_from(shape).ok())
            .context("weight: expected 4 dimensions")?;
        let window = self.window(x, Some([height, width]))?;
        let pool_spec = window.spec(PaddingSpec::Explicit, channels, features);
        let conv = Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group: 1, q_params: None };
        let bias = match bias {
            Some(bias) => bias,
            None => self.model.add_const(format!("{}.no_bias", self.node.name), tensor0(0f32))?,
        };
        self.add("", conv, &[x, weight, bias])
    }

    /// `x W^T + b`.
    fn dense(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["transB"])?;
        ensure!(self.node.get_attr_opt::<i64>("transB")? == Some(1), "attribute \"transB\": expected 1");
        let (x, weight, bias) = self.weights(2)?;
        let axes = AxesMapping::for_numpy_matmul(2, false, true, false)?;
        let product = self.add(".product", EinSum::new(axes, f32::datum_type()), &[x, weight])?;
        let Some(bias) = bias else { return Ok(product) };
        only(&wire_with_rank_broadcast(&self.node.name, self.model, math::add(), &[product, bias])?)
    }

    fn max_pool(&mut self) -> TractResult<OutletId> {
        let (x, pool_spec) = self.pool()?;
        self.add("", MaxPool { pool_spec, with_index_outputs: None }, &[x])
    }

    fn average_pool(&mut self) -> TractResult<OutletId> {
        let (x, pool_spec) = self.pool()?;
        self.add("", SumPool { pool_spec, count_include_pad: false, normalize: true }, &[x])
    }

    fn pool(&self) -> TractResult<(OutletId, PoolSpec)> {
        self.only_attributes(&["kernel_shape", "pads", "strides"])?;
        let x = only(self.inputs)?;
        let window = self.window(x, None)?;
        let [channels, ..] = self.image(x)?;
        let padding = |before, after| PaddingSpec::ExplicitOnnxPool(before, after, false);
        Ok((x, window.spec(padding, channels, channels)))
    }

    fn global_average_pool(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let x = only(self.inputs)?;
        let [_, height, width] = self.image(x)?;
        let sum = self.add(".sum", Reduce::new(tvec![2, 3], Reducer::Sum), &[x])?;
        let count = self.scalar("count", (height * width) as f32, x)?;
        self.add("", math::div(), &[sum, count])
    }

    fn flatten(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["axis"])?;
        ensure!(self.node.get_attr_opt("axis")?.unwrap_or(1i64) == 1, "attribute \"axis\": expected 1");
        let x = only(self.inputs)?;
        let from = per_image(self.model, x)?;
        let to = from.iter().product::<usize>().to_dim();
        let from = from.iter().map(|d| d.to_dim()).collect();
        self.add("", AxisOp::Reshape(1, from, tvec![to]), &[x])
    }

    fn softmax(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["axis"])?;
        ensure!(self.node.get_attr_opt("axis")?.unwrap_or(-1i64) == -1, "attribute \"axis\": expected -1");
        let x = only(self.inputs)?;
        let last = self.model.outlet_fact(x)?.rank().checked_sub(1).context("expected a dimension")?;
        self.add("", Softmax::new(tvec![last], None, SoftmaxKind::Softmax), &[x])
    }

    /// Adds a tract operator named like the node, with a suffix where a node becomes several.
    fn add(
        &mut self,
        suffix: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        only(&self.model.wire_node(format!("{}{suffix}", self.node.name), op, inputs)?)
    }

    /// A constant with the rank of `like`.
    fn scalar(&mut self, suffix: &str, value: f32, like: OutletId) -> TractResult<OutletId> {
        let value = tensor0(value).broadcast_into_rank(self.model.outlet_fact(like)?.rank())?;
        self.model.add_const(format!("{}.{suffix}", self.node.name), value)
    }

    /// Input, weight and perhaps bias of a layer, whose shapes fit.
    fn weights(&self, rank: usize) -> TractResult<(OutletId, OutletId, Option<OutletId>)> {
        let (x, weight, bias) = match *self.inputs {
            [x, weight] => (x, weight, None),
            [x, weight, bias] => (x, weight, Some(bias)),
            _ => bail!("{} inputs, expected 2 or 3", self.inputs.len()),
        };
        let fact = self.model.outlet_fact(weight)?;
        ensure!(
            fact.konst.is_some() && fact.rank() == rank,
            "weight {fact:?}: expected a constant of rank {rank}"
        );
        let input = self.model.outlet_fact(x)?;
        ensure!(input.datum_type.is_float() && input.rank() == rank, "input {input:?}: expected rank {rank}");
        ensure!(input.shape.get(1) == fact.shape.get(1), "input {input:?} does not fit weight {fact:?}");
        if let Some(bias) = bias {
            let bias = self.model.outlet_fact(bias)?;
            let fits = bias.rank() == 1 && bias.shape.first() == fact.shape.first();
            ensure!(bias.konst.is_some() && fits, "bias {bias:?} does not fit weight {fact:?}");
        }
        Ok((x, weight, bias))
    }

    /// `[C, H, W]`.
    fn image(&self, x: OutletId) -> TractResult<[usize; 3]> {
        let shape = per_image(self.model, x)?;
        shape.as_slice().try_into().with_context(|| format!("input {shape:?}: expected [C, H, W]"))
    }

    /// The window's attributes, such that at least one window fits into the padded image.
    fn window(&self, x: OutletId, kernel: Option<[usize; 2]>) -> TractResult<Window> {
        let list = |name: &str, length: usize| -> TractResult<TVec<usize>> {
            let list = self.node.get_attr_tvec::<usize>(name)?;
            ensure!(list.len() == length, "attribute {name:?}: {list:?}, expected {length} numbers");
            Ok(list)
        };
        let (shape, strides, pads) = (list("kernel_shape", 2)?, list("strides", 2)?, list("pads", 4)?);
        if let Some(kernel) = kernel {
            ensure!(shape.as_slice() == kernel, "attribute \"kernel_shape\": {shape:?}, weight {kernel:?}");
        }
        let (before, after) = pads.split_at(2);
        let [_, height, width] = self.image(x)?;
        for (axis, length) in [height, width].into_iter().enumerate() {
            let numbers = (shape.get(axis), strides.get(axis), before.get(axis), after.get(axis));
            let (Some(&kernel), Some(&stride), Some(&before), Some(&after)) = numbers else { continue };
            let fits = (1..=MAX_KERNEL).contains(&kernel)
                && stride > 0
                && before < kernel
                && after < kernel
                && kernel <= length.saturating_add(before + after);
            ensure!(
                fits,
                "window {kernel}, stride {stride}, padding {before} and {after} does not fit {length}"
            );
        }
        Ok(Window { kernel: shape, strides, before: before.into(), after: after.into() })
    }

    fn only_attributes(&self, names: &[&str]) -> TractResult<()> {
        match self.node.attribute.iter().find(|attribute| !names.contains(&attribute.name.as_str())) {
            Some(other) => bail!("unknown attribute {:?}, expected {names:?}", other.name),
            None => Ok(()),
        }
    }
}

fn only(outlets: &[OutletId]) -> TractResult<OutletId> {
    match *outlets {
        [outlet] => Ok(outlet),
        _ => bail!("{} values, expected 1", outlets.len()),
    }
}

//! The operators of published models: what each ONNX node becomes in tract.
//!
//! Source: the ONNX operator reference, opset 17. An attribute that is not named here is
//! refused, so that nothing is ever silently left out of a computation.

use kernels::Clamp;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast;
use tract_onnx::tract_core::ops::logic::{Iff, comp_lt};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};
use tract_onnx::tract_core::ops::nn::{leaky_relu, sigmoid};

use super::facts::{only, per_image};
use super::layers::{Convolution, Dense, Pool};
use super::operator::{Input, Operator, Shared};

/// ONNX's number for `float32` as the target of a cast.
const FLOAT: i64 = 1;

/// Adds a node to the model and returns its output; `alone` if nothing else reads its first
/// input.
pub(super) fn wire(
    model: &mut TypedModel,
    node: &NodeProto,
    inputs: &[Input<'_>],
    alone: bool,
    shared: &mut Shared,
) -> TractResult<OutletId> {
    ensure!(node.domain.is_empty(), "unknown domain {:?}", node.domain);
    let mut operator = Operator { model, node, inputs, alone, shared };
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
        "GlobalMaxPool" => operator.global_max_pool(),
        "HardSwish" => operator.hard_swish(),
        "LayerNormalization" => operator.layer_normalization(),
        "LeakyRelu" => operator.leaky_relu(),
        "MaxPool" => operator.max_pool(),
        "Mul" => operator.binary(math::mul()),
        "Pad" => operator.pad(),
        "Relu" => operator.relu(),
        "Sigmoid" => operator.unary(sigmoid()),
        "Slice" => operator.slice(),
        "Softmax" => operator.softmax(),
        "Tanh" => operator.unary(math::tanh()),
        _ => bail!("unknown operator"),
    }
}

/// Whether an operator's output has the shape of its input, value for value.
pub(super) fn keeps_shape(op_type: &str) -> bool {
    ["Add", "Elu", "Erf", "HardSwish", "LayerNormalization", "LeakyRelu", "Mul", "Relu", "Sigmoid", "Tanh"]
        .contains(&op_type)
}

impl Operator<'_> {
    fn binary(&mut self, op: TypedBinOp) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let &[a, b] = self.inputs else { bail!("{} inputs, expected 2", self.inputs.len()) };
        let (a, b) = (self.operand(a, "a")?, self.operand(b, "b")?);
        let out = only(&wire_with_rank_broadcast(&self.node.name, self.model, op, &[a, b])?)?;
        let shape = |outlet| Ok::<_, TractError>(self.model.outlet_fact(outlet)?.shape.clone());
        ensure!(shape(out)? == shape(a)?, "{:?} and {:?}: shapes that do not fit", shape(a)?, shape(b)?);
        Ok(out)
    }

    fn unary(&mut self, op: impl Into<Box<dyn TypedOp>>) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let x = self.input()?;
        self.add("", op, &[x])
    }

    fn cast(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["to"])?;
        let to = self.node.get_attr::<i64>("to")?;
        ensure!(to == FLOAT, "attribute \"to\": {to}, expected {FLOAT}");
        let x = self.input()?;
        self.add("", cast::cast(f32::datum_type()), &[x])
    }

    fn relu(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let x = self.input()?;
        if let Some(joined) = self.producer::<Convolution>(x).and_then(|conv| conv.with_clamp(Clamp::RELU)) {
            return self.join(x, joined);
        }
        if let Some(joined) = self.producer::<Dense>(x).and_then(|dense| dense.with_clamp(Clamp::RELU)) {
            return self.join(x, joined);
        }
        let zero = self.scalar("zero", 0.0, x)?;
        self.add("", math::max(), &[x, zero])
    }

    fn leaky_relu(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["alpha"])?;
        let x = self.input()?;
        let alpha = self.node.get_attr_opt("alpha")?.unwrap_or(0.01);
        self.add("", leaky_relu(alpha), &[x])
    }

    /// `x` above 0, `alpha (exp x - 1)` below.
    fn elu(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["alpha"])?;
        let x = self.input()?;
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
        self.only_attributes(&["dilations", "group", "kernel_shape", "pads", "strides"])?;
        let groups = usize::try_from(self.node.get_attr_opt("group")?.unwrap_or(1i64))?;
        let (x, weight, bias) = self.weights(4, groups)?;
        let &[_, _, height, width] = &*weight.shape else { bail!("weight: expected 4 dimensions") };
        let window = self.window(x, Some([height, width]))?;
        let image = self.image(x)?;
        let key = (self.node.input[1..].to_vec(), window, image, groups);
        if let Some(packed) = self.shared.convolutions.get(&key) {
            return self.add("", packed.clone(), &[x]);
        }
        self.take(kernels::Conv2d::bytes(&window, image, groups, weight.shape[0]))?;
        let conv = Convolution::new(window, image, groups, weight, bias);
        self.shared.convolutions.insert(key, conv.clone());
        self.add("", conv, &[x])
    }

    fn dense(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["transB"])?;
        ensure!(self.node.get_attr_opt::<i64>("transB")? == Some(1), "attribute \"transB\": expected 1");
        let (x, weight, bias) = self.weights(2, 1)?;
        let key = self.node.input[1..].to_vec();
        if let Some(packed) = self.shared.dense.get(&key) {
            return self.add("", packed.clone(), &[x]);
        }
        self.take(kernels::PackedWeights::bytes(weight.shape[0], weight.shape[1]))?;
        let dense = Dense::new(weight, bias);
        self.shared.dense.insert(key, dense.clone());
        self.add("", dense, &[x])
    }

    fn max_pool(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["kernel_shape", "pads", "strides"])?;
        let x = self.input()?;
        let pool = kernels::MaxPool { window: self.window(x, None)? };
        match self.producer::<Convolution>(x).and_then(|convolution| convolution.with_pool(pool)) {
            Some(joined) => self.join(x, joined),
            None => self.add("", Pool::Max(pool), &[x]),
        }
    }

    fn average_pool(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["kernel_shape", "pads", "strides"])?;
        let x = self.input()?;
        let pool = kernels::AvgPool { window: self.window(x, None)? };
        self.add("", Pool::Average(pool), &[x])
    }

    fn global_average_pool(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let x = self.input()?;
        let [height, width, _] = self.image(x)?;
        let sum = self.add(".sum", Reduce::new(tvec![1, 2], Reducer::Sum), &[x])?;
        let count = self.scalar("count", (height * width) as f32, x)?;
        self.add("", math::div(), &[sum, count])
    }

    fn global_max_pool(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let x = self.input()?;
        self.image(x)?;
        self.add("", Reduce::new(tvec![1, 2], Reducer::Max), &[x])
    }

    /// `x max(0, min(1, x / 6 + 1 / 2))`.
    fn hard_swish(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let x = self.input()?;
        let [sixth, half] =
            [("sixth", 1.0 / 6.0), ("half", 0.5)].map(|(name, value)| self.scalar(name, value, x));
        let [zero, one] = [("zero", 0.0), ("one", 1.0)].map(|(name, value)| self.scalar(name, value, x));
        let scaled = self.add(".scaled", math::mul(), &[x, sixth?])?;
        let shifted = self.add(".shifted", math::add(), &[scaled, half?])?;
        let above = self.add(".above", math::max(), &[shifted, zero?])?;
        let gate = self.add(".gate", math::min(), &[above, one?])?;
        self.add("", math::mul(), &[x, gate])
    }

    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, over all values of an image.
    fn layer_normalization(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["axis", "epsilon"])?;
        ensure!(self.node.get_attr_opt("axis")?.unwrap_or(-1i64) == 1, "attribute \"axis\": expected 1");
        let &[Input::Value(x), Input::Constant(scale), Input::Constant(bias)] = self.inputs else {
            bail!("{} inputs, expected a value, a scale and a bias", self.inputs.len());
        };
        let shape = per_image(self.model, x)?;
        let axes: TVec<usize> = (1..=shape.len()).collect();
        let count = self.scalar("count", shape.iter().product::<usize>() as f32, x)?;
        let epsilon = self.scalar("epsilon", self.node.get_attr_opt("epsilon")?.unwrap_or(1e-5), x)?;
        let sum = self.add(".sum", Reduce::new(axes.clone(), Reducer::Sum), &[x])?;
        let mean = self.add(".mean", math::div(), &[sum, count])?;
        let centred = self.add(".centred", math::sub(), &[x, mean])?;
        let squares = self.add(".squares", math::mul(), &[centred, centred])?;
        let total = self.add(".total", Reduce::new(axes, Reducer::Sum), &[squares])?;
        let variance = self.add(".variance", math::div(), &[total, count])?;
        let safe = self.add(".safe", math::add(), &[variance, epsilon])?;
        let deviation = self.add(".deviation", math::sqrt(), &[safe])?;
        let normal = self.add(".normal", math::div(), &[centred, deviation])?;
        let (scale, bias) = (self.per_value(scale, "scale", x)?, self.per_value(bias, "bias", x)?);
        let scaled = self.add(".scaled", math::mul(), &[normal, scale])?;
        self.add("", math::add(), &[scaled, bias])
    }

    fn flatten(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["axis"])?;
        ensure!(self.node.get_attr_opt("axis")?.unwrap_or(1i64) == 1, "attribute \"axis\": expected 1");
        let mut x = self.input()?;
        if self.model.outlet_fact(x)?.rank() == 4 {
            // ONNX flattens [C, H, W].
            x = self.add(".channels_first", AxisOp::Move(3, 1), &[x])?;
        }
        let from = per_image(self.model, x)?;
        let to = from.iter().product::<usize>().to_dim();
        let from = from.iter().map(|d| d.to_dim()).collect();
        self.add("", AxisOp::Reshape(1, from, tvec![to]), &[x])
    }

    fn softmax(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["axis"])?;
        ensure!(self.node.get_attr_opt("axis")?.unwrap_or(-1i64) == -1, "attribute \"axis\": expected -1");
        let x = self.input()?;
        let last = self.model.outlet_fact(x)?.rank().checked_sub(1).context("expected a dimension")?;
        self.add("", Softmax::new(tvec![last], None, SoftmaxKind::Softmax), &[x])
    }
}

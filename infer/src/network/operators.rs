//! The operators of published models: what each ONNX node becomes in tract.
//!
//! Source: the ONNX operator reference, opset 17. An attribute that is not named here is
//! refused, so that nothing is ever silently left out of a computation.

use kernels::Window;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast;
use tract_onnx::tract_core::ops::cnn::{PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::logic::{Iff, comp_lt};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer, Softmax, SoftmaxKind};
use tract_onnx::tract_core::ops::nn::{leaky_relu, sigmoid};

use super::facts::{MAX_VALUES, only, per_image};
use super::file::Constant;
use super::layers::{Convolution, Dense, MaxPool};

/// Largest number of rows and columns of a window: tract keeps an offset for each of its places.
const MAX_KERNEL: usize = 1024;
/// Largest padding on one side.
const MAX_PADDING: usize = 65_536;
/// ONNX's number for `float32` as the target of a cast.
const FLOAT: i64 = 1;

/// What a node reads.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    /// What another node gives.
    Value(OutletId),
    /// What the file holds.
    Constant(&'a Constant),
}

/// Adds a node to the model and returns its output; `alone` if nothing else reads its first input.
pub(super) fn wire(
    model: &mut TypedModel,
    node: &NodeProto,
    inputs: &[Input<'_>],
    alone: bool,
) -> TractResult<OutletId> {
    ensure!(node.domain.is_empty(), "unknown domain {:?}", node.domain);
    let mut operator = Operator { model, node, inputs, alone };
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

/// Whether an operator's output has the shape of its input, value for value.
pub(super) fn keeps_shape(op_type: &str) -> bool {
    ["Add", "Elu", "Erf", "LeakyRelu", "Mul", "Relu", "Sigmoid", "Tanh"].contains(&op_type)
}

struct Operator<'a> {
    model: &'a mut TypedModel,
    node: &'a NodeProto,
    inputs: &'a [Input<'a>],
    alone: bool,
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

    /// A value, or a constant in the layout of images here.
    fn operand(&mut self, input: Input<'_>, suffix: &str) -> TractResult<OutletId> {
        let constant = match input {
            Input::Value(outlet) => return Ok(outlet),
            Input::Constant(constant) => constant,
        };
        let mut tensor =
            tract_ndarray::ArrayD::from_shape_vec(&*constant.shape, constant.values())?.into_tensor();
        if tensor.rank() == 4 {
            tensor = tensor.move_axis(1, 3)?;
        }
        self.model.add_const(format!("{}.{suffix}", self.node.name), tensor)
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
        if let Some(joined) = self.producer::<Convolution>(x).and_then(Convolution::with_relu) {
            return self.join(x, joined);
        }
        if let Some(joined) = self.producer::<Dense>(x).and_then(Dense::with_relu) {
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
        let conv = Convolution::new(window, self.image(x)?, groups, weight, bias);
        self.add("", conv, &[x])
    }

    fn dense(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["transB"])?;
        ensure!(self.node.get_attr_opt::<i64>("transB")? == Some(1), "attribute \"transB\": expected 1");
        let (x, weight, bias) = self.weights(2, 1)?;
        let dense = Dense::new(weight, bias);
        self.add("", dense, &[x])
    }

    fn max_pool(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["kernel_shape", "pads", "strides"])?;
        let x = self.input()?;
        let pool = MaxPool(kernels::MaxPool { window: self.window(x, None)? });
        match self.producer::<Convolution>(x).and_then(|convolution| convolution.with_pool(&pool)) {
            Some(joined) => self.join(x, joined),
            None => self.add("", pool, &[x]),
        }
    }

    /// The operator that makes `x` only for this node.
    fn producer<O: Op>(&self, x: OutletId) -> Option<&O> {
        self.model.node(x.node).op_as::<O>().filter(|_| self.alone)
    }

    /// Lets the producer of `x` do the work of this node too.
    fn join(&mut self, x: OutletId, op: impl TypedOp) -> TractResult<OutletId> {
        let facts = op.output_facts(&self.model.node_input_facts(x.node)?)?;
        for fact in facts {
            self.model.set_outlet_fact(x, fact)?;
        }
        self.model.node_mut(x.node).op = Box::new(op);
        Ok(x)
    }

    fn average_pool(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&["kernel_shape", "pads", "strides"])?;
        let x = self.input()?;
        let Window { kernel, strides, padding: [rows, columns], .. } = self.window(x, None)?;
        let [_, _, channels] = self.image(x)?;
        let pool_spec = PoolSpec {
            data_format: DataFormat::NHWC,
            kernel_shape: TVec::from_slice(&kernel),
            padding: PaddingSpec::ExplicitOnnxPool(
                tvec![rows[0], columns[0]],
                tvec![rows[1], columns[1]],
                false,
            ),
            dilations: None,
            strides: Some(TVec::from_slice(&strides)),
            input_channels: channels,
            output_channels: channels,
        };
        self.add("", SumPool { pool_spec, count_include_pad: false, normalize: true }, &[x])
    }

    fn global_average_pool(&mut self) -> TractResult<OutletId> {
        self.only_attributes(&[])?;
        let x = self.input()?;
        let [height, width, _] = self.image(x)?;
        let sum = self.add(".sum", Reduce::new(tvec![1, 2], Reducer::Sum), &[x])?;
        let count = self.scalar("count", (height * width) as f32, x)?;
        self.add("", math::div(), &[sum, count])
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

    /// The only input, a value.
    fn input(&self) -> TractResult<OutletId> {
        match self.inputs {
            &[Input::Value(outlet)] => Ok(outlet),
            inputs => bail!("{} inputs, expected 1 that is no constant", inputs.len()),
        }
    }

    /// Input, weight `[features, C / groups, ...]` and perhaps bias `[features]` of a layer, whose shapes fit.
    fn weights(&self, rank: usize, groups: usize) -> TractResult<(OutletId, &Constant, Option<&Constant>)> {
        let (x, weight, bias) = match self.inputs {
            &[Input::Value(x), Input::Constant(weight)] => (x, weight, None),
            &[Input::Value(x), Input::Constant(weight), Input::Constant(bias)] => (x, weight, Some(bias)),
            inputs => bail!("{} inputs, expected a value, a weight and perhaps a bias", inputs.len()),
        };
        let input = self.model.outlet_fact(x)?;
        ensure!(input.datum_type.is_float() && input.rank() == rank, "input {input:?}: expected rank {rank}");
        let shape = &weight.shape;
        let channels = input.shape.last().context("expected a dimension")?;
        let features = shape.first().copied().unwrap_or(0);
        let all = shape.get(1).and_then(|&length| length.checked_mul(groups));
        let fits = shape.len() == rank
            && all.is_some_and(|all| *channels == all.to_dim())
            && groups > 0
            && features.is_multiple_of(groups);
        ensure!(fits, "input {input:?} does not fit weight {shape:?} in {groups} groups");
        if let Some(bias) = bias {
            ensure!(bias.shape == [features], "bias {:?} does not fit weight {shape:?}", bias.shape);
        }
        Ok((x, weight, bias))
    }

    /// `[H, W, C]`.
    fn image(&self, x: OutletId) -> TractResult<[usize; 3]> {
        let shape = per_image(self.model, x)?;
        shape.as_slice().try_into().with_context(|| format!("input {shape:?}: expected [H, W, C]"))
    }

    /// The window's attributes, such that at least one window fits into the padded image. A
    /// convolution's `kernel` is that of its weight; a pool's padding is smaller than its kernel, so
    /// that no window is all padding.
    fn window(&self, x: OutletId, kernel: Option<[usize; 2]>) -> TractResult<Window> {
        fn list<const N: usize>(node: &NodeProto, name: &str) -> TractResult<[usize; N]> {
            let list = node.get_attr_tvec::<usize>(name)?;
            list.as_slice()
                .try_into()
                .with_context(|| format!("attribute {name:?}: {list:?}, expected {N} numbers"))
        }
        let shape = list(self.node, "kernel_shape")?;
        let [top, left, bottom, right] = list(self.node, "pads")?;
        let dilated = self.node.attribute.iter().any(|attribute| attribute.name == "dilations");
        let window = Window {
            kernel: shape,
            strides: list(self.node, "strides")?,
            dilations: if dilated { list(self.node, "dilations")? } else { [1, 1] },
            padding: [[top, bottom], [left, right]],
        };
        if let Some(kernel) = kernel {
            ensure!(shape == kernel, "attribute \"kernel_shape\": {shape:?}, weight {kernel:?}");
        }
        let [height, width, channels] = self.image(x)?;
        for (axis, length) in [height, width].into_iter().enumerate() {
            let (size, stride, dilation) =
                (window.kernel[axis], window.strides[axis], window.dilations[axis]);
            let [before, after] = window.padding[axis];
            let small = [size, dilation].iter().all(|value| (1..=MAX_KERNEL).contains(value))
                && before.max(after) <= MAX_PADDING
                && (kernel.is_some() || before.max(after) < size);
            ensure!(
                small && stride > 0 && (size - 1) * dilation < length + before + after,
                "window {size}, stride {stride}, dilation {dilation}, padding {before} and {after} does not fit {length}"
            );
        }
        let padded: usize = window.padded([height, width]).iter().product();
        ensure!(padded.saturating_mul(channels) <= MAX_VALUES, "padding to more than {MAX_VALUES} values");
        Ok(window)
    }

    fn only_attributes(&self, names: &[&str]) -> TractResult<()> {
        match self.node.attribute.iter().find(|attribute| !names.contains(&attribute.name.as_str())) {
            Some(other) => bail!("unknown attribute {:?}, expected {names:?}", other.name),
            None => Ok(()),
        }
    }
}

//! An ONNX node on its way into a tract model: what it reads, its attributes, and adding to the model.

use std::cell::Cell;
use std::collections::HashMap;

use kernels::Window;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::facts::{MAX_VALUES, only, per_image};
use super::file::Constant;
use super::layers::{Convolution, Dense};

/// Largest number of rows and columns of a window.
pub(super) const MAX_KERNEL: usize = 1024;
/// Largest padding on one side, and largest stride.
pub(super) const MAX_PADDING: usize = 65_536;
/// Largest number of values of a padded image.
pub(super) const MAX_PADDED: usize = 2 * MAX_VALUES;

/// Takes `bytes` of what is left.
pub(super) fn take(left: &Cell<usize>, bytes: usize, what: &str) -> TractResult<()> {
    let rest = left.get().checked_sub(bytes);
    left.set(rest.with_context(|| {
        format!("{what} need too much memory: {bytes} more bytes, expected at most {}", left.get())
    })?);
    Ok(())
}

/// What a node reads.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    /// What another node gives.
    Value(OutletId),
    /// What the file holds.
    Constant(&'a Constant),
    /// Integers that the file holds.
    Integers(&'a [i64]),
}

impl<'a> Input<'a> {
    /// The integers that it is.
    pub(super) fn integers(self) -> TractResult<&'a [i64]> {
        match self {
            Input::Integers(integers) => Ok(integers),
            Input::Value(_) | Input::Constant(_) => bail!("an input that is no constant of integers"),
        }
    }
}

/// A node, and the model that it is added to.
pub(super) struct Operator<'a> {
    pub(super) model: &'a mut TypedModel,
    pub(super) node: &'a NodeProto,
    pub(super) inputs: &'a [Input<'a>],
    /// Whether nothing else reads its first input.
    pub(super) alone: bool,
    /// What the nodes of the network share.
    pub(super) shared: &'a mut Shared,
}

/// What the nodes of a network share.
pub(super) struct Shared {
    /// Bytes that the network may still take.
    memory: Cell<usize>,
    /// Layers with the names of their weights: what one view of the image has packed serves the others.
    pub(super) convolutions: HashMap<ConvolutionKey, Convolution>,
    pub(super) dense: HashMap<Vec<String>, Dense>,
}

/// What makes two convolutions the same: names of weight and bias, window, input `[H, W, C]` and groups.
pub(super) type ConvolutionKey = (Vec<String>, Window, [usize; 3], usize);

impl Shared {
    /// For a network that may take so many bytes.
    pub(super) fn new(memory: usize) -> Shared {
        Shared { memory: Cell::new(memory), convolutions: HashMap::new(), dense: HashMap::new() }
    }
}

impl<'a> Operator<'a> {
    /// Takes memory of what the network may have.
    pub(super) fn take(&self, bytes: usize) -> TractResult<()> {
        take(&self.shared.memory, bytes, "weights and windows")
    }

    /// A value, or a constant in the layout of images here.
    pub(super) fn operand(&mut self, input: Input<'_>, suffix: &str) -> TractResult<OutletId> {
        let constant = match input {
            Input::Value(outlet) => return Ok(outlet),
            Input::Constant(constant) => constant,
            Input::Integers(_) => bail!("an input of integers"),
        };
        self.take(constant.bytes())?;
        let mut tensor =
            tract_ndarray::ArrayD::from_shape_vec(&*constant.shape, constant.values())?.into_tensor();
        if tensor.rank() == 4 {
            tensor = tensor.move_axis(1, 3)?;
        }
        self.model.add_const(format!("{}.{suffix}", self.node.name), tensor)
    }

    /// A constant with a value for each of an image's, `[C, H, W]` or `[features]`, in the layout of `like`.
    pub(super) fn per_value(
        &mut self,
        constant: &Constant,
        suffix: &str,
        like: OutletId,
    ) -> TractResult<OutletId> {
        self.take(constant.bytes())?;
        let mut tensor =
            tract_ndarray::ArrayD::from_shape_vec(&*constant.shape, constant.values())?.into_tensor();
        if tensor.rank() == 3 {
            tensor = tensor.move_axis(0, 2)?;
        }
        let shape = per_image(self.model, like)?;
        ensure!(tensor.shape() == &*shape, "{suffix} {:?} does not fit input {shape:?}", tensor.shape());
        tensor.insert_axis(0)?;
        self.model.add_const(format!("{}.{suffix}", self.node.name), tensor)
    }

    /// The operator that makes `x` only for this node.
    pub(super) fn producer<O: Op>(&self, x: OutletId) -> Option<&O> {
        self.model.node(x.node).op_as::<O>().filter(|_| self.alone)
    }

    /// Lets the producer of `x` do the work of this node too.
    pub(super) fn join(&mut self, x: OutletId, op: impl TypedOp) -> TractResult<OutletId> {
        let facts = op.output_facts(&self.model.node_input_facts(x.node)?)?;
        for fact in facts {
            self.model.set_outlet_fact(x, fact)?;
        }
        self.model.node_mut(x.node).op = Box::new(op);
        Ok(x)
    }

    /// Adds a tract operator named like the node, with a suffix where a node becomes several.
    pub(super) fn add(
        &mut self,
        suffix: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        only(&self.model.wire_node(format!("{}{suffix}", self.node.name), op, inputs)?)
    }

    /// A constant with the rank of `like`.
    pub(super) fn scalar(&mut self, suffix: &str, value: f32, like: OutletId) -> TractResult<OutletId> {
        let value = tensor0(value).broadcast_into_rank(self.model.outlet_fact(like)?.rank())?;
        self.model.add_const(format!("{}.{suffix}", self.node.name), value)
    }

    /// The only input, a value.
    pub(super) fn input(&self) -> TractResult<OutletId> {
        match self.inputs {
            &[Input::Value(outlet)] => Ok(outlet),
            inputs => bail!("{} inputs, expected 1 that is no constant", inputs.len()),
        }
    }

    /// Input, weight `[features, C / groups, ...]` and perhaps bias `[features]` of a layer, whose shapes fit.
    pub(super) fn weights(
        &self,
        rank: usize,
        groups: usize,
    ) -> TractResult<(OutletId, &'a Constant, Option<&'a Constant>)> {
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
    pub(super) fn image(&self, x: OutletId) -> TractResult<[usize; 3]> {
        let shape = per_image(self.model, x)?;
        shape.as_slice().try_into().with_context(|| format!("input {shape:?}: expected [H, W, C]"))
    }

    /// The window's attributes, such that at least one window fits into the padded image. A
    /// convolution's `kernel` is that of its weight; a pool's padding is smaller than its kernel, so
    /// that no window is all padding.
    pub(super) fn window(&self, x: OutletId, kernel: Option<[usize; 2]>) -> TractResult<Window> {
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
                small
                    && (1..=MAX_PADDING).contains(&stride)
                    && (size - 1) * dilation < length + before + after,
                "window {size}, stride {stride}, dilation {dilation}, padding {before} and {after} does not fit {length}"
            );
        }
        if kernel.is_some() {
            // Convolutions read a copy of the image with its padding, pools do not.
            let padded: usize = window.padded([height, width]).iter().product();
            ensure!(
                padded.saturating_mul(channels) <= MAX_PADDED,
                "padding to more than {MAX_PADDED} values"
            );
        }
        Ok(window)
    }

    pub(super) fn only_attributes(&self, names: &[&str]) -> TractResult<()> {
        match self.node.attribute.iter().find(|attribute| !names.contains(&attribute.name.as_str())) {
            Some(other) => bail!("unknown attribute {:?}, expected {names:?}", other.name),
            None => Ok(()),
        }
    }
}

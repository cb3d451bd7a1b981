//! Our kernels in networks from elsewhere: what tract has as convolutions and pools, and ours can do, is replaced. Ours take
//! images with the channels last; tract's decluttering then moves the axes through what lies between, or away.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PoolSpec};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::around::{bias, constant, has_bias};
use super::file::Constant;
use super::layers::{Convolution, Pool};
use super::operator::{MAX_KERNEL, MAX_PADDED, MAX_PADDING};

/// A layer of ours for a node, and what it reads.
struct Layer {
    op: Box<dyn TypedOp>,
    images: Images,
}

/// `float32 [N, C, H, W]`, or `[C, H, W]`: tract leaves out the batch where it is one image.
#[derive(Clone, Copy)]
struct Images {
    outlet: OutletId,
    has_batch: bool,
    shape: [usize; 3],
}

impl Images {
    /// `None` for other values, and for lengths that are not known: they cannot be planned for.
    fn of(model: &TypedModel, outlet: OutletId) -> TractResult<Option<Images>> {
        let fact = model.outlet_fact(outlet)?;
        let has_batch = fact.rank() == 4;
        if fact.datum_type != f32::datum_type() || !matches!(fact.rank(), 3 | 4) {
            return Ok(None);
        }
        let lengths = fact.shape.iter().skip(usize::from(has_batch)).map(TDim::to_usize);
        let Ok(lengths) = lengths.collect::<Result<Vec<usize>, _>>() else { return Ok(None) };
        Ok(lengths.try_into().ok().map(|shape| Images { outlet, has_batch, shape }))
    }

    /// Axis of the channels.
    fn channels(&self) -> usize {
        usize::from(self.has_batch)
    }
}

/// Replaces all that can be.
pub(crate) fn substitute(mut model: TypedModel) -> TractResult<TypedModel> {
    // Patches only add nodes, so that these numbers stay.
    for id in 0..model.nodes().len() {
        let Some(Layer { op, images }) = layer(&model, id)? else { continue };
        let name = model.node(id).name.clone();
        let mut patch = TypedModelPatch::default();
        let mut x = patch.tap_model(&model, images.outlet)?;
        if !images.has_batch {
            x = patch.wire_node(format!("{name}.batch"), AxisOp::Add(0), &[x])?[0];
        }
        let x = patch.wire_node(format!("{name}.channels_last"), AxisOp::Move(1, 3), &[x])?;
        let y = patch.wire_node(&name, op, &x)?;
        let mut y = patch.wire_node(format!("{name}.channels_first"), AxisOp::Move(3, 1), &y)?;
        if !images.has_batch {
            y = patch.wire_node(format!("{name}.image"), AxisOp::Rm(0), &y)?;
        }
        patch.shunt_outside(&model, id.into(), y[0])?;
        patch.apply(&mut model)?;
    }
    super::join::join(model.into_decluttered()?)
}

/// Our layer for one of tract's, if there is one.
fn layer(model: &TypedModel, id: usize) -> TractResult<Option<Layer>> {
    let node = model.node(id);
    if node.op_is::<EinSum>() {
        // With a bias it goes with that.
        let axis = model.outlet_fact(id.into())?.rank().saturating_sub(3);
        return if has_bias(model, node, axis)? { Ok(None) } else { pointwise(model, node, None) };
    }
    let rank = node.outputs.first().map_or(0, |output| output.fact.rank());
    if matches!(rank, 3 | 4)
        && let Some((product, bias)) = bias(model, node, rank - 3)?
    {
        return pointwise(model, product, Some(&bias));
    }
    let Some(images) = node.inputs.first().map(|&outlet| Images::of(model, outlet)).transpose()?.flatten()
    else {
        return Ok(None);
    };
    if let Some(conv) = node.op_as::<Conv>() {
        return convolution(model, node, conv, images);
    }
    if let Some(pool) = node.op_as::<MaxPool>()
        && pool.with_index_outputs.is_none()
    {
        // A window that is all padding has no maximum.
        let fits = |window: &kernels::Window| {
            [0, 1].iter().all(|&axis| {
                let [before, after] = window.padding[axis];
                before.max(after) < window.kernel[axis] && window.dilations[axis] == 1
            })
        };
        let window = window(images, &pool.pool_spec).filter(fits);
        return Ok(
            window.map(|window| Layer { op: Box::new(Pool::Max(kernels::MaxPool { window })), images })
        );
    }
    Ok(None)
}

fn convolution(
    model: &TypedModel,
    node: &TypedNode,
    conv: &Conv,
    images: Images,
) -> TractResult<Option<Layer>> {
    let &[_, weight, bias] = node.inputs.as_slice() else { return Ok(None) };
    let (Some(weight), Some(bias)) = (constant(model, weight)?, constant(model, bias)?) else {
        return Ok(None);
    };
    let &[features, depth, height, width] = weight.shape.as_slice() else { return Ok(None) };
    let is_ours = conv.q_params.is_none()
        && conv.kernel_fmt == KernelFormat::OIHW
        && depth.checked_mul(conv.group) == Some(images.shape[0])
        && features.is_multiple_of(conv.group.max(1));
    let Some(window) = window(images, &conv.pool_spec).filter(|_| is_ours) else { return Ok(None) };
    if window.kernel != [height, width] {
        return Ok(None);
    }
    // One value stands for all features.
    let bias = match bias.values().as_slice() {
        [one] => Constant::new(vec![features], &vec![*one; features]),
        values if values.len() == features => Constant::new(vec![features], values),
        _ => return Ok(None),
    };
    Ok(planned(images, window, conv.group, &weight, Some(&bias)))
}

/// A convolution of 1x1, which tract has as a product over the channels.
fn pointwise(model: &TypedModel, node: &TypedNode, bias: Option<&Constant>) -> TractResult<Option<Layer>> {
    let Some(op) = node.op_as::<EinSum>() else { return Ok(None) };
    let &[a, b] = node.inputs.as_slice() else { return Ok(None) };
    let (x, weight, which) = match (constant(model, a)?, constant(model, b)?) {
        (None, Some(weight)) => (a, weight, 1),
        (Some(weight), None) => (b, weight, 0),
        _ => return Ok(None),
    };
    let Some(images) = Images::of(model, x)? else { return Ok(None) };
    let made = model.outlet_fact(node.id.into())?;
    if op.q_params.is_some() || made.datum_type != f32::datum_type() || weight.shape.len() != 2 {
        return Ok(None);
    }
    // Place of the features and of the channels in the weight.
    let (mut features, mut channels) = (None, None);
    let axis = images.channels();
    for place in op.axes.iter_all_axes() {
        match (
            place.inputs[1 - which].as_slice(),
            place.inputs[which].as_slice(),
            place.outputs[0].as_slice(),
        ) {
            (&[from], [], &[to]) if from == to && from != axis => {}
            ([], &[place], &[to]) if to == axis => features = Some(place),
            (&[from], &[place], []) if from == axis => channels = Some(place),
            _ => return Ok(None),
        }
    }
    let (Some(features), Some(channels)) = (features, channels) else { return Ok(None) };
    let tensor = tract_ndarray::ArrayD::from_shape_vec(&*weight.shape, weight.values())?.into_tensor();
    let tensor = tensor.permute_axes(&[features, channels])?;
    let shape = vec![tensor.shape()[0], tensor.shape()[1], 1, 1];
    let weight = Constant::new(shape, tensor.try_as_plain_ram()?.as_slice::<f32>()?);
    Ok(planned(images, kernels::Window::new([1, 1]), 1, &weight, bias))
}

/// The layer, if its images are not too large.
fn planned(
    images: Images,
    window: kernels::Window,
    groups: usize,
    weight: &Constant,
    bias: Option<&Constant>,
) -> Option<Layer> {
    let [channels, height, width] = images.shape;
    let padded: usize = window.padded([height, width]).iter().product();
    (padded.saturating_mul(channels) <= MAX_PADDED).then(|| {
        let layer = Convolution::new(window, [height, width, channels], groups, weight, bias);
        Layer { op: Box::new(layer), images }
    })
}

/// The window of a layer, if it is small enough and fits.
fn window(images: Images, spec: &PoolSpec) -> Option<kernels::Window> {
    let format = if images.has_batch { DataFormat::NCHW } else { DataFormat::CHW };
    if spec.rank() != 2 || spec.data_format != format {
        return None;
    }
    let [_, height, width] = images.shape;
    let image = [height, width];
    let padding = spec.computed_padding(&image);
    let [rows, columns] = padding.as_slice() else { return None };
    let window = kernels::Window {
        kernel: [spec.kernel_shape[0], spec.kernel_shape[1]],
        strides: [spec.stride(0), spec.stride(1)],
        dilations: [spec.dilation(0), spec.dilation(1)],
        padding: [[rows.pad_before, rows.pad_after], [columns.pad_before, columns.pad_after]],
    };
    let is_small = [0, 1].iter().all(|&axis| {
        let [before, after] = window.padding[axis];
        let sizes = [window.kernel[axis], window.dilations[axis]];
        sizes.iter().all(|size| (1..=MAX_KERNEL).contains(size))
            && (1..=MAX_PADDING).contains(&window.strides[axis])
            && before.max(after) <= MAX_PADDING
            && (window.kernel[axis] - 1) * window.dilations[axis] < image[axis] + before + after
    });
    // Where a last window hangs over the edge, ours has one less.
    let same = is_small && window.output(image) == [rows.convoluted, columns.convoluted];
    same.then_some(window)
}

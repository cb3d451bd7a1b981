//! Our kernels in networks from elsewhere: what tract has as convolutions and pools, and ours can do, is replaced. Ours take
//! images with the channels last; tract's decluttering then moves the axes through what lies between, or away.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::facts::per_image;
use super::file::Constant;
use super::layers::{Convolution, Pool};
use super::operator::{MAX_KERNEL, MAX_PADDED, MAX_PADDING};

/// Replaces all that can be.
pub(crate) fn substitute(mut model: TypedModel) -> TractResult<TypedModel> {
    // Patches only add nodes, so that these numbers stay.
    for id in 0..model.nodes().len() {
        let Some(layer) = layer(&model, id)? else { continue };
        let node = model.node(id);
        let name = node.name.clone();
        let mut patch = TypedModelPatch::default();
        let x = patch.tap_model(&model, node.inputs[0])?;
        let x = patch.wire_node(format!("{name}.channels_last"), AxisOp::Move(1, 3), &[x])?;
        let y = patch.wire_node(&name, layer, &x)?;
        let y = patch.wire_node(format!("{name}.channels_first"), AxisOp::Move(3, 1), &y)?;
        patch.shunt_outside(&model, id.into(), y[0])?;
        patch.apply(&mut model)?;
    }
    model.into_decluttered()
}

/// Our layer for one of tract's, if there is one.
fn layer(model: &TypedModel, id: usize) -> TractResult<Option<Box<dyn TypedOp>>> {
    let node = model.node(id);
    if let Some(conv) = node.op_as::<Conv>() {
        return Ok(convolution(model, node, conv)?.map(|conv| Box::new(conv) as Box<dyn TypedOp>));
    }
    if let Some(pool) = node.op_as::<MaxPool>()
        && pool.with_index_outputs.is_none()
    {
        let window = window(model, node, &pool.pool_spec)?;
        // A window that is all padding has no maximum.
        let fits = |window: &kernels::Window| {
            [0, 1].iter().all(|&axis| {
                let [before, after] = window.padding[axis];
                before.max(after) < window.kernel[axis] && window.dilations[axis] == 1
            })
        };
        let pool = window.filter(fits).map(|window| Pool::Max(kernels::MaxPool { window }));
        return Ok(pool.map(|pool| Box::new(pool) as Box<dyn TypedOp>));
    }
    Ok(None)
}

fn convolution(model: &TypedModel, node: &TypedNode, conv: &Conv) -> TractResult<Option<Convolution>> {
    let [x, weight, bias] = node.inputs.as_slice() else { return Ok(None) };
    let constant = |outlet: &OutletId| -> TractResult<Option<Constant>> {
        let Some(tensor) = model.outlet_fact(*outlet)?.konst.clone() else { return Ok(None) };
        if tensor.datum_type() != f32::datum_type() {
            return Ok(None);
        }
        Ok(Some(Constant::new(tensor.shape().to_vec(), tensor.try_as_plain_ram()?.as_slice::<f32>()?)))
    };
    let (Some(weight), Some(bias)) = (constant(weight)?, constant(bias)?) else { return Ok(None) };
    let &[features, depth, height, width] = weight.shape.as_slice() else { return Ok(None) };
    let image = per_image(model, *x)?;
    let is_ours = conv.q_params.is_none()
        && conv.kernel_fmt == KernelFormat::OIHW
        && image.len() == 3
        && depth * conv.group == image[0]
        && features.is_multiple_of(conv.group.max(1));
    let Some(window) = window(model, node, &conv.pool_spec)?.filter(|_| is_ours) else { return Ok(None) };
    if window.kernel != [height, width] {
        return Ok(None);
    }
    let input = [image[1], image[2], image[0]];
    let padded: usize = window.padded([image[1], image[2]]).iter().product();
    if padded.saturating_mul(image[0]) > MAX_PADDED {
        return Ok(None);
    }
    // One value stands for all features.
    let bias = match bias.values().as_slice() {
        [one] => Constant::new(vec![features], &vec![*one; features]),
        values if values.len() == features => Constant::new(vec![features], values),
        _ => return Ok(None),
    };
    Ok(Some(Convolution::new(window, input, conv.group, &weight, Some(&bias))))
}

/// The window of a layer over `float32 [N, C, H, W]`, if it is small enough and fits.
fn window(model: &TypedModel, node: &TypedNode, spec: &PoolSpec) -> TractResult<Option<kernels::Window>> {
    let fact = model.outlet_fact(node.inputs[0])?;
    let is_image = fact.datum_type == f32::datum_type() && fact.rank() == 4 && spec.rank() == 2;
    if !is_image || spec.data_format != DataFormat::NCHW {
        return Ok(None);
    }
    // Lengths that are not known yet cannot be planned for.
    let Ok(image) = per_image(model, node.inputs[0]) else { return Ok(None) };
    let padding = spec.computed_padding(&[image[1], image[2]]);
    let [rows, columns] = padding.as_slice() else { return Ok(None) };
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
            && (window.kernel[axis] - 1) * window.dilations[axis] < image[axis + 1] + before + after
    });
    // Where a last window hangs over the edge, ours has one less.
    let same = window.output([image[1], image[2]]) == [rows.convoluted, columns.convoluted];
    Ok((is_small && same).then_some(window))
}

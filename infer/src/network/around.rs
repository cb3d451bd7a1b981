//! Questions to tract's typed models about what lies around a node.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::file::Constant;

/// The values of a constant of `float32`.
pub(super) fn constant(model: &TypedModel, outlet: OutletId) -> TractResult<Option<Constant>> {
    let Some(tensor) = model.outlet_fact(outlet)?.konst.clone() else { return Ok(None) };
    if tensor.datum_type() != f32::datum_type() {
        return Ok(None);
    }
    Ok(Some(Constant::new(tensor.shape().to_vec(), tensor.try_as_plain_ram()?.as_slice::<f32>()?)))
}

/// The node that alone reads what `node` gives.
pub(super) fn only_reader<'a>(model: &'a TypedModel, node: &TypedNode) -> Option<&'a TypedNode> {
    let [output] = node.outputs.as_slice() else { return None };
    let [reader] = output.successors.as_slice() else { return None };
    let is_output = model.outputs.iter().any(|outlet| outlet.node == node.id);
    (!is_output).then(|| model.node(reader.node))
}

/// What a node of two inputs reads: a value, and a constant of `float32`.
pub(super) fn with_constant(
    model: &TypedModel,
    node: &TypedNode,
) -> TractResult<Option<(OutletId, Constant)>> {
    let &[a, b] = node.inputs.as_slice() else { return Ok(None) };
    Ok(match (constant(model, a)?, constant(model, b)?) {
        (None, Some(values)) => Some((a, values)),
        (Some(values), None) => Some((b, values)),
        _ => None,
    })
}

pub(super) fn is_binary(node: &TypedNode, name: &str) -> bool {
    node.op_as::<TypedBinOp>().is_some_and(|op| op.0.name() == name && op.1.is_none())
}

/// If a node adds a bias to a product that nothing else reads: the product, and the bias, `[features]`. The features lie
/// along axis `axis` of what comes out.
pub(super) fn bias<'a>(
    model: &'a TypedModel,
    node: &TypedNode,
    axis: usize,
) -> TractResult<Option<(&'a TypedNode, Constant)>> {
    if !is_binary(node, "Add") {
        return Ok(None);
    }
    let Some((x, bias)) = with_constant(model, node)? else { return Ok(None) };
    let producer = model.node(x.node);
    let (given, made) = (model.outlet_fact(x)?, model.outlet_fact(node.id.into())?);
    let Some(features) = given.shape.get(axis).and_then(|length| length.to_usize().ok()) else {
        return Ok(None);
    };
    let lies_along = bias.shape.len() == given.rank() && bias.shape[axis] == features;
    let fits = producer.op_is::<EinSum>()
        && only_reader(model, producer).is_some_and(|reader| reader.id == node.id)
        && given.shape == made.shape
        && lies_along
        && bias.shape.iter().product::<usize>() == features;
    Ok(fits.then(|| (producer, Constant::new(vec![features], &bias.values()))))
}

/// Whether what a product gives has a bias added to it.
pub(super) fn has_bias(model: &TypedModel, node: &TypedNode, axis: usize) -> TractResult<bool> {
    Ok(match only_reader(model, node) {
        Some(reader) => bias(model, reader, axis)?.is_some(),
        None => false,
    })
}

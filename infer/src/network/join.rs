//! Layers of ours in networks from elsewhere that do the work of what follows them: dense layers take what tract has as
//! a product and a bias, and activations and pools go into the layer that they follow. Then the network is cut, as those
//! of recipes are, where its dense layers begin.

use kernels::Clamp;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::konst::Const;

use super::around::{bias, constant, has_bias, is_binary, only_reader, with_constant};
use super::facts::per_image;
use super::file::Constant;
use super::layers::{Convolution, Dense, Pool};

/// An operator of tract that our `op` replaces, with what it reads.
struct Joined {
    op: Box<dyn TypedOp>,
    input: OutletId,
}

/// Joins what can be.
pub(super) fn join(mut model: TypedModel) -> TractResult<TypedModel> {
    for rule in [dense, clamp, pool] {
        // Patches only add nodes, so that these numbers stay.
        for id in 0..model.nodes().len() {
            let Some(Joined { op, input }) = rule(&model, model.node(id))? else { continue };
            let mut patch = TypedModelPatch::default();
            let x = patch.tap_model(&model, input)?;
            let y = patch.wire_node(&model.node(id).name, op, &[x])?;
            patch.shunt_outside(&model, id.into(), y[0])?;
            patch.apply(&mut model)?;
        }
        model.compact()?;
    }
    Ok(model)
}

/// A product with a constant over all that an image has, or the bias that is added to one.
fn dense(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Joined>> {
    if node.op_is::<EinSum>() {
        // Then it goes with the bias.
        let has_bias = has_bias(model, node, 1)?;
        return if has_bias { Ok(None) } else { product(model, node, None) };
    }
    match bias(model, node, 1)? {
        Some((product_node, bias)) => product(model, product_node, Some(&bias)),
        None => Ok(None),
    }
}

/// A dense layer for `sum over places of x[n, place] w[feature, place]`, if that is what a product is.
fn product(model: &TypedModel, node: &TypedNode, bias: Option<&Constant>) -> TractResult<Option<Joined>> {
    let Some(op) = node.op_as::<EinSum>() else { return Ok(None) };
    let &[a, b] = node.inputs.as_slice() else { return Ok(None) };
    let (x, weight, which) = match (constant(model, a)?, constant(model, b)?) {
        (None, Some(weight)) => (a, weight, 1),
        (Some(weight), None) => (b, weight, 0),
        _ => return Ok(None),
    };
    let fact = model.outlet_fact(x)?;
    if op.q_params.is_some()
        || fact.datum_type != f32::datum_type()
        || model.outlet_fact(node.id.into())?.rank() != 2
    {
        return Ok(None);
    }
    // Place of each axis of `x` in the weight.
    let mut order = vec![None; fact.rank()];
    let mut features = None;
    for axis in op.axes.iter_all_axes() {
        match (axis.inputs[1 - which].as_slice(), axis.inputs[which].as_slice(), axis.outputs[0].as_slice()) {
            ([0], [], [0]) => {}
            ([], [place], [1]) => features = Some(*place),
            ([from], [place], []) if *from > 0 => order[*from] = Some(*place),
            _ => return Ok(None),
        }
    }
    let (Some(features), Some(order)) = (features, order[1..].iter().copied().collect::<Option<Vec<_>>>())
    else {
        return Ok(None);
    };
    let places: Vec<usize> = std::iter::once(features).chain(order).collect();
    if places.len() != weight.shape.len() {
        return Ok(None);
    }
    let tensor = tract_ndarray::ArrayD::from_shape_vec(&*weight.shape, weight.values())?.into_tensor();
    let tensor = tensor.permute_axes(&places)?;
    let shape = vec![tensor.shape()[0], tensor.shape()[1..].iter().product()];
    let weight = Constant::new(shape, tensor.try_as_plain_ram()?.as_slice::<f32>()?);
    Ok(Some(Joined { op: Box::new(Dense::new(&weight, bias)), input: x }))
}

/// The greater of what a layer gives and a number, and perhaps the lesser of that and another.
fn clamp(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Joined>> {
    let Some((below, max)) = bound(model, node, "Min")? else {
        let Some((x, min)) = bound(model, node, "Max")? else { return Ok(None) };
        // Then both go together.
        let both = match only_reader(model, node) {
            Some(reader) => bound(model, reader, "Min")?.is_some(),
            None => false,
        };
        return Ok(if both { None } else { clamped(model, x, Clamp { min, ..Clamp::NONE }) });
    };
    let producer = model.node(below.node);
    let lower = bound(model, producer, "Max")?.filter(|_| only_reader(model, producer).is_some());
    Ok(lower.and_then(|(x, min)| clamped(model, x, Clamp { min, max })))
}

/// What a node compares with one number, and that.
fn bound(model: &TypedModel, node: &TypedNode, name: &str) -> TractResult<Option<(OutletId, f32)>> {
    if !is_binary(node, name) {
        return Ok(None);
    }
    let Some((x, values)) = with_constant(model, node)? else { return Ok(None) };
    let keeps_shape = model.outlet_fact(x)?.shape == model.outlet_fact(node.id.into())?.shape;
    Ok(match values.values().as_slice() {
        &[value] if keeps_shape && value.is_finite() => Some((x, value)),
        _ => None,
    })
}

/// The layer that makes `x` for this alone, clamped.
fn clamped(model: &TypedModel, x: OutletId, clamp: Clamp) -> Option<Joined> {
    let producer = model.node(x.node);
    only_reader(model, producer)?;
    let input = *producer.inputs.first()?;
    let convolution = producer.op_as::<Convolution>().and_then(|layer| layer.with_clamp(clamp));
    let dense = producer.op_as::<Dense>().and_then(|layer| layer.with_clamp(clamp));
    let op = convolution.map(|op| Box::new(op) as Box<dyn TypedOp>).or(dense.map(|op| Box::new(op) as _));
    op.map(|op| Joined { op, input })
}

/// Max-pooling of what a convolution gives.
fn pool(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Joined>> {
    let Some(Pool::Max(pool)) = node.op_as::<Pool>() else { return Ok(None) };
    let producer = model.node(node.inputs[0].node);
    if only_reader(model, producer).is_none() {
        return Ok(None);
    }
    let joined = producer.op_as::<Convolution>().and_then(|convolution| convolution.with_pool(*pool));
    Ok(joined.map(|op| Joined { op: Box::new(op), input: producer.inputs[0] }))
}

/// Cuts a network before its first dense layer of which all later nodes depend: what comes before it, and the rest, which
/// takes `float32 [N, K]`.
pub(super) fn cut(mut model: TypedModel) -> TractResult<(TypedModel, Option<TypedModel>)> {
    let order = model.eval_order()?;
    let Some(&first) = order.iter().find(|&&id| model.node(id).op_is::<Dense>()) else {
        return Ok((model, None));
    };
    let joint = model.node(first).inputs[0];
    let mut before = vec![false; model.nodes().len()];
    let mut waiting = vec![joint.node];
    while let Some(id) = waiting.pop() {
        if !std::mem::replace(&mut before[id], true) {
            waiting.extend(model.node(id).inputs.iter().map(|outlet| outlet.node));
        }
    }
    let after: Vec<&TypedNode> = order.iter().filter(|&&id| !before[id]).map(|&id| model.node(id)).collect();
    let is_free =
        |outlet: &OutletId| *outlet == joint || !before[outlet.node] || is_constant(&model, *outlet);
    if !after.iter().flat_map(|node| &node.inputs).all(is_free)
        || model.outputs.iter().any(|o| before[o.node])
    {
        return Ok((model, None));
    }
    let mut head = TypedModel { symbols: model.symbols.clone(), ..TypedModel::default() };
    let features = per_image(&model, joint)?.iter().product::<usize>();
    let n = model.outlet_fact(joint)?.shape[0].clone();
    let source = head.add_source("features", f32::fact([n, features.to_dim()]))?;
    let mut made = std::collections::HashMap::from([(joint, source)]);
    for node in after {
        let mut inputs = TVec::new();
        for &input in &node.inputs {
            if let (None, Some(konst)) = (made.get(&input), model.node(input.node).op_as::<Const>()) {
                let name = model.node(input.node).name.clone();
                made.insert(input, head.wire_node(name, konst.clone(), &[])?[0]);
            }
            inputs.push(
                *made.get(&input).with_context(|| format!("node {:?}: an input is nowhere", node.name))?,
            );
        }
        let outlets = head.wire_node(&node.name, node.op.clone(), &inputs)?;
        made.extend(
            outlets.into_iter().enumerate().map(|(slot, outlet)| (OutletId::new(node.id, slot), outlet)),
        );
    }
    let outputs = model.outputs.iter().map(|outlet| made[outlet]).collect::<Vec<_>>();
    head.select_output_outlets(&outputs)?;
    model.select_output_outlets(&[joint])?;
    model.compact()?;
    Ok((model, Some(head)))
}

fn is_constant(model: &TypedModel, outlet: OutletId) -> bool {
    model.node(outlet.node).op_is::<Const>()
}

//! From a typed model of tract to steps.

use std::collections::HashMap;

use datasets::ImageShape;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};
use tract_onnx::tract_core::ops::source::TypedSource;

use super::steps::{Arithmetic, Operation, Step};
use super::{Executor, Place, Planned};
use crate::network::{Convolution, Dense, Pool, View, per_image};

/// What an outlet of the model is.
#[derive(Clone)]
enum Value {
    /// The images, as bytes `[C, H, W]`.
    Bytes,
    /// The same once tract has moved the channels last: a step for pixels does both at once.
    ChannelsLast,
    /// Features that come in.
    Features,
    Constant(Arc<Tensor>),
    /// What the step of this number gives.
    Step(usize),
}

/// A step before its values have places.
struct Lowered {
    step: Step,
    operations: Vec<Operation>,
    inputs: Vec<Value>,
    size: usize,
}

/// `None` where an operator has no step.
pub(super) fn lower(model: &TypedModel) -> TractResult<Option<Executor>> {
    let mut steps: Vec<Lowered> = Vec::new();
    let mut values: HashMap<OutletId, Value> = HashMap::new();
    for id in order(model)? {
        let node = model.node(id);
        let Some(value) = lower_node(model, node, &values, &mut steps)? else { return Ok(None) };
        values.insert(id.into(), value);
    }
    let output = model.output_outlets()?.first().and_then(|outlet| values.get(outlet));
    // The last step writes the output.
    let is_last = matches!(output, Some(&Value::Step(last)) if last + 1 == steps.len());
    Ok(is_last.then(|| place(steps)))
}

/// Nodes by the first use of the weights that they come after, as tract evaluates them: it goes through a member of an
/// ensemble before it begins the next. Views of one image go through the same layers: each layer serves all of them in turn,
/// while its weights are still in the second-level cache.
fn order(model: &TypedModel) -> TractResult<Vec<usize>> {
    let mut order = model.eval_order()?;
    let mut first_uses = HashMap::new();
    let mut places = vec![0; model.nodes().len()];
    for &id in &order {
        let node = model.node(id);
        let before = node.inputs.iter().map(|input| places[input.node]).max().unwrap_or(0);
        let next = first_uses.len() + 1;
        let first_use = weights(node).map_or(0, |weights| *first_uses.entry(weights).or_insert(next));
        places[id] = first_use.max(before);
    }
    // Stable: of those in one place, each is still after what it reads.
    order.sort_by_key(|&id| places[id]);
    Ok(order)
}

/// What tells the weights of a node from those of others.
fn weights(node: &TypedNode) -> Option<*const ()> {
    let of_convolution = node.op_as::<Convolution>().map(Convolution::weights);
    of_convolution.or_else(|| node.op_as::<Dense>().map(Dense::weights))
}

fn lower_node(
    model: &TypedModel,
    node: &TypedNode,
    values: &HashMap<OutletId, Value>,
    steps: &mut Vec<Lowered>,
) -> TractResult<Option<Value>> {
    if node.op_is::<TypedSource>() {
        let is_bytes = model.outlet_fact(node.id.into())?.datum_type == u8::datum_type();
        return Ok(Some(if is_bytes { Value::Bytes } else { Value::Features }));
    }
    if let Some(constant) = node.op_as::<Const>() {
        return Ok(Some(Value::Constant(Arc::clone(constant.val()))));
    }
    let inputs: Option<Vec<Value>> = node.inputs.iter().map(|outlet| values.get(outlet).cloned()).collect();
    let Some(inputs) = inputs else { return Ok(None) };
    let shape = per_image(model, node.inputs[0])?;
    if let (Some(AxisOp::Move(1, 3)), [Value::Bytes]) = (node.op_as::<AxisOp>(), inputs.as_slice()) {
        return Ok(Some(Value::ChannelsLast));
    }
    // A reshaped value has the same values in the same order.
    if let (Some(AxisOp::Reshape(axis, ..) | AxisOp::Rm(axis) | AxisOp::Add(axis)), [Value::Step(_)]) =
        (node.op_as::<AxisOp>(), inputs.as_slice())
        && *axis > 0
    {
        return Ok(Some(inputs[0].clone()));
    }
    if let Some(op) = node.op_as::<TypedBinOp>() {
        return binary(model, node, op, &inputs, steps);
    }
    let step = match inputs.as_slice() {
        [Value::ChannelsLast] => {
            node.op_as::<Cast>().filter(|cast| cast.to == f32::datum_type()).and_then(|_| {
                let &[height, width, channels] = shape.as_slice() else { return None };
                Some(Step::Pixels { shape: ImageShape { channels, height, width } })
            })
        }
        [Value::Step(_) | Value::Features] => layer(node, &shape),
        _ => None,
    };
    let Some(step) = step else { return Ok(None) };
    let size = per_image(model, node.id.into())?.iter().product();
    Ok(Some(push(steps, step, inputs, size)))
}

/// The step of an operator with one input `[H, W, C]` or `[features]`.
fn layer(node: &TypedNode, shape: &[usize]) -> Option<Step> {
    let size = shape.iter().product();
    if let Some(layer) = node.op_as::<Convolution>() {
        return Some(Step::Convolution { layer: layer.clone(), size });
    }
    if let Some(layer) = node.op_as::<Dense>() {
        return Some(Step::Dense { layer: layer.clone() });
    }
    if let (Some(layer), &[height, width, channels]) = (node.op_as::<Pool>(), shape) {
        return Some(Step::Pool { layer: layer.clone(), shape: [height, width, channels] });
    }
    if let (Some(&view), &[height, width, channels]) = (node.op_as::<View>(), shape) {
        return Some(Step::View { view, shape: [height, width, channels] });
    }
    if let (Some(reduce), &[height, width, channels]) = (node.op_as::<Reduce>(), shape) {
        let arithmetic = match reduce.reducer {
            Reducer::Sum => Arithmetic::Add,
            Reducer::Max => Arithmetic::Max,
            _ => return None,
        };
        let of_pixels = reduce.axes.as_slice() == [1, 2];
        return of_pixels.then_some(Step::Reduce { arithmetic, pixels: height * width, channels });
    }
    if let (Some(AxisOp::Move(3, 1)), &[height, width, channels]) = (node.op_as::<AxisOp>(), shape) {
        return Some(Step::ChannelsFirst { pixels: height * width, channels });
    }
    let softmax = node.op_as::<Softmax>()?;
    let plain = softmax.axes.as_slice() == [1] && softmax.quant_output_dt.is_none();
    let plain = plain && softmax.kind == SoftmaxKind::Softmax && shape.len() == 1;
    plain.then_some(Step::Softmax { classes: size })
}

/// A value and a constant, or two values of one shape.
fn binary(
    model: &TypedModel,
    node: &TypedNode,
    op: &TypedBinOp,
    inputs: &[Value],
    steps: &mut Vec<Lowered>,
) -> TractResult<Option<Value>> {
    // All of these are commutative, but for the division.
    let arithmetic = if op.0.is::<math::Add>() {
        Arithmetic::Add
    } else if op.0.is::<math::Mul>() {
        Arithmetic::Multiply
    } else if op.0.is::<math::Div>() && matches!(inputs, [_, Value::Constant(_)]) {
        Arithmetic::Divide
    } else if op.0.is::<math::Max>() {
        Arithmetic::Max
    } else if op.0.is::<math::Min>() {
        Arithmetic::Min
    } else {
        return Ok(None);
    };
    let shape = per_image(model, node.id.into())?;
    let size: usize = shape.iter().product();
    let (read, value, constant) = match inputs {
        [Value::Step(a), Value::Step(b)] => {
            let same =
                per_image(model, node.inputs[0])? == shape && per_image(model, node.inputs[1])? == shape;
            let inputs = vec![Value::Step(*a), Value::Step(*b)];
            return Ok(same.then(|| push(steps, Step::Join { arithmetic, size }, inputs, size)));
        }
        [value @ (Value::Step(_) | Value::Features), Value::Constant(constant)] => (0, value, constant),
        [Value::Constant(constant), value @ (Value::Step(_) | Value::Features)] => (1, value, constant),
        _ => return Ok(None),
    };
    // What is spread over a larger constant has no step.
    if per_image(model, node.inputs[read])? != shape {
        return Ok(None);
    }
    let Some(constants) = repeated(constant, &shape)? else { return Ok(None) };
    let operation = Operation { arithmetic, constants };
    // In place, if nothing else reads the value as it is.
    let at = match *value {
        Value::Step(at) if is_read_once(model, node.inputs[read]) => at,
        _ => {
            push(steps, Step::Copy { size }, vec![value.clone()], size);
            steps.len() - 1
        }
    };
    steps[at].operations.push(operation);
    Ok(Some(Value::Step(at)))
}

/// Whether a value, and what it is a reshaped form of, has one reader.
fn is_read_once(model: &TypedModel, mut outlet: OutletId) -> bool {
    loop {
        let node = model.node(outlet.node);
        if node.outputs[outlet.slot].successors.len() != 1 {
            return false;
        }
        match node.inputs.first() {
            Some(&input) if node.op_is::<AxisOp>() => outlet = input,
            _ => return true,
        }
    }
}

/// A constant `[1, ...]` as values that repeat over an image of `shape`: one, one for each channel, or all.
fn repeated(constant: &Tensor, shape: &[usize]) -> TractResult<Option<Vec<f32>>> {
    if constant.datum_type() != f32::datum_type() {
        return Ok(None);
    }
    let values = constant.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
    let each = constant.shape().get(1..).unwrap_or_default();
    let channels = || {
        each.split_last()
            .is_some_and(|(last, rest)| shape.last() == Some(last) && rest.iter().all(|&d| d == 1))
    };
    let fits = values.len() == 1 || each == shape || channels();
    Ok((fits && constant.shape().first().is_none_or(|&n| n == 1)).then_some(values))
}

fn push(steps: &mut Vec<Lowered>, step: Step, inputs: Vec<Value>, size: usize) -> Value {
    steps.push(Lowered { step, operations: Vec::new(), inputs, size });
    Value::Step(steps.len() - 1)
}

/// Gives every value a buffer, which is free for others after its last reader.
fn place(steps: Vec<Lowered>) -> Executor {
    let mut last_reader = vec![0; steps.len()];
    for (at, lowered) in steps.iter().enumerate() {
        for input in &lowered.inputs {
            if let Value::Step(read) = *input {
                last_reader[read] = at;
            }
        }
    }
    let (mut free, mut buffers, mut places) = (Vec::new(), 0, Vec::new());
    let count = steps.len();
    let mut planned = Vec::with_capacity(count);
    for (at, Lowered { step, operations, inputs, size }) in steps.into_iter().enumerate() {
        let place = |input: &Value| match *input {
            Value::Step(read) => places[read],
            Value::Bytes | Value::ChannelsLast | Value::Features | Value::Constant(_) => Place::Input,
        };
        let inputs: Vec<Place> = inputs.iter().map(place).collect();
        let output = match at + 1 == count {
            true => Place::Output,
            false => Place::Buffer(free.pop().unwrap_or_else(|| {
                buffers += 1;
                buffers - 1
            })),
        };
        places.push(output);
        for (read, _) in last_reader.iter().enumerate().take(at).filter(|&(_, &last)| last == at) {
            if let Place::Buffer(buffer) = places[read] {
                free.push(buffer);
            }
        }
        planned.push(Planned { step, operations, inputs, output, size });
    }
    Executor { steps: planned, buffers }
}

#[cfg(test)]
mod tests {
    use kernels::PackedWeights;

    use super::*;
    use crate::executor::{Arena, Input};

    /// Two views go through both members of an ensemble: each member's layers serve both views before the next member's.
    #[test]
    fn members_are_computed_one_after_the_other() -> TractResult<()> {
        let mut model = TypedModel::default();
        let n = model.symbols.sym("N").to_dim();
        let image = model.add_source("features", f32::fact([n, 4.to_dim()]))?;
        let half = model.add_const("half", tensor2(&[[0.5f32]]))?;
        let views = [image, model.wire_node("view", math::mul(), &[image, half])?[0]];
        let layer = || Dense::of(PackedWeights::new(4, 4, |_, _| 0.25, vec![0.0; 4]), 4);
        let members = [[layer(), layer()], [layer(), layer()]];
        let mut logits = Vec::new();
        for (view, input) in views.into_iter().enumerate() {
            for (member, layers) in members.iter().enumerate() {
                let name = |layer: usize| format!("layer{layer} of member{member} for view{view}");
                let first = model.wire_node(name(0), layers[0].clone(), &[input])?[0];
                logits.push(model.wire_node(name(1), layers[1].clone(), &[first])?[0]);
            }
        }
        let mut sum = logits[0];
        for (index, &value) in logits.iter().enumerate().skip(1) {
            sum = model.wire_node(format!("sum{index}"), math::add(), &[sum, value])?[0];
        }
        model.select_output_outlets(&[sum])?;
        let order = order(&model)?.into_iter().filter(|&id| model.node(id).op_is::<Dense>());
        let names: Vec<&str> = order.map(|id| model.node(id).name.as_str()).collect();
        let expected = [0, 1].map(|member| {
            [0, 1].map(|layer| [0, 1].map(|view| format!("layer{layer} of member{member} for view{view}")))
        });
        assert_eq!(names, expected.as_flattened().as_flattened());
        Ok(())
    }

    /// What is done in place must not reach other readers, not even those of another form of the same values.
    #[test]
    fn a_value_that_is_read_twice_stays_as_it_is() -> TractResult<()> {
        let mut model = TypedModel::default();
        let n = model.symbols.sym("N").to_dim();
        let image = model.add_source("image", u8::fact([n, 1.to_dim(), 2.to_dim(), 2.to_dim()]))?;
        let last = model.wire_node("channels_last", AxisOp::Move(1, 3), &[image])?;
        let cast =
            model.wire_node("cast", tract_onnx::tract_core::ops::cast::cast(f32::datum_type()), &last)?;
        let flat = AxisOp::Reshape(1, tvec![2.to_dim(), 2.to_dim(), 1.to_dim()], tvec![4.to_dim()]);
        let first = model.wire_node("first", flat.clone(), &cast)?[0];
        let second = model.wire_node("second", flat, &cast)?[0];
        let half = model.add_const("half", tensor2(&[[0.5f32]]))?;
        let scaled = model.wire_node("scaled", math::mul(), &[first, half])?[0];
        let below = model.add_const("below", tensor2(&[[-1.0f32]]))?;
        let moved = model.wire_node("moved", math::add(), &[scaled, below])?[0];
        let sum = model.wire_node("sum", math::add(), &[moved, second])?;
        model.select_output_outlets(&sum)?;
        let executor = lower(&model)?.expect("every operator has a step");
        let mut output = Vec::new();
        executor.run(Input::Pixels(&[0, 2, 4, 8, 6, 6, 0, 0]), 2, &mut Arena::default(), &mut output);
        assert_eq!(output, [-1.0, 2.0, 5.0, 11.0, 8.0, 8.0, -1.0, -1.0]);
        Ok(())
    }

    /// The operator of a smaller value and a larger constant gives more values than come in.
    #[test]
    fn a_value_that_is_spread_has_no_step() -> TractResult<()> {
        let mut model = TypedModel::default();
        let n = model.symbols.sym("N").to_dim();
        let value = model.add_source("features", f32::fact([n, 1.to_dim()]))?;
        let factors = model.add_const("factors", tensor2(&[[1.0f32, 2.0, 3.0]]))?;
        let spread = model.wire_node("spread", math::mul(), &[value, factors])?;
        model.select_output_outlets(&spread)?;
        assert!(lower(&model)?.is_none());
        Ok(())
    }
}

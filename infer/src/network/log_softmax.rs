//! `LogSoftmax` in networks from elsewhere.
//!
//! tract wires it as the logarithm of a softmax: minus infinity where a probability is too small for a float, as for a logit
//! that is 104 below the greatest, and of few digits before. Its own operator for both subtracts the logarithm of the sum.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::identity::Identity;
use tract_onnx::tract_core::ops::math::Ln;
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};

/// Puts tract's operator in the place of each pair. A softmax and a logarithm that stand so in the file stay two.
pub(super) fn replace(model: &mut TypedModel) {
    for id in 0..model.nodes().len() {
        let Some((softmax, op)) = pair(model, id) else { continue };
        model.node_mut(softmax).op = Box::new(op);
        model.node_mut(id).op = Box::new(Identity);
    }
}

/// The softmax before a logarithm that tract made of one node, and what is to take its place.
fn pair(model: &TypedModel, id: usize) -> Option<(usize, Softmax)> {
    let node = model.node(id);
    let is_logarithm = node.op_as::<ElementWiseOp>().is_some_and(|op| op.0.is::<Ln>());
    let before = model.node(node.inputs.first()?.node);
    let softmax = before.op_as::<Softmax>().filter(|softmax| softmax.quant_output_dt.is_none())?;
    let has_one_reader = before.outputs.iter().all(|output| output.successors.len() == 1);
    let is_one_node = has_one_reader && node.name == format!("{}.logsoftmax", before.name);
    let op = Softmax { kind: SoftmaxKind::LogSoftmax, ..softmax.clone() };
    (is_logarithm && is_one_node).then_some((before.id, op))
}

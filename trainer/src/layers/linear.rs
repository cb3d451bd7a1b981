//! Exporting layers that are a weighted sum of their input.

use tract_onnx::pb::AttributeProto;

use super::kind::Placement;
use crate::onnx::graph::{Affine, Graph};

/// Adds the node of a linear layer with its weight and bias as constants, a following batch
/// normalisation folded into both.
pub(crate) fn export(
    op: &str,
    placement: &Placement,
    x: &str,
    folded: Option<&Affine>,
    attributes: Vec<AttributeProto>,
    graph: &mut Graph,
) -> String {
    let features = placement.output.channels();
    let mut weight = placement.values(graph, 0).to_vec();
    let mut bias = (placement.parameters.len() > 1).then(|| placement.values(graph, 1).to_vec());
    if let Some(Affine { scale, shift }) = folded {
        let row = weight.len() / features;
        for (row, scale) in weight.chunks_exact_mut(row).zip(scale) {
            row.iter_mut().for_each(|w| *w *= scale);
        }
        let old = bias.unwrap_or_else(|| vec![0.0; features]);
        let folded = old.iter().zip(scale).zip(shift).map(|((b, scale), shift)| b * scale + shift);
        bias = Some(folded.collect());
    }
    let [weight_name, bias_name] = ["weight", "bias"].map(|part| format!("{}.{part}", placement.name));
    graph.constant(&weight_name, &placement.parameters[0].shape, &weight);
    let mut inputs = vec![x, &weight_name];
    if let Some(bias) = bias {
        graph.constant(&bias_name, &[features], &bias);
        inputs.push(&bias_name);
    }
    graph.node(op, &placement.name, &inputs, attributes)
}

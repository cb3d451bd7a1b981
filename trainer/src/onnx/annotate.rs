//! What an ONNX file says besides what it computes: shapes of the values between nodes, and what each part is for.

use std::collections::HashMap;

use tract_onnx::pb;

use super::value;
use crate::layers::Placement;
use crate::network::Network;

/// Nodes whose output has the shape that their layer gives; others keep that of their first input.
const LAYERS: [&str; 5] = ["AveragePool", "Conv", "Flatten", "Gemm", "MaxPool"];

/// Adds `value_info` for every value between nodes, and doc strings.
pub(super) fn annotate(graph: &mut pb::GraphProto, network: &Network) {
    let all = network.placements().iter().flat_map(Placement::all);
    let placements: HashMap<&str, &Placement> = all.map(|place| (place.name.as_str(), place)).collect();
    let mut shapes = HashMap::new();
    for input in &mut graph.input {
        input.doc_string = "raw pixels, 0 to 255".into();
        shapes.insert(input.name.clone(), network.input.lengths());
    }
    for output in &mut graph.output {
        output.doc_string = "probability of each class, in the order of the metadata `labels`".into();
    }
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    for node in &mut graph.node {
        let before = node.input.first().and_then(|name| shapes.get(name));
        let before: Vec<usize> = before.expect("values are made before they are read").clone();
        let shape = match (node.op_type.as_str(), placements.get(without_branch(&node.name))) {
            (op, Some(placement)) if LAYERS.contains(&op) => placement.output.lengths(),
            ("GlobalAveragePool" | "GlobalMaxPool", _) => vec![before[0], 1, 1],
            _ => before,
        };
        node.doc_string = purpose(node, &placements);
        for name in &node.output {
            if !outputs.contains(name) {
                let info = value::value(name, pb::tensor_proto::DataType::Float, &shape);
                graph.value_info.push(info);
            }
            shapes.insert(name.clone(), shape.clone());
        }
    }
    graph.doc_string = "from raw pixels to probabilities; weights have the names of the state dict".into();
}

/// `mirrored/conv1` is `conv1` for another view of the image.
fn without_branch(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// What a node is for: its layer, with what goes in and out, or what there is around the layers.
fn purpose(node: &pb::NodeProto, placements: &HashMap<&str, &Placement>) -> String {
    let own = without_branch(&node.name);
    let layer = placements.iter().filter(|(name, _)| {
        own.strip_prefix(**name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    // `residual1.conv1` is in `residual1` as well.
    let Some((name, placement)) = layer.max_by_key(|(name, _)| name.len()) else {
        return match own {
            "cast" => "pixels as numbers".into(),
            "scale" | "shift" => "normalisation of the pixels, by channel".into(),
            "temperature" => "logits over the temperature".into(),
            "view" => "another view of the image".into(),
            "average" => "mean of the logits over the views".into(),
            name if name.starts_with("with_") => "logits added up over the views".into(),
            _ => String::new(),
        };
    };
    if own.ends_with(".sum") {
        return "logits added up over the members".into();
    }
    let Placement { input, output, .. } = placement;
    format!("layer {name}: {input} to {output}")
}

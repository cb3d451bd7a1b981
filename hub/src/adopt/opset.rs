//! Opset 6, in which nothing is broadcast unless an attribute says how.

use tract_onnx::pb::{ModelProto, NodeProto};

/// What opset 7 defines otherwise than opset 6 (ONNX `Changelog.md`), where it is more than a shape that is broadcast.
const OTHERWISE: [&str; 7] = ["BatchNormalization", "Dropout", "GRU", "LSTM", "PRelu", "RNN", "Upsample"];

/// What has an attribute for that, and but for `Gemm` one for where.
const BROADCAST: [&str; 12] =
    ["Add", "And", "Div", "Equal", "Gemm", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"];

/// Makes opset 6 opset 7, in which the scale of pixels is broadcast over an image, if every operator means the same in both;
/// says so. onnxruntime has the operators that changed from opset 7 on only.
pub(super) fn raise(model: &mut ModelProto) -> Option<String> {
    let graph = model.graph.as_mut()?;
    let standard = model.opset_import.iter_mut().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"))?;
    let is_same = |node: &NodeProto| {
        let mut attributes = node.attribute.iter();
        let is_broadcast = attributes.any(|a| a.name == "broadcast" && a.i != 0) && node.op_type != "Gemm";
        let has_graphs = node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty());
        !is_broadcast && !has_graphs && !OTHERWISE.contains(&node.op_type.as_str())
    };
    if standard.version != 6 || !graph.node.iter().all(is_same) {
        return None;
    }
    standard.version = 7;
    // A row of biases is broadcast over rows of outputs in both; opset 7 has no such attributes.
    for node in graph.node.iter_mut().filter(|node| BROADCAST.contains(&node.op_type.as_str())) {
        node.attribute.retain(|attribute| !["broadcast", "axis"].contains(&attribute.name.as_str()));
    }
    Some("opset 6 made 7, in which its operators mean the same".to_owned())
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{AttributeProto, GraphProto, OperatorSetIdProto};

    use super::*;

    #[test]
    fn only_what_means_the_same_is_raised() {
        let raised = |version: i64, operator: &str, broadcast: i64| {
            let attribute =
                |name: &str, i: i64| AttributeProto { name: name.into(), i, ..Default::default() };
            let attribute = vec![attribute("broadcast", broadcast), attribute("axis", 1)];
            let node = NodeProto { op_type: operator.into(), attribute, ..Default::default() };
            let mut model = ModelProto {
                opset_import: vec![OperatorSetIdProto { domain: String::new(), version }],
                graph: Some(GraphProto { node: vec![node], ..Default::default() }),
                ..Default::default()
            };
            let told = raise(&mut model);
            let left = model.graph.unwrap().node[0].attribute.len();
            assert_eq!(
                left,
                if told.is_some() && BROADCAST.contains(&operator) { 0 } else { 2 },
                "{operator}"
            );
            (told.is_some(), model.opset_import[0].version)
        };
        assert_eq!(raised(6, "Conv", 0), (true, 7));
        assert_eq!(raised(6, "Add", 0), (true, 7));
        assert_eq!(raised(6, "Gemm", 1), (true, 7));
        assert_eq!(raised(6, "Add", 1), (false, 6));
        assert_eq!(raised(6, "BatchNormalization", 0), (false, 6));
        assert_eq!(raised(9, "Conv", 0), (false, 9));
    }
}

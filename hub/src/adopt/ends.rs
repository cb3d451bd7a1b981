//! What a file takes and gives, and which of its nodes are between.

use std::collections::HashSet;

use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto, type_proto};

/// The only input and output of a file, as it describes them.
pub(super) struct Ends {
    pub(super) input: String,
    /// ONNX's number of the element type.
    pub(super) element: i32,
    /// Lengths; `None` for those that are free.
    pub(super) shape: Vec<Option<usize>>,
    pub(super) output: String,
    /// Which of the file's outputs that is, from 0; `None` for a value within.
    pub(super) output_index: Option<usize>,
}

impl Ends {
    /// Finds them; `output` chooses where there are several, also a value that a node gives on the way to them.
    pub(super) fn find(graph: &GraphProto, output: Option<&str>) -> Result<Ends, String> {
        let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        let inputs: Vec<&ValueInfoProto> =
            graph.input.iter().filter(|input| !constants.contains(input.name.as_str())).collect();
        let [input] = inputs.as_slice() else {
            return Err(format!("inputs {}, expected one", names(inputs)));
        };
        let (output, output_index) = match (output, graph.output.as_slice()) {
            (None, [only]) => (only.name.clone(), Some(0)),
            (None, all) => {
                return Err(format!("outputs {}, expected one; --output NAME chooses", names(all)));
            }
            (Some(name), all) => {
                let index = all.iter().position(|value| value.name == name);
                let is_given = || {
                    graph
                        .node
                        .iter()
                        .flat_map(|node| &node.output)
                        .any(|given| given == name && !name.is_empty())
                };
                if index.is_none() && !is_given() {
                    return Err(format!("no output and no inner value {name:?}; outputs are {}", names(all)));
                }
                (name.to_owned(), index)
            }
        };
        let kind = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
        let Some(type_proto::Value::TensorType(tensor)) = kind else {
            return Err(format!("input {:?}: no type, expected a tensor", input.name));
        };
        let dims = tensor.shape.iter().flat_map(|shape| &shape.dim);
        let length = |dim: &Dimension| match dim.value {
            Some(dimension::Value::DimValue(length)) if length > 0 => usize::try_from(length).ok(),
            _ => None,
        };
        Ok(Ends {
            input: input.name.clone(),
            element: tensor.elem_type,
            shape: dims.map(length).collect(),
            output,
            output_index,
        })
    }
}

fn names<'a>(values: impl IntoIterator<Item = &'a ValueInfoProto>) -> String {
    values.into_iter().map(|value| format!("{:?}", value.name)).collect::<Vec<_>>().join(", ")
}

/// The value that the node of an output makes it from.
pub(super) fn before<'a>(graph: &'a GraphProto, output: &str) -> Option<&'a str> {
    let node = graph.node.iter().find(|node| node.output.iter().any(|name| name == output))?;
    node.input.first().map(String::as_str)
}

/// Leaves out the nodes and constants that an output does not need; returns how many nodes.
pub(super) fn keep_needed(graph: &mut GraphProto, output: &str) -> usize {
    let all = graph.node.len();
    let mut needed = HashSet::from([output.to_owned()]);
    let mut kept = Vec::with_capacity(all);
    // A node comes after what it needs.
    for node in std::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|name| needed.contains(name)) {
            needed.extend(taken(&node));
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    graph.initializer.retain(|tensor| needed.contains(&tensor.name));
    all - graph.node.len()
}

/// Every name that a node takes, graphs within it too.
pub(super) fn taken(node: &NodeProto) -> Vec<String> {
    let inner = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    let within = inner.flat_map(|graph| {
        let outputs = graph.output.iter().map(|value| value.name.clone());
        graph.node.iter().flat_map(taken).chain(outputs).collect::<Vec<_>>()
    });
    node.input.iter().cloned().chain(within).collect()
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{AttributeProto, TensorProto};

    use super::*;

    fn node(inputs: &[&str], output: &str, inner: Option<GraphProto>) -> NodeProto {
        let attribute = inner.map(|graph| AttributeProto { g: Some(graph), ..AttributeProto::default() });
        NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: attribute.into_iter().collect(),
            ..NodeProto::default()
        }
    }

    #[test]
    fn what_an_output_needs_stays_also_what_graphs_within_nodes_take() {
        let value = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
        let branch = GraphProto {
            node: vec![node(&["outside"], "within", None)],
            output: vec![value("within"), value("passed")],
            ..GraphProto::default()
        };
        let constant = |name: &str| TensorProto { name: name.into(), ..TensorProto::default() };
        let mut graph = GraphProto {
            node: vec![
                node(&["x"], "outside", None),
                node(&["x"], "passed", None),
                node(&["x", "unused"], "label", None),
                node(&["x", "used"], "logits", None),
                node(&["logits"], "probabilities", Some(branch)),
            ],
            initializer: vec![constant("used"), constant("unused")],
            ..GraphProto::default()
        };
        assert_eq!(keep_needed(&mut graph, "probabilities"), 1);
        let outputs: Vec<&str> = graph.node.iter().map(|node| node.output[0].as_str()).collect();
        assert_eq!(outputs, ["outside", "passed", "logits", "probabilities"]);
        assert_eq!(graph.initializer, [constant("used")]);
        assert_eq!(keep_needed(&mut graph, "logits"), 3);
    }

    #[test]
    fn an_output_is_the_only_one_or_a_named_one_or_a_value_within() {
        let value = |name: &str| ValueInfoProto {
            name: name.into(),
            r#type: Some(tract_onnx::pb::TypeProto {
                value: Some(type_proto::Value::TensorType(type_proto::Tensor::default())),
                ..tract_onnx::pb::TypeProto::default()
            }),
            ..ValueInfoProto::default()
        };
        let mut graph = GraphProto {
            node: vec![node(&["x"], "logits", None), node(&["logits"], "shares", None)],
            input: vec![value("x")],
            output: vec![value("shares")],
            ..GraphProto::default()
        };
        let found = |graph: &GraphProto, output| {
            Ends::find(graph, output).map(|ends| (ends.output, ends.output_index))
        };
        assert_eq!(found(&graph, None), Ok(("shares".into(), Some(0))));
        assert_eq!(found(&graph, Some("logits")), Ok(("logits".into(), None)));
        let problem = found(&graph, Some("logit")).unwrap_err();
        assert!(problem.contains("\"logit\"") && problem.contains("\"shares\""), "{problem}");
        graph.output.insert(0, value("label"));
        assert_eq!(found(&graph, Some("shares")), Ok(("shares".into(), Some(1))));
        assert!(found(&graph, None).unwrap_err().contains("--output NAME"));
    }
}

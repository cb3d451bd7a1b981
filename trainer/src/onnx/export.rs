//! The whole ONNX file.

use std::collections::BTreeMap;

use prost::Message;
use tract_onnx::pb;

use super::annotate::annotate;
use super::graph::Graph;
use super::value;
use crate::network::Network;
use crate::normaliser::Normaliser;
use crate::parameters::Parameters;

/// ONNX's number for `float32` as the target of a cast.
const FLOAT: i64 = 1;
/// ONNX operator set.
pub(crate) const OPSET: u32 = 17;
/// ONNX file format, the one of opset 17.
pub(crate) const IR_VERSION: u32 = 8;
/// Name of the input.
pub(crate) const INPUT: &str = "image";
/// Name of the output.
pub(crate) const OUTPUT: &str = "probabilities";

/// What is written into the file besides the graph.
pub struct Identity<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// Version of the model.
    pub version: u32,
    /// One line for people.
    pub description: &'a str,
    /// Class names in output order.
    pub labels: &'a [String],
    /// sha256 of the recipe.
    pub recipe_sha256: String,
    /// Version of the trainer that published it.
    pub trainer: &'a str,
    /// Whether shapes of inner values and doc strings are written: versions published before these were have neither.
    pub is_annotated: bool,
}

/// The bytes of an ONNX file; equal arguments give equal bytes. Logits are divided by `temperature`.
pub fn export(
    network: &Network,
    parameters: &Parameters,
    normaliser: &Normaliser,
    temperature: f32,
    identity: &Identity<'_>,
) -> Vec<u8> {
    let graph = build(network, parameters, normaliser, temperature);
    let mut graph = pb::GraphProto {
        name: identity.name.into(),
        node: graph.nodes,
        initializer: graph.constants,
        input: vec![value::value(INPUT, pb::tensor_proto::DataType::Uint8, &network.input.lengths())],
        output: vec![value::value(OUTPUT, pb::tensor_proto::DataType::Float, &network.output().lengths())],
        ..Default::default()
    };
    if identity.is_annotated {
        annotate(&mut graph, network);
    }
    // A sorted map: the order is part of the hash.
    let metadata = BTreeMap::from([
        ("labels", serde_json::json!(identity.labels).to_string()),
        ("model", identity.name.to_owned()),
        ("recipe_sha256", identity.recipe_sha256.clone()),
        ("version", identity.version.to_string()),
    ]);
    let model = pb::ModelProto {
        ir_version: IR_VERSION.into(),
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: OPSET.into() }],
        producer_name: "trainer".into(),
        producer_version: identity.trainer.into(),
        model_version: identity.version.into(),
        doc_string: identity.description.into(),
        graph: Some(graph),
        metadata_props: metadata
            .into_iter()
            .map(|(key, value)| pb::StringStringEntryProto { key: key.into(), value })
            .collect(),
        ..Default::default()
    };
    model.encode_to_vec()
}

fn build(network: &Network, parameters: &Parameters, normaliser: &Normaliser, temperature: f32) -> Graph {
    let tensors = parameters.state_dict().into_iter().map(|(_, _, values)| values).collect();
    let mut graph = Graph::new(tensors);
    let pixels = graph.node("Cast", "cast", &[INPUT], vec![value::int("to", FLOAT)]);
    let mut logits = network.export_logits(normalised(&pixels, normaliser, &mut graph), &mut graph);
    for view in network.views() {
        graph.branch(view.name());
        let seen = view.export(&pixels, &mut graph);
        let of_view = network.export_logits(normalised(&seen, normaliser, &mut graph), &mut graph);
        graph.branch("");
        logits = graph.node("Add", &format!("with_{}", view.name()), &[&logits, &of_view], Vec::new());
    }
    if !network.views().is_empty() {
        let classes = network.output().numel();
        let share = vec![network.share(); classes];
        logits = graph.with_constant("Mul", "average", &logits, &[1, classes], &share);
    }
    let last = network.export_probabilities(logits, &mut graph);
    if temperature != 1.0 {
        divide_logits(&mut graph, &network.output().lengths(), temperature);
    }
    // The last node is the softmax; its value gets the name of the output.
    for node in &mut graph.nodes {
        node.output.iter_mut().filter(|name| **name == last).for_each(|name| *name = OUTPUT.into());
    }
    graph
}

/// Pixels with mean 0 and deviation 1 in each channel.
fn normalised(pixels: &str, normaliser: &Normaliser, graph: &mut Graph) -> String {
    let per_channel = [1, normaliser.scale.len(), 1, 1];
    let scaled = graph.with_constant("Mul", "scale", pixels, &per_channel, &normaliser.scale);
    graph.with_constant("Add", "shift", &scaled, &per_channel, &normaliser.shift)
}

/// Puts a multiplication before the softmax.
///
/// # Panics
/// If the graph does not end in one: networks always do.
fn divide_logits(graph: &mut Graph, shape: &[usize], temperature: f32) {
    let mut softmax = graph.nodes.pop().filter(|node| node.op_type == "Softmax").expect("a softmax is last");
    let logits = softmax.input.pop().expect("a softmax has an input");
    let classes: usize = shape.iter().product();
    let values = vec![1.0 / temperature; classes];
    softmax.input = vec![graph.with_constant("Mul", "temperature", &logits, &[1, classes], &values)];
    graph.nodes.push(softmax);
}

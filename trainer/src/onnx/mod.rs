//! From a trained network to an ONNX file, deterministically.
//!
//! The graph takes raw pixels, `image` `uint8 [N, C, H, W]`, and gives `probabilities`
//! `float32 [N, classes]`: cast and normalisation are inside, so that there is nothing
//! for a consumer to get wrong. Batch normalisation is folded into the layer before it
//! (or becomes a multiplication and an addition), dropout is gone.

mod graph;
mod proto;

use std::collections::BTreeMap;

use infer::pb;
use prost::Message;

use crate::batches::Normaliser;
use crate::network::{Network, Shape};
use crate::parameters::Parameters;

/// ONNX operator set.
pub const OPSET: u32 = 17;
/// ONNX file format, the one of opset 17.
pub const IR_VERSION: u32 = 8;
/// Name of the input.
pub const INPUT: &str = "image";
/// Name of the output.
pub const OUTPUT: &str = "probabilities";
/// Name of the free first dimension.
pub const BATCH: &str = "N";

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
}

/// The bytes of an ONNX file; equal arguments give equal bytes.
pub fn export(
    network: &Network,
    parameters: &Parameters,
    normaliser: &Normaliser,
    identity: &Identity<'_>,
) -> Vec<u8> {
    let (nodes, initializers) = graph::build(network, parameters, normaliser);
    let classes = network.nodes.last().map_or(0, |node| node.output.numel());
    let graph = pb::GraphProto {
        name: identity.name.into(),
        node: nodes,
        initializer: initializers,
        input: vec![proto::value(INPUT, pb::tensor_proto::DataType::Uint8, &dimensions(network.input))],
        output: vec![proto::value(OUTPUT, pb::tensor_proto::DataType::Float, &[classes])],
        ..Default::default()
    };
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
        producer_version: env!("CARGO_PKG_VERSION").into(),
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

fn dimensions(shape: Shape) -> Vec<usize> {
    match shape {
        Shape::Image { channels, height, width } => vec![channels, height, width],
        Shape::Vector(features) => vec![features],
    }
}

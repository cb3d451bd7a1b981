//! What a graph consists of, to compare or draw it: operators, and the shapes of constants.

use std::collections::BTreeMap;

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, ModelProto, TensorProto, attribute_proto};

/// A graph as it stands in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// Operators, in order.
    pub nodes: Vec<OutlineNode>,
    /// Constants by name.
    pub constants: BTreeMap<String, OutlineConstant>,
    /// Names of the inputs that are no constants.
    pub inputs: Vec<String>,
    /// Names of the outputs.
    pub outputs: Vec<String>,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlineNode {
    /// Its name; may be empty.
    pub name: String,
    /// What it does, such as `Conv`.
    pub operator: String,
    /// Values that it takes.
    pub inputs: Vec<String>,
    /// Values that it gives.
    pub outputs: Vec<String>,
    /// Its attributes as text, such as `strides=[2, 2]`.
    pub attributes: Vec<String>,
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub struct OutlineConstant {
    /// Lengths.
    pub shape: Vec<i64>,
    /// Values, row-major, of constants of `float32`.
    pub values: Option<Vec<f32>>,
}

/// Reads the outline of an ONNX file.
///
/// # Errors
/// If it is none.
pub fn outline(onnx: &[u8]) -> Result<Outline, String> {
    let model = ModelProto::decode(onnx).map_err(|e| format!("not an ONNX file: {e}"))?;
    let graph = model.graph.ok_or("without a graph")?;
    let constants: BTreeMap<String, OutlineConstant> =
        graph.initializer.into_iter().map(|tensor| (tensor.name.clone(), constant(tensor))).collect();
    let nodes = graph.node.into_iter().map(|node| OutlineNode {
        name: node.name,
        operator: node.op_type,
        inputs: node.input,
        outputs: node.output,
        attributes: node.attribute.iter().map(attribute).collect(),
    });
    let inputs = graph.input.into_iter().map(|value| value.name).filter(|name| !constants.contains_key(name));
    Ok(Outline {
        nodes: nodes.collect(),
        inputs: inputs.collect(),
        outputs: graph.output.into_iter().map(|value| value.name).collect(),
        constants,
    })
}

fn constant(tensor: TensorProto) -> OutlineConstant {
    let is_float = tensor.data_type == i32::from(DataType::Float);
    let values = is_float.then(|| match tensor.raw_data.as_slice() {
        [] => tensor.float_data.clone(),
        raw => raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
    });
    OutlineConstant { shape: tensor.dims, values }
}

fn attribute(attribute: &AttributeProto) -> String {
    use attribute_proto::AttributeType;
    let value = match AttributeType::try_from(attribute.r#type) {
        Ok(AttributeType::Int) => attribute.i.to_string(),
        Ok(AttributeType::Float) => attribute.f.to_string(),
        Ok(AttributeType::String) => String::from_utf8_lossy(&attribute.s).into_owned(),
        Ok(AttributeType::Ints) => format!("{:?}", attribute.ints),
        Ok(AttributeType::Floats) => format!("{:?}", attribute.floats),
        _ => "...".into(),
    };
    format!("{}={value}", attribute.name)
}

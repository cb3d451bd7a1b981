//! What an ONNX file says of itself, beside the network: versions, names, shapes, and the values of its constants.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::type_proto;
use tract_onnx::pb::{StringStringEntryProto, ValueInfoProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use zoo::{Dim, TensorInfo};

use super::file::Graph;

/// Fields and tags of `onnx.proto` that do not matter for running it.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(int64, tag = "5")]
    model_version: i64,
    #[prost(string, tag = "6")]
    doc_string: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
}

impl NodeProto {
    fn quantised(&self) -> Quantised {
        let (weights, scales): (&[usize], &[usize]) = match self.op_type.as_str() {
            "QuantizeLinear" => (&[], &[1, 2]),
            "DequantizeLinear" => (&[0], &[1, 2]),
            "ConvInteger" | "MatMulInteger" => (&[1], &[2, 3]),
            "QLinearConv" => (&[3, 8], &[1, 2, 4, 5, 6, 7]),
            _ => (&[], &[]),
        };
        Quantised { weights, scales }
    }
}

/// Which inputs of an operator with quantised values are weights, and which are scales and zero points.
struct Quantised {
    weights: &'static [usize],
    scales: &'static [usize],
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "13")]
    value_info: Vec<ValueInfoProto>,
}

/// A constant: its shape, and its values row-major.
pub(crate) type Values = (Vec<usize>, Vec<f32>);

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Description {
    pub(crate) ir_version: i64,
    /// Of the standard operators.
    pub(crate) opset: i64,
    pub(crate) producer_version: String,
    pub(crate) model_version: i64,
    pub(crate) doc_string: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) input: TensorInfo,
    pub(crate) output: TensorInfo,
    /// Whether shapes of values between nodes are there.
    pub(crate) is_annotated: bool,
    /// By name; of an adopted network none.
    pub(crate) constants: BTreeMap<String, Values>,
    /// Values of all constants of floating point, but those that adopting added.
    pub(crate) parameters: u64,
}

/// What an ONNX file says of itself in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Operator set.
    pub opset: u32,
    /// File format.
    pub ir_version: u32,
    /// Values of all constants of floating point, but those that adopting added.
    pub parameters: u64,
}

/// Counts what is in an ONNX file in the form of adopted versions.
///
/// # Errors
/// What is wrong with it.
pub fn describe_adopted(onnx: &[u8]) -> Result<Summary, String> {
    let found = Description::read_adopted(Bytes::copy_from_slice(onnx)).map_err(|e| e.to_string())?;
    let number = |value: i64| u32::try_from(value).map_err(|_| format!("version {value}"));
    Ok(Summary {
        opset: number(found.opset)?,
        ir_version: number(found.ir_version)?,
        parameters: found.parameters,
    })
}

/// How the names of values begin that adopting a network adds.
pub const ADDED: &str = "adopted.";

impl Description {
    pub(crate) fn read(onnx: Bytes) -> TractResult<Description> {
        let graph = Graph::read(onnx.clone())?;
        let constants = graph.constants.iter();
        let constants =
            constants.map(|(name, constant)| (name.clone(), (constant.shape.clone(), constant.values())));
        Ok(Description { constants: constants.collect(), ..Description::read_adopted(onnx)? })
    }

    /// The same without the constants, which may be of any type.
    pub(crate) fn read_adopted(onnx: Bytes) -> TractResult<Description> {
        let model = ModelProto::decode(onnx)?;
        let values = model.graph.context("without a graph")?;
        let ([input], [output]) = (values.input.as_slice(), values.output.as_slice()) else {
            bail!("expected one input and one output");
        };
        let standard = model.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
        let parameters = parameters(&values);
        Ok(Description {
            ir_version: model.ir_version,
            opset: standard.map_or(0, |set| set.version),
            producer_version: model.producer_version,
            model_version: model.model_version,
            doc_string: model.doc_string,
            metadata: model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect(),
            input: tensor(input)?,
            output: tensor(output)?,
            is_annotated: !values.value_info.is_empty(),
            constants: BTreeMap::new(),
            parameters,
        })
    }
}

/// Values of all weights: constants of floats, and what quantised layers have in their place. Their scales and zero points,
/// and what was added to the network, are none. (Of `quantize_dynamic`, the product of two scales follows in a `Mul`, which is
/// like any other.)
fn parameters(graph: &GraphProto) -> u64 {
    let named = |places: fn(&NodeProto) -> &'static [usize]| -> HashSet<&str> {
        let names = |node| places(node).iter().filter_map(|&place| node.input.get(place)).map(String::as_str);
        graph.node.iter().flat_map(names).collect()
    };
    let (quantised, scales) = (named(|node| node.quantised().weights), named(|node| node.quantised().scales));
    let floats = [DataType::Float, DataType::Double, DataType::Float16, DataType::Bfloat16].map(i32::from);
    let is_weight = |tensor: &&TensorProto| {
        let name = tensor.name.as_str();
        let is_float = floats.contains(&tensor.data_type) && !scales.contains(name);
        (is_float || quantised.contains(name)) && !name.starts_with(ADDED)
    };
    let count = |tensor: &TensorProto| {
        tensor.dims.iter().fold(1u64, |all, &d| all.saturating_mul(u64::try_from(d).unwrap_or(0)))
    };
    graph.initializer.iter().filter(is_weight).map(count).fold(0, u64::saturating_add)
}

/// Name, type and shape of an input or output.
fn tensor(info: &ValueInfoProto) -> TractResult<TensorInfo> {
    let kind = info.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = kind else { bail!("{:?}: no tensor", info.name) };
    let dtype = match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Uint8) => "uint8",
        Ok(DataType::Float) => "float32",
        _ => bail!("{:?}: element type {}", info.name, tensor.elem_type),
    };
    let dim = |value: Option<&Value>| match value {
        Some(Value::DimValue(length)) => Ok(Dim::Fixed(usize::try_from(*length)?)),
        Some(Value::DimParam(name)) => Ok(Dim::Free(name.clone())),
        None => Ok(Dim::Free(String::new())),
    };
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim);
    let shape = dims.map(|d| dim(d.value.as_ref())).collect::<TractResult<_>>()?;
    Ok(TensorInfo { name: info.name.clone(), dtype: dtype.into(), shape })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `onnxruntime.quantization.quantize_static` leaves a dense layer of 784 pixels and ten classes.
    #[test]
    fn quantised_weights_are_parameters_and_scales_are_not() {
        let constant = |name: &str, kind: DataType, dims: &[i64]| TensorProto {
            dims: dims.into(),
            data_type: kind.into(),
            name: name.into(),
        };
        let node = |operator: &str, inputs: &[&str]| NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            op_type: operator.to_owned(),
        };
        let graph = GraphProto {
            node: vec![
                node("QuantizeLinear", &["image", "scale", "zero"]),
                node("DequantizeLinear", &["weight", "weight.scales", "weight.zeros"]),
                node("DequantizeLinear", &["bias", "scale"]),
                node("Gemm", &["x", "w", "b"]),
                node("Mul", &["y", "temperature"]),
            ],
            initializer: vec![
                constant("weight", DataType::Int8, &[10, 784]),
                constant("weight.scales", DataType::Float, &[10]),
                constant("weight.zeros", DataType::Int8, &[10]),
                constant("bias", DataType::Int32, &[10]),
                constant("scale", DataType::Float, &[]),
                constant("zero", DataType::Uint8, &[]),
                constant("temperature", DataType::Float, &[]),
                constant("shape", DataType::Int64, &[2]),
                constant(&format!("{ADDED}factor"), DataType::Float, &[1]),
            ],
            ..GraphProto::default()
        };
        assert_eq!(parameters(&graph), 7840 + 10 + 1);
    }
}

//! Pieces of an ONNX graph, as protobuf has them.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto, type_proto,
};

/// Name of the free dimension.
pub(super) const BATCH: &str = "N";

pub(super) fn int_attribute(name: &str, value: i64) -> AttributeProto {
    let kind = attribute_proto::AttributeType::Int.into();
    AttributeProto { name: name.into(), i: value, r#type: kind, ..AttributeProto::default() }
}

pub(super) fn ints_attribute(name: &str, values: &[i64]) -> AttributeProto {
    let kind = attribute_proto::AttributeType::Ints.into();
    AttributeProto { name: name.into(), ints: values.to_vec(), r#type: kind, ..AttributeProto::default() }
}

pub(super) fn float_tensor(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.iter().map(|&length| length as i64).collect(),
        data_type: DataType::Float.into(),
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

pub(super) fn int64_tensor(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64.into(),
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

/// The value of a `Constant` node, in whichever attribute it is; `None` for text and sparse tensors.
pub(super) fn constant(node: &NodeProto) -> Option<TensorProto> {
    let of = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    if let Some(attribute) = of("value") {
        return attribute.t.clone();
    }
    let scalar = |tensor: TensorProto| TensorProto { dims: Vec::new(), ..tensor };
    of("value_ints")
        .map(|list| int64_tensor("", &list.ints))
        .or_else(|| of("value_int").map(|one| scalar(int64_tensor("", &[one.i]))))
        .or_else(|| of("value_floats").map(|list| float_tensor("", &[list.floats.len()], &list.floats)))
        .or_else(|| of("value_float").map(|one| scalar(float_tensor("", &[1], &[one.f]))))
}

pub(super) fn int64s(tensor: &TensorProto) -> Vec<i64> {
    match tensor.raw_data.as_slice() {
        [] => tensor.int64_data.clone(),
        raw => raw.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect(),
    }
}

/// Calls `each` with a graph and every one within its nodes (`If`, `Loop`).
pub(super) fn each_graph(graph: &mut GraphProto, each: &mut dyn FnMut(&mut GraphProto)) {
    each(graph);
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|inner| each_graph(inner, each));
    }
}

/// Every constant of a graph, in nodes too, without those of graphs within nodes.
pub(super) fn tensors(graph: &mut GraphProto) -> impl Iterator<Item = &mut TensorProto> {
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let in_nodes = attributes.flat_map(|attribute| attribute.t.iter_mut().chain(&mut attribute.tensors));
    graph.initializer.iter_mut().chain(in_nodes)
}

pub(super) fn value_info(name: &str, element: DataType, dim: Vec<Dimension>) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: element.into(), shape: Some(TensorShapeProto { dim }) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}

pub(super) fn free() -> Dimension {
    Dimension { value: Some(dimension::Value::DimParam(BATCH.into())), ..Dimension::default() }
}

pub(super) fn fixed(length: usize) -> Dimension {
    Dimension { value: Some(dimension::Value::DimValue(length as i64)), ..Dimension::default() }
}

/// Lengths as text; those that are free are question marks.
pub(super) fn described(shape: &[Option<usize>]) -> String {
    let lengths: Vec<String> =
        shape.iter().map(|length| length.map_or("?".into(), |l| l.to_string())).collect();
    format!("[{}]", lengths.join(", "))
}

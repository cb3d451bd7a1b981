//! Short ways to make ONNX protobuf values.

use pb::attribute_proto::AttributeType;
use pb::tensor_proto::DataType;
use tract_onnx::pb;

/// Name of the free first dimension.
pub(crate) const BATCH: &str = "N";

/// An attribute with one integer.
pub(crate) fn int(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int.into(),
        i: value,
        ..Default::default()
    }
}

/// An attribute with a list of integers.
pub(crate) fn ints(name: &str, values: impl IntoIterator<Item = usize>) -> pb::AttributeProto {
    let ints = values.into_iter().map(|v| v as i64).collect();
    pb::AttributeProto { name: name.into(), r#type: AttributeType::Ints.into(), ints, ..Default::default() }
}

/// An attribute with one number.
pub(crate) fn float(name: &str, value: f32) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.into(),
        r#type: AttributeType::Float.into(),
        f: value,
        ..Default::default()
    }
}

/// A constant tensor.
pub(crate) fn tensor(name: &str, shape: &[usize], values: &[f32]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.into(),
        dims: shape.iter().map(|&d| d as i64).collect(),
        data_type: DataType::Float.into(),
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    }
}

/// A constant list of integers.
pub(crate) fn integers(name: &str, values: &[i64]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64.into(),
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..Default::default()
    }
}

/// Declaration of an input or output `[N, shape...]`.
pub(crate) fn value(name: &str, data_type: DataType, shape: &[usize]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value};
    let free = Value::DimParam(BATCH.into());
    let fixed = shape.iter().map(|&d| Value::DimValue(d as i64));
    let dim = std::iter::once(free)
        .chain(fixed)
        .map(|value| Dimension { value: Some(value), ..Default::default() })
        .collect();
    let tensor =
        pb::type_proto::Tensor { elem_type: data_type.into(), shape: Some(pb::TensorShapeProto { dim }) };
    let kind = pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() };
    pb::ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
}

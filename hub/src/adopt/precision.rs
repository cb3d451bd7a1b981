//! Element types in which tract's operators are not complete: halves and doubles become `float32`.
//!
//! `onnxconverter_common.float16` and PyTorch's `half()` leave constants of two bytes. `float32` holds each of them exactly, and
//! onnxruntime computes such networks on processors in `float32`, too.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, TensorProto, ValueInfoProto, type_proto};

use super::proto::{each_graph, tensors};

/// Attributes that hold an element type: of `Cast`, `EyeLike`, `DequantizeLinear`.
const TYPE_ATTRIBUTES: [&str; 3] = ["to", "dtype", "output_dtype"];

/// What became `float32`.
#[derive(Default)]
pub(super) struct Changed {
    /// In words.
    pub(super) changes: Vec<String>,
    /// Whether halves did.
    pub(super) has_halves: bool,
}

/// Lets a graph compute in `float32` what it would in halves, and what it would in doubles if those are what it takes or
/// gives.
pub(super) fn to_float32(graph: &mut GraphProto) -> Changed {
    let is_double = graph.input.iter().chain(&graph.output).any(|end| element(end) == Some(DataType::Double));
    let halves = [DataType::Float16, DataType::Bfloat16];
    let kinds = halves.into_iter().chain(is_double.then_some(DataType::Double));
    let mut changed = Changed::default();
    for kind in kinds {
        let count = replace(graph, kind);
        if count > 0 {
            let name = name(kind);
            changed.changes.push(format!("{name} made float32, in which it is computed, in {count} places"));
            changed.has_halves |= halves.contains(&kind);
        }
    }
    changed
}

/// ONNX's name of an element type.
pub(super) fn name(kind: DataType) -> String {
    format!("{kind:?}").to_lowercase()
}

/// The values of a tensor of floating-point numbers as `float32`; `None` for another type, and for bytes that are no whole
/// number of values.
pub(super) fn float32s(tensor: &TensorProto) -> Option<Vec<f32>> {
    let raw = tensor.raw_data.as_slice();
    let halves = |value: fn(u16) -> f32| {
        // Without raw data each is in the lower bits of an int32 (onnx.proto, "int32_data").
        let bits: Vec<u16> = match raw {
            [] => tensor.int32_data.iter().map(|&bits| bits as u16).collect(),
            raw => raw.as_chunks().0.iter().map(|&bytes| u16::from_le_bytes(bytes)).collect(),
        };
        bits.into_iter().map(value).collect()
    };
    let kind = DataType::try_from(tensor.data_type).ok()?;
    let (width, values): (usize, Vec<f32>) = match kind {
        DataType::Float16 => (2, halves(|bits| half::f16::from_bits(bits).to_f32())),
        DataType::Bfloat16 => (2, halves(|bits| half::bf16::from_bits(bits).to_f32())),
        DataType::Float if raw.is_empty() => (4, tensor.float_data.clone()),
        DataType::Float => (4, raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
        DataType::Double if raw.is_empty() => {
            (8, tensor.double_data.iter().map(|&value| value as f32).collect())
        }
        DataType::Double => {
            (8, raw.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect())
        }
        _ => return None,
    };
    raw.len().is_multiple_of(width).then_some(values)
}

/// The element type of an input or output.
fn element(value: &ValueInfoProto) -> Option<DataType> {
    let type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    DataType::try_from(tensor.elem_type).ok()
}

/// Replaces an element type everywhere in a graph, those within nodes too; returns in how many places.
fn replace(graph: &mut GraphProto, kind: DataType) -> usize {
    let mut count = 0;
    each_graph(graph, &mut |graph| {
        for value in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
            let kind_proto = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
            if let Some(type_proto::Value::TensorType(tensor)) = kind_proto
                && tensor.elem_type == i32::from(kind)
            {
                tensor.elem_type = DataType::Float.into();
                count += 1;
            }
        }
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            count += usize::from(replace_attribute(attribute, kind));
        }
        for tensor in tensors(graph).filter(|tensor| tensor.data_type == i32::from(kind)) {
            // What is no whole number of values stays, and is refused as such.
            if let Some(values) = float32s(tensor) {
                *tensor = TensorProto {
                    name: std::mem::take(&mut tensor.name),
                    dims: std::mem::take(&mut tensor.dims),
                    data_type: DataType::Float.into(),
                    raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
                    ..TensorProto::default()
                };
                count += 1;
            }
        }
    });
    count
}

fn replace_attribute(attribute: &mut AttributeProto, kind: DataType) -> bool {
    let is_it =
        TYPE_ATTRIBUTES.contains(&attribute.name.as_str()) && attribute.i == i64::from(i32::from(kind));
    if is_it {
        attribute.i = i32::from(DataType::Float).into();
    }
    is_it
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(kind: DataType, raw_data: &[u8], int32_data: &[i32]) -> TensorProto {
        TensorProto {
            data_type: kind.into(),
            raw_data: raw_data.to_vec(),
            int32_data: int32_data.to_vec(),
            ..TensorProto::default()
        }
    }

    #[test]
    fn every_way_to_write_numbers_is_read() {
        let doubles = 0.5f64.to_le_bytes();
        let listed = TensorProto { double_data: vec![-3.0], ..tensor(DataType::Double, &[], &[]) };
        for (tensor, expected) in [
            (tensor(DataType::Float16, &[0x00, 0x3c, 0x00, 0xb8], &[]), Some(vec![1.0, -0.5])),
            (tensor(DataType::Float16, &[], &[0x3c00, 0x7bff]), Some(vec![1.0, 65504.0])),
            (tensor(DataType::Bfloat16, &[0x80, 0x3f], &[]), Some(vec![1.0])),
            (tensor(DataType::Double, &doubles, &[]), Some(vec![0.5])),
            (listed, Some(vec![-3.0])),
            (tensor(DataType::Float16, &[0x00, 0x3c, 0x00], &[]), None),
            (tensor(DataType::Int64, &[0; 8], &[]), None),
        ] {
            assert_eq!(float32s(&tensor), expected, "{tensor:?}");
        }
    }
}

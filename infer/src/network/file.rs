//! The parts of an ONNX file that are read here.
//!
//! tract's protobuf types copy every weight out of the file; here a constant is a view into it, so
//! that weights are copied once, into the form in which they are used. A fresh page of memory costs
//! one to four microseconds on a virtual machine, so each copy of a 4.4 MB model cost a millisecond and a
//! half of every `infer predict`.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, ValueInfoProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::facts::{BASE_MEMORY, MEMORY_RATIO};

/// Largest number of integers in a constant: two for each dimension of a value.
const MAX_INTEGERS: usize = 8;

/// Largest number of operators in a file.
const MAX_NODES: usize = 2000;

/// Fields and tags of `onnx.proto`; what is not named is passed over.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
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
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "bytes", tag = "9")]
    raw_data: Bytes,
}

/// A graph with one input and one output.
pub(super) struct Graph {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: HashMap<String, Constant>,
    /// Constants of integers.
    pub(super) integers: HashMap<String, Vec<i64>>,
    pub(super) input: String,
    pub(super) output: String,
}

/// `float32` values, all finite.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    pub(super) shape: Vec<usize>,
    data: Bytes,
}

impl Graph {
    pub(super) fn read(onnx: Bytes) -> TractResult<Graph> {
        let model = ModelProto::decode(onnx)?;
        let GraphProto { node: nodes, initializer, input, output } =
            model.graph.context("without a graph")?;
        ensure!(nodes.len() <= MAX_NODES, "{} nodes, at most {MAX_NODES} expected", nodes.len());
        let (mut constants, mut integers) = (HashMap::new(), HashMap::new());
        let mut names = HashSet::new();
        for tensor in initializer {
            let name = tensor.name.clone();
            ensure!(names.insert(name.clone()), "constant {name:?} is there twice");
            if tensor.data_type == i32::from(DataType::Int64) {
                let values = read_integers(&tensor).with_context(|| format!("constant {name:?}"))?;
                integers.insert(name, values);
                continue;
            }
            let value = Constant::read(tensor).with_context(|| format!("constant {name:?}"))?;
            constants.insert(name, value);
        }
        let ([input], [output]) = (input.as_slice(), output.as_slice()) else {
            bail!("{} inputs and {} outputs, expected one each", input.len(), output.len());
        };
        Ok(Graph { nodes, constants, integers, input: input.name.clone(), output: output.name.clone() })
    }

    /// Bytes that the network may take: some, and some for each byte of the file's constants.
    pub(super) fn memory(&self) -> usize {
        let constants: usize = self.constants.values().map(Constant::bytes).sum();
        BASE_MEMORY.saturating_add(constants.saturating_mul(MEMORY_RATIO))
    }

    /// How many nodes and outputs read a value.
    pub(super) fn uses(&self, name: &String) -> usize {
        let inputs = self.nodes.iter().flat_map(|node| &node.input).chain([&self.output]);
        inputs.filter(|input| *input == name).count()
    }
}

/// A short list of integers.
fn read_integers(tensor: &TensorProto) -> TractResult<Vec<i64>> {
    let TensorProto { dims, raw_data: data, .. } = tensor;
    let (values, rest) = data.as_chunks();
    let fits = matches!(dims.as_slice(), &[count] if usize::try_from(count) == Ok(values.len()));
    ensure!(
        fits && rest.is_empty() && values.len() <= MAX_INTEGERS,
        "{} bytes of data for {dims:?} integers, expected a list of at most {MAX_INTEGERS}",
        data.len()
    );
    Ok(values.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect())
}

impl Constant {
    /// Of values, row-major.
    #[cfg(feature = "adopted")]
    pub(super) fn new(shape: Vec<usize>, values: &[f32]) -> Constant {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        Constant { shape, data: data.into() }
    }

    fn read(tensor: TensorProto) -> TractResult<Constant> {
        let TensorProto { dims, data_type, raw_data: data, .. } = tensor;
        ensure!(data_type == i32::from(DataType::Float), "element type {data_type}, expected float");
        let shape = dims.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>()?;
        let count = shape.iter().try_fold(1usize, |all, &d| all.checked_mul(d));
        let expected = count.and_then(|count| count.checked_mul(size_of::<f32>()));
        ensure!(
            expected == Some(data.len()) && !data.is_empty(),
            "{} bytes of data for {shape:?}",
            data.len()
        );
        let constant = Constant { shape, data };
        // Checked here, because max-pooling passes over a NaN as if it were not there.
        let finite = constant.words().fold(true, |all, word| all & f32::from_le_bytes(word).is_finite());
        ensure!(finite, "a value that is not finite");
        Ok(constant)
    }

    /// Length of the values.
    pub(super) fn bytes(&self) -> usize {
        self.data.len()
    }

    fn words(&self) -> impl Iterator<Item = [u8; 4]> {
        self.data.as_chunks().0.iter().copied()
    }

    /// The values, row-major.
    pub(super) fn values(&self) -> Vec<f32> {
        self.words().map(f32::from_le_bytes).collect()
    }

    /// Value number `index`, row-major, of those that the shape has.
    pub(super) fn value(&self, index: usize) -> f32 {
        f32::from_le_bytes(self.data.as_chunks().0[index])
    }
}

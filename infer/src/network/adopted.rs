//! Networks from elsewhere: every operator that tract-onnx knows, within limits.
//!
//! What a version of a recipe may contain is narrower ([`super::operators`]); this way is only taken for versions that say
//! that they were adopted.

use std::collections::HashSet;

use bytes::Bytes;
use datasets::ImageShape;
use prost::Message;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::Cost;
use tract_onnx::tract_hir::infer::Factoid;

use super::dequantize::declutter;
use super::facts::{ALL_VALUES, MAX_VALUES, per_image};
use super::join::cut;
use super::substitute::substitute;
use super::{BATCH, Network, guarded, problem};

/// Largest number of operators, those of inner graphs too.
const MAX_NODES: usize = 10_000;
/// Operator sets that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 6..=25;
/// Operators for which tract gives other values than ONNX's backend tests expect (`scripts/check_conformance.py`).
const GIVES_OTHER_VALUES: [&str; 4] = ["DFT", "GRU", "LpNormalization", "QLinearMatMul"];
/// Recurrent operators, whose fifth input, the lengths of sequences, tract does not look at.
const RECURRENT: [&str; 2] = ["LSTM", "RNN"];
/// Most dimensions; tract counts up to an axis that is named.
const MAX_RANK: u64 = 32;
/// Largest number in an attribute that is no axis: sizes of windows, groups, features.
const MAX_LENGTH: u64 = 1 << 24;
/// Deepest nesting of graphs.
const MAX_DEPTH: usize = 4;
/// Most bytes of all constants.
const MAX_CONSTANTS: usize = 2 << 30;
/// Most values that a constant, or one that is made from constants alone, may have.
const MAX_CONSTANT: usize = 256 << 20;

/// Reads a network that takes `uint8 [N, C, H, W]` and gives `float32 [N, classes]`.
pub(super) fn read(onnx: Bytes, shape: ImageShape) -> TractResult<Network> {
    let proto = ModelProto::decode(onnx)?;
    check(&proto)?;
    let ImageShape { channels, height, width } = shape;
    let images = |n: TDim| tvec![n, channels.to_dim(), height.to_dim(), width.to_dim()];
    let body = typed(&proto, u8::datum_type(), images)?;
    let (values, macs) = measure(&body)?;
    let (body, head) = cut(substitute(body)?)?;
    Ok(Network { body, head, values, macs, is_foreign: true })
}

/// A model with one input of the given type and shape, of which the first length is `N`, and one output.
///
/// # Errors
/// What tract does not take, with the node.
pub(crate) fn typed(
    proto: &ModelProto,
    kind: DatumType,
    shape: impl FnOnce(TDim) -> TVec<TDim>,
) -> TractResult<TypedModel> {
    // Shapes that a file claims for values inside need not be true, or fit another number of images.
    let framework = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    let mut model = framework.model_for_proto_model(proto)?;
    let (inputs, outputs) = (model.input_outlets()?.len(), model.output_outlets()?.len());
    ensure!((inputs, outputs) == (1, 1), "{inputs} inputs and {outputs} outputs, expected one each");
    let n = model.symbols.sym(BATCH).to_dim();
    model.set_input_fact(0, InferenceFact::dt_shape(kind, shape(n)))?;
    declutter(model.into_typed()?)
}

/// Bytes of all values between operators for an image, and multiply-accumulates.
fn measure(model: &TypedModel) -> TractResult<(usize, u64)> {
    let (mut values, mut macs) = (0usize, 0u64);
    let one = SymbolValues::default().with(&model.symbols.sym(BATCH), 1);
    for node in model.nodes() {
        let place = || format!("node {:?} ({})", node.name, node.op.name());
        for slot in 0..node.outputs.len() {
            let outlet = OutletId::new(node.id, slot);
            let fact = model.outlet_fact(outlet)?;
            if fact.konst.is_some() {
                continue;
            }
            let size = per_image(model, outlet).with_context(place)?;
            let size = size.iter().try_fold(1usize, |all, &length| all.checked_mul(length));
            let size = size.filter(|&size| size <= MAX_VALUES);
            let size = size.with_context(|| format!("{}: more than {MAX_VALUES} values", place()))?;
            values = values.saturating_add(size.saturating_mul(fact.datum_type.size_of()));
        }
        let facts = model.node_input_facts(node.id)?;
        for (cost, count) in node.op.cost(&facts)? {
            if matches!(cost, Cost::FMA(_)) {
                macs = macs.saturating_add(count.eval(&one).to_i64().unwrap_or(0).max(0) as u64);
            }
        }
    }
    ensure!(
        values <= ALL_VALUES,
        "{values} bytes of values between operators, at most {ALL_VALUES} expected"
    );
    Ok((values, macs))
}

/// Checks what could cost more than the file's length lets expect, or is not carried out here.
///
/// # Errors
/// What it is, and where.
pub(crate) fn check(proto: &ModelProto) -> TractResult<()> {
    let graph = proto.graph.as_ref().context("without a graph")?;
    ensure!(
        proto.functions.is_empty(),
        "{} functions; expected a file in which they are written out (onnx.inliner does that)",
        proto.functions.len()
    );
    let standard = proto.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
    let opset = standard.map_or(0, |set| set.version);
    ensure!(OPSETS.contains(&opset), "opset {opset} of the standard operators, expected {OPSETS:?}");
    let mut totals = Totals::default();
    totals.graph(graph, &HashSet::new(), 0)
}

#[derive(Default)]
struct Totals {
    nodes: usize,
    constants: usize,
}

impl Totals {
    /// `outer` are the values of the graphs around it.
    fn graph(&mut self, graph: &GraphProto, outer: &HashSet<&str>, depth: usize) -> TractResult<()> {
        ensure!(depth <= MAX_DEPTH, "graphs within graphs, more than {MAX_DEPTH}");
        ensure!(graph.sparse_initializer.is_empty(), "sparse constants, which are not read here");
        self.nodes += graph.node.len();
        ensure!(self.nodes <= MAX_NODES, "{} nodes, at most {MAX_NODES} expected", self.nodes);
        let mut known = outer.clone();
        known.extend(graph.input.iter().map(|value| value.name.as_str()));
        for tensor in &graph.initializer {
            known.insert(&tensor.name);
            self.tensor(tensor).with_context(|| format!("constant {:?}", tensor.name))?;
        }
        for node in &graph.node {
            let place = || format!("node {:?} ({})", node.name, node.op_type);
            let domain = node.domain.as_str();
            ensure!(matches!(domain, "" | "ai.onnx"), "{}: unknown domain {domain:?}", place());
            let operator = node.op_type.as_str();
            ensure!(!GIVES_OTHER_VALUES.contains(&operator), "{}: not read here", place());
            let has_lengths = node.input.get(4).is_some_and(|name| !name.is_empty());
            ensure!(
                !(RECURRENT.contains(&operator) && has_lengths),
                "{}: lengths of sequences, not read here",
                place()
            );
            // In order (ONNX IR specification, "Graphs"): what is not there yet is missing, or in a circle.
            for name in node.input.iter().filter(|name| !name.is_empty()) {
                ensure!(known.contains(name.as_str()), "{}: input {name:?} is nowhere before it", place());
            }
            for attribute in &node.attribute {
                self.attribute(attribute, &known, depth).with_context(place)?;
            }
            self.filled(graph, node).with_context(place)?;
            for name in node.output.iter().filter(|name| !name.is_empty()) {
                ensure!(known.insert(name), "{}: output {name:?} is there twice", place());
            }
        }
        for output in &graph.output {
            ensure!(known.contains(output.name.as_str()), "output {:?} is nowhere", output.name);
        }
        Ok(())
    }

    fn attribute(
        &mut self,
        attribute: &AttributeProto,
        known: &HashSet<&str>,
        depth: usize,
    ) -> TractResult<()> {
        ensure!(
            attribute.sparse_tensor.is_none() && attribute.sparse_tensors.is_empty(),
            "attribute {:?}: a sparse tensor, which is not read here",
            attribute.name
        );
        let most = match attribute.name.as_str() {
            "axis" | "axes" | "batch_axis" | "time_axis" | "perm" => MAX_RANK,
            // Ends of slices, and constants.
            "starts" | "ends" | "value_int" | "value_ints" => i64::MAX as u64,
            _ => MAX_LENGTH,
        };
        for number in std::iter::once(&attribute.i).chain(&attribute.ints) {
            ensure!(
                number.unsigned_abs() <= most,
                "attribute {:?}: {number}, expected at most {most}",
                attribute.name
            );
        }
        for tensor in attribute.t.iter().chain(&attribute.tensors) {
            self.tensor(tensor).with_context(|| format!("attribute {:?}", attribute.name))?;
        }
        attribute.g.iter().chain(&attribute.graphs).try_for_each(|graph| self.graph(graph, known, depth + 1))
    }

    /// A tensor has as many values as it declares.
    fn tensor(&mut self, tensor: &TensorProto) -> TractResult<()> {
        let outside = tensor.data_location == Some(DataLocation::External as i32);
        ensure!(
            !outside && tensor.external_data.is_empty(),
            "data in another file; expected all in one, as onnx.save writes it (`zoo adopt` takes both)"
        );
        let count = count(tensor)?;
        let width = width(tensor)?;
        let found = if !tensor.raw_data.is_empty() {
            let length = tensor.raw_data.len();
            ensure!(
                width.is_some_and(|width| count * width == length),
                "{length} bytes for {:?}",
                tensor.dims
            );
            count
        } else {
            let lists = [
                tensor.float_data.len(),
                tensor.double_data.len(),
                tensor.int32_data.len(),
                tensor.int64_data.len(),
                tensor.uint64_data.len(),
                tensor.string_data.len(),
            ];
            lists.into_iter().sum()
        };
        ensure!(found == count, "{found} values for {:?}", tensor.dims);
        self.constants = self.constants.saturating_add(count.saturating_mul(width.unwrap_or(16)));
        ensure!(self.constants <= MAX_CONSTANTS, "constants of more than {MAX_CONSTANTS} bytes");
        Ok(())
    }

    /// Operators that make many values of few: shapes that are constants are known before anything is computed.
    fn filled(&self, graph: &GraphProto, node: &tract_onnx::pb::NodeProto) -> TractResult<()> {
        let shape_input = match node.op_type.as_str() {
            "ConstantOfShape" => 0,
            "Expand" | "Tile" | "Reshape" => 1,
            _ => return Ok(()),
        };
        let Some(name) = node.input.get(shape_input) else { return Ok(()) };
        let Some(shape) = graph.initializer.iter().find(|tensor| tensor.name == *name) else { return Ok(()) };
        let lengths = int64s(shape);
        let size = lengths.iter().try_fold(1usize, |all, &length| {
            // 0 and -1 stand for lengths that are known from elsewhere.
            all.checked_mul(usize::try_from(length).unwrap_or(1).max(1))
        });
        ensure!(
            size.is_some_and(|size| size <= MAX_CONSTANT),
            "{lengths:?}: at most {MAX_CONSTANT} values expected"
        );
        Ok(())
    }
}

/// Values that a tensor declares.
fn count(tensor: &TensorProto) -> TractResult<usize> {
    let lengths = tensor.dims.iter().map(|&length| usize::try_from(length));
    let lengths = lengths.collect::<Result<Vec<usize>, _>>().with_context(|| format!("{:?}", tensor.dims))?;
    let size = lengths.iter().try_fold(1usize, |all, &length| all.checked_mul(length));
    size.filter(|&size| size <= MAX_CONSTANT)
        .with_context(|| format!("{lengths:?}: more than {MAX_CONSTANT} values"))
}

/// Bytes of a value in `raw_data`; `None` for text.
fn width(tensor: &TensorProto) -> TractResult<Option<usize>> {
    Ok(Some(match DataType::try_from(tensor.data_type) {
        Ok(DataType::Bool | DataType::Int8 | DataType::Uint8) => 1,
        Ok(DataType::Int16 | DataType::Uint16 | DataType::Float16 | DataType::Bfloat16) => 2,
        Ok(DataType::Int32 | DataType::Uint32 | DataType::Float) => 4,
        Ok(DataType::Int64 | DataType::Uint64 | DataType::Double) => 8,
        Ok(DataType::String) => return Ok(None),
        _ => bail!("element type {}", tensor.data_type),
    }))
}

/// The values of a tensor of 64-bit integers.
pub(crate) fn int64s(tensor: &TensorProto) -> Vec<i64> {
    match tensor.raw_data.as_slice() {
        [] => tensor.int64_data.clone(),
        raw => raw.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect(),
    }
}

/// Shapes of values by name, as far as they follow from a network's input `[N, C, H, W]`: `N x 10`.
///
/// # Errors
/// If the file is not read here.
pub fn shapes(onnx: &[u8], shape: ImageShape) -> Result<std::collections::BTreeMap<String, String>, String> {
    guarded(true, || shapes_of(onnx, shape)).map_err(|error| problem(&error))
}

fn shapes_of(onnx: &[u8], shape: ImageShape) -> TractResult<std::collections::BTreeMap<String, String>> {
    let proto = ModelProto::decode(onnx)?;
    check(&proto)?;
    let framework = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    let tract_onnx::model::ParseResult { mut model, outlets_by_name, .. } = framework.parse(&proto, None)?;
    let n = model.symbols.sym(BATCH).to_dim();
    let ImageShape { channels, height, width } = shape;
    let image = tvec![n, channels.to_dim(), height.to_dim(), width.to_dim()];
    model.set_input_fact(0, InferenceFact::dt_shape(u8::datum_type(), image))?;
    // What cannot be told is left out of the picture.
    let _ = model.analyse(false);
    let known = outlets_by_name.into_iter().filter_map(|(name, outlet)| {
        let dims = model.outlet_fact(outlet).ok()?.shape.concretize()?;
        let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
        Some((name, dims.join(" x ")))
    });
    Ok(known.collect())
}

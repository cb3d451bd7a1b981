//! Any ONNX file on any tensors, as it is: to see what a foreign network gives before it is adopted, and to hold the reader
//! against the ONNX backend tests.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tract_onnx::data_resolver;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{ModelProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tensor::load_tensor;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::{DimFact, Factoid};

use crate::error::{Error, Result};
use crate::network::adopted::check;
use crate::network::dequantize::declutter;
use crate::network::substitute::substitute;
use crate::network::{guarded, problem, reasons};

/// What a network gave.
pub struct Ran {
    /// Serialised `TensorProto`s in the order of the graph's outputs.
    pub outputs: Vec<Vec<u8>>,
    /// Times of the runs after the first, ascending.
    pub times: Vec<Duration>,
}

/// An input of a network.
pub struct Input(TValue);

impl Input {
    /// Reads a serialised `TensorProto`. `path` is only for the error.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no tensor.
    pub fn read(bytes: &[u8], path: &Path) -> Result<Input> {
        let read = || {
            let tensor = TensorProto::decode(bytes)?;
            Ok(Input(load_tensor(&*data_resolver::default(), &tensor, None)?.into_tvalue()))
        };
        guarded(true, read).map_err(|error| {
            Error::Usage(format!("{}: not a TensorProto: {}", path.display(), reasons(&error)))
        })
    }
}

/// Runs a network once, and `repeat` times more to see how long that takes. `inputs` are in the order of the graph's inputs.
/// `path` is only for the error.
///
/// # Errors
/// [`Error::Model`] for what is not read here, naming the node.
pub fn run(onnx: impl Into<Bytes>, inputs: &[Input], repeat: usize, path: &Path) -> Result<Ran> {
    guarded(true, || run_proto(onnx.into(), inputs, repeat)).map_err(|e| Error::model(path, problem(&e)))
}

fn run_proto(onnx: Bytes, inputs: &[Input], repeat: usize) -> TractResult<Ran> {
    let proto = ModelProto::decode(onnx)?;
    check(&proto)?;
    let framework = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    let mut model = framework.model_for_proto_model(&proto)?;
    let expected = model.input_outlets()?.len();
    ensure!(
        inputs.len() == expected,
        "{} inputs given (input_0.pb and so on), {expected} expected",
        inputs.len()
    );
    let mut values = TVec::new();
    for (index, Input(value)) in inputs.iter().enumerate() {
        let declared = model.input_fact(index)?;
        ensure!(
            fits(value, declared),
            "input {index}: found {:?} {:?}, expected {:?}",
            value.datum_type(),
            value.shape(),
            declared
        );
        model.set_input_fact(index, InferenceFact::dt_shape(value.datum_type(), value.shape()))?;
        values.push(value.clone());
    }
    let names: Vec<String> =
        proto.graph.iter().flat_map(|graph| &graph.output).map(|v| v.name.clone()).collect();
    let model = substitute(declutter(model.into_typed()?)?)?;
    let bytes = most_values(&model)?;
    ensure!(bytes <= MOST_BYTES, "{bytes} bytes of values at a time, at most {MOST_BYTES} expected");
    let mut state = model.into_optimized()?.into_runnable()?.spawn()?;
    let outputs = state.run(values.clone())?;
    let mut times = Vec::new();
    for _ in 0..repeat {
        let started = Instant::now();
        state.run(values.clone())?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let named = outputs.into_iter().zip(names);
    let outputs = named.map(|(output, name)| Ok(tensor_proto(&output, name)?.encode_to_vec()));
    Ok(Ran { outputs: outputs.collect::<TractResult<_>>()?, times })
}

/// Most bytes of values that are there at a time: a small file can double a value again and again.
const MOST_BYTES: u64 = 4 << 30;

/// Most bytes of values at a time, each kept until its last use, as far as sizes are known before the network runs.
fn most_values(model: &TypedModel) -> TractResult<u64> {
    let order = model.eval_order()?;
    let mut last_use = HashMap::new();
    for (step, &node) in order.iter().enumerate() {
        model.node(node).inputs.iter().for_each(|&outlet| {
            last_use.insert(outlet, step);
        });
    }
    let mut ends: HashMap<usize, u64> = HashMap::new();
    let (mut now, mut most) = (0u64, 0u64);
    for (step, &node) in order.iter().enumerate() {
        for slot in 0..model.node(node).outputs.len() {
            let outlet = OutletId::new(node, slot);
            let fact = model.outlet_fact(outlet)?;
            let Some(shape) = fact.shape.as_concrete().filter(|_| fact.konst.is_none()) else { continue };
            let size = fact.datum_type.size_of() as u64;
            let bytes = shape.iter().fold(size, |all, &length| all.saturating_mul(length as u64));
            now = now.saturating_add(bytes);
            if let Some(&last) = last_use.get(&outlet) {
                let end = ends.entry(last).or_default();
                *end = end.saturating_add(bytes);
            }
        }
        most = most.max(now);
        now = now.saturating_sub(ends.remove(&step).unwrap_or(0));
    }
    Ok(most)
}

/// Whether a value is of the type and shape that the file declares; lengths that it names or leaves open, as by 0, may be any.
fn fits(value: &TValue, declared: &InferenceFact) -> bool {
    let kind = declared.datum_type.concretize().is_none_or(|kind| kind == value.datum_type());
    let rank = declared.shape.rank().concretize().is_none_or(|rank| rank == value.rank() as i64);
    let mut lengths = declared.shape.dims().zip(value.shape());
    let is_length = |declared: &DimFact, length: usize| {
        declared
            .concretize()
            .and_then(|declared| declared.to_usize().ok())
            .is_none_or(|declared| declared == 0 || declared == length)
    };
    kind && rank && lengths.all(|(declared, &length)| is_length(declared, length))
}

/// A tensor in ONNX's form.
fn tensor_proto(value: &TValue, name: String) -> TractResult<TensorProto> {
    let value = value.clone().into_tensor();
    // Lengths are 64-bit integers outside of tract.
    let value =
        if value.datum_type() == TDim::datum_type() { value.cast_to::<i64>()?.into_owned() } else { value };
    let data_type = match value.datum_type() {
        DatumType::Bool => DataType::Bool,
        DatumType::U8 => DataType::Uint8,
        DatumType::U16 => DataType::Uint16,
        DatumType::U32 => DataType::Uint32,
        DatumType::U64 => DataType::Uint64,
        DatumType::I8 => DataType::Int8,
        DatumType::I16 => DataType::Int16,
        DatumType::I32 => DataType::Int32,
        DatumType::I64 => DataType::Int64,
        DatumType::F16 => DataType::Float16,
        DatumType::F32 => DataType::Float,
        DatumType::F64 => DataType::Double,
        other => bail!("output {name:?}: {other:?}, which has no form in ONNX"),
    };
    Ok(TensorProto {
        name,
        dims: value.shape().iter().map(|&length| length as i64).collect(),
        data_type: data_type.into(),
        raw_data: value.try_as_plain_ram()?.as_bytes().to_vec(),
        ..TensorProto::default()
    })
}

//! From an ONNX file to typed tract models, without tract's registry of all ONNX operators.
//!
//! A published model uses few operators (see [`operators`]). Wiring just these keeps the
//! program small, its start quick, and every attribute that is not understood an error.

mod layers;
mod operators;
mod product;
mod winograd;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datasets::ImageShape;
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

/// Largest number of operators in a file.
const MAX_NODES: usize = 2000;
/// Largest number of values between two operators, for one image (64 MiB).
const MAX_VALUES: usize = 16 << 20;

/// A network in two parts. Convolutions are fastest image by image, because tract's lazy
/// im2col needs a concrete shape and a batch of one; dense layers are fastest for many
/// images at a time, because each of their weights is read once per call.
pub(crate) struct Network {
    /// `uint8 [1, C, H, W]` to `float32 [1, K]`, or to the output if there is no `head`.
    pub(crate) body: TypedModel,
    /// `float32 [N, K]` to the output, N free.
    pub(crate) head: Option<TypedModel>,
}

impl Network {
    /// Reads an ONNX file with one input and one output.
    pub(crate) fn read(onnx: &[u8], shape: ImageShape) -> TractResult<Network> {
        let graph = Graph::read(onnx)?;
        let pixels = u8::fact([1, shape.channels, shape.height, shape.width]);
        let (body, head) = graph.nodes.split_at(graph.cut());
        let joint = head.first().and_then(|node| node.input.first()).unwrap_or(&graph.output);
        let body = graph.wire(TypedModel::default(), body, &graph.input, pixels, joint)?;
        if head.is_empty() {
            return Ok(Network { body, head: None });
        }
        let features = body.output_fact(0)?.shape.volume().to_usize()?;
        let model = TypedModel::default();
        let fact = f32::fact([model.symbols.sym("N").to_dim(), features.to_dim()]);
        let head = graph.wire(model, head, joint, fact, &graph.output)?;
        Ok(Network { body, head: Some(head) })
    }
}

struct Graph {
    nodes: Vec<NodeProto>,
    constants: HashMap<String, Arc<Tensor>>,
    input: String,
    output: String,
}

impl Graph {
    fn read(onnx: &[u8]) -> TractResult<Graph> {
        let model = ModelProto::decode(onnx)?;
        let GraphProto { node: nodes, initializer, input, output, .. } =
            model.graph.context("without a graph")?;
        ensure!(nodes.len() <= MAX_NODES, "{} nodes, at most {MAX_NODES} expected", nodes.len());
        let mut constants = HashMap::new();
        for tensor in initializer {
            let value = constant(&tensor).with_context(|| format!("constant {:?}", tensor.name))?;
            let name = tensor.name;
            ensure!(constants.insert(name.clone(), value).is_none(), "constant {name:?} is there twice");
        }
        let ([input], [output]) = (input.as_slice(), output.as_slice()) else {
            bail!("{} inputs and {} outputs, expected one each", input.len(), output.len());
        };
        Ok(Graph { nodes, constants, input: input.name.clone(), output: output.name.clone() })
    }

    /// Number of nodes in the first part: up to the first `Flatten` whose output is all that
    /// the later nodes need. All nodes, if there is none.
    fn cut(&self) -> usize {
        let ends_part = |at: usize| {
            let Some((last, rest)) = self.nodes.get(at - 1).zip(self.nodes.get(at..)) else { return false };
            let follows = rest.first().is_some_and(|next| next.input.first() == last.output.first());
            if last.op_type != "Flatten" || !follows {
                return false;
            }
            let mut known: HashSet<&String> = self.constants.keys().chain(&last.output).collect();
            known.extend(rest.iter().flat_map(|node| &node.output));
            rest.iter().flat_map(|node| &node.input).all(|name| known.contains(name))
        };
        (1..self.nodes.len()).find(|&at| ends_part(at)).unwrap_or(self.nodes.len())
    }

    /// How many read a value.
    fn uses(&self, name: &String) -> usize {
        let inputs = self.nodes.iter().flat_map(|node| &node.input).chain([&self.output]);
        inputs.filter(|input| *input == name).count()
    }

    /// Adds `nodes` to an empty model, from the value called `input` to the one called `output`.
    fn wire(
        &self,
        mut model: TypedModel,
        nodes: &[NodeProto],
        input: &str,
        fact: TypedFact,
        output: &str,
    ) -> TractResult<TypedModel> {
        let source = model.add_source(input, fact)?;
        let value = match model.outlet_fact(source)?.rank() {
            4 => only(&model.wire_node("channels_last", AxisOp::Move(1, 3), &[source])?)?,
            _ => source,
        };
        let mut values = HashMap::from([(input, value)]);
        for node in nodes {
            let place = || format!("node {:?} ({})", node.name, node.op_type);
            let mut inputs = TVec::new();
            for name in &node.input {
                let outlet = match (values.get(name.as_str()), self.constants.get(name)) {
                    (Some(&outlet), _) => outlet,
                    (None, Some(constant)) => model.add_const(name, constant.clone())?,
                    (None, None) => bail!("{}: input {name:?} is nowhere", place()),
                };
                values.insert(name, outlet);
                inputs.push(outlet);
            }
            let alone = node.input.first().is_some_and(|name| self.uses(name) == 1);
            let outlet = operators::wire(&mut model, node, &inputs, alone).with_context(place)?;
            let size = per_image(&model, outlet)?.iter().try_fold(1usize, |all, &d| all.checked_mul(d));
            ensure!(
                size.is_some_and(|size| size <= MAX_VALUES),
                "{}: more than {MAX_VALUES} values",
                place()
            );
            let [name] = node.output.as_slice() else { bail!("{}: expected one output", place()) };
            ensure!(values.insert(name, outlet).is_none(), "{}: output {name:?} is there twice", place());
        }
        let outlet = *values.get(output).with_context(|| format!("output {output:?} is nowhere"))?;
        model.select_output_outlets(&[outlet])?;
        Ok(model)
    }
}

fn only(outlets: &[OutletId]) -> TractResult<OutletId> {
    match *outlets {
        [outlet] => Ok(outlet),
        _ => bail!("{} values, expected 1", outlets.len()),
    }
}

/// Lengths of all dimensions after the batch.
fn per_image(model: &TypedModel, outlet: OutletId) -> TractResult<TVec<usize>> {
    model.outlet_fact(outlet)?.shape.iter().skip(1).map(|length| Ok(length.to_usize()?)).collect()
}

/// Constants are `float32`, with the bytes in `raw_data`.
fn constant(tensor: &TensorProto) -> TractResult<Arc<Tensor>> {
    ensure!(
        tensor.data_type == i32::from(DataType::Float),
        "element type {}, expected float",
        tensor.data_type
    );
    let shape = tensor.dims.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>()?;
    let (chunks, rest) = tensor.raw_data.as_chunks();
    let values: Vec<f32> = chunks.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    ensure!(rest.is_empty() && !values.is_empty(), "{} bytes of data", tensor.raw_data.len());
    // Checked here, because tract's max-pool passes over a NaN as if it were not there.
    ensure!(values.iter().all(|value| value.is_finite()), "a value that is not finite");
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into_tensor().into())
}

//! From an ONNX file to typed tract models, without tract's registry of all ONNX operators.
//!
//! A published model uses few operators (see [`operators`]). Wiring just these keeps the
//! program small, its start quick, and every attribute that is not understood an error: the registry
//! would keep NNEF, Fourier transforms and recurrent networks in the binary. (tract-nnef registers
//! itself from a constructor, so its part stays.)

#[cfg(feature = "adopted")]
pub(crate) mod adopted;
#[cfg(feature = "adopted")]
mod around;
#[cfg(feature = "adopted")]
pub(crate) mod dequantize;
mod description;
mod facts;
mod file;
#[cfg(feature = "adopted")]
mod join;
mod layers;
#[cfg(feature = "adopted")]
mod log_softmax;
mod operator;
mod operators;
mod outline;
#[cfg(feature = "adopted")]
pub(crate) mod substitute;
mod view;

#[cfg(feature = "adopted")]
pub use adopted::shapes;
pub(crate) use description::Description;
pub use description::{ADDED, Summary, describe_adopted};
pub(crate) use facts::per_image;
use facts::{ALL_VALUES, MAX_VALUES, only};
use file::Graph;
pub(crate) use layers::{Convolution, Dense, Pool};
use operator::{Input, Shared, take};
pub use outline::{Outline, OutlineConstant, OutlineNode, outline};
pub(crate) use view::View;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use datasets::ImageShape;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

/// Name of the free dimension.
const BATCH: &str = "N";

/// A network in two parts. Convolutions take a few images at a time, because what they make of
/// these stays in the cache; dense layers take many, because each of their weights is read once
/// per call.
pub(crate) struct Network {
    /// `uint8 [N, C, H, W]` to `float32 [N, K]`, or to the output if there is no `head`; N free.
    pub(crate) body: TypedModel,
    /// `float32 [N, K]` to the output, N free.
    pub(crate) head: Option<TypedModel>,
    /// Bytes of all values between the body's operators, for one image.
    pub(crate) values: usize,
    /// Multiply-accumulates of convolutions and dense layers for one image.
    pub(crate) macs: u64,
    /// Whether it was adopted, and may make tract panic.
    pub(crate) is_foreign: bool,
}

/// Runs what reads a network or computes with it. Some of tract's readers of operators panic where an attribute cannot be
/// (`Flatten` with an axis beyond the rank); in a network from elsewhere that is an error of the file.
///
/// # Errors
/// Those of `run`, and for a network from elsewhere the message of a panic.
pub(crate) fn guarded<T>(is_foreign: bool, run: impl FnOnce() -> TractResult<T>) -> TractResult<T> {
    #[cfg(feature = "adopted")]
    if is_foreign {
        return terminal::catch_panic(run).map_err(TractError::msg)?;
    }
    debug_assert!(!is_foreign || cfg!(feature = "adopted"), "read by nothing");
    run()
}

/// What is wrong with an ONNX file.
pub(crate) fn problem(error: &TractError) -> String {
    format!("not a usable ONNX model: {}", reasons(error))
}

/// The innermost reason says what is wrong; the outer ones say what tract was doing.
pub(crate) fn reasons(error: &TractError) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Network {
    /// The body for exactly so many images: some operators of tract are many times slower for a
    /// number that is not known. The layers' weights are shared, not copied.
    pub(crate) fn body_of(&self, images: usize) -> TractResult<TypedModel> {
        let n = self.body.symbols.sym(BATCH);
        guarded(self.is_foreign, || self.body.set_symbols(&HashMap::from([(n, images.to_dim())])))
    }

    /// Reads a network that was adopted, with any operator.
    #[cfg(feature = "adopted")]
    pub(crate) fn read_adopted(onnx: Bytes, shape: ImageShape) -> TractResult<Network> {
        guarded(true, || adopted::read(onnx, shape))
    }

    /// Says why it is not read.
    #[cfg(not(feature = "adopted"))]
    pub(crate) fn read_adopted(_: Bytes, _: ImageShape) -> TractResult<Network> {
        bail!(
            "an adopted network, which this small program does not read; `zoo` and a build with the feature `adopted` do"
        )
    }

    /// Reads an ONNX file with one input and one output.
    pub(crate) fn read(onnx: Bytes, shape: ImageShape) -> TractResult<Network> {
        ensure!(shape.numel() > 0, "images of {shape:?}");
        let graph = Graph::read(onnx)?;
        let (body, head) = graph.nodes.split_at(graph.cut());
        let joint = head.first().and_then(|node| node.input.first()).unwrap_or(&graph.output);
        let model = TypedModel::default();
        let pixels = images(model.symbols.sym(BATCH).to_dim(), shape);
        let left = Cell::new(ALL_VALUES);
        let macs = Cell::new(0);
        let budget = Budget { values_left: &left, macs: &macs };
        let body = graph.wire(model, body, &graph.input, pixels, &[joint], &budget)?;
        let values = ALL_VALUES - left.get();
        if head.is_empty() {
            return Ok(Network { body, head: None, values, macs: macs.get(), is_foreign: false });
        }
        let features = per_image(&body, body.output_outlets()?[0])?.iter().product::<usize>();
        let model = TypedModel::default();
        let fact = f32::fact([model.symbols.sym(BATCH).to_dim(), features.to_dim()]);
        let head = graph.wire(model, head, joint, fact, &[&graph.output], &budget)?;
        Ok(Network { body, head: Some(head), values, macs: macs.get(), is_foreign: false })
    }
}

/// What wiring a graph adds up.
struct Budget<'a> {
    /// Bytes that values between operators may still take for an image.
    values_left: &'a Cell<usize>,
    macs: &'a Cell<u64>,
}

/// What convolutions see and make of one image.
pub(crate) struct Convolutions {
    /// `uint8 [1, C, H, W]` to one `float32 [1, H, W, features]` for each convolution.
    pub(crate) model: TypedModel,
    /// Names of the convolutions, in the order of the outputs.
    pub(crate) names: Vec<String>,
    /// `[features, C, kernel_height, kernel_width]` of the first one, and its values.
    pub(crate) filters: (Vec<usize>, Vec<f32>),
}

impl Convolutions {
    /// Reads the part of an ONNX file that ends with its last convolution; `None` if it has none.
    pub(crate) fn read(onnx: Bytes, shape: ImageShape) -> TractResult<Option<Convolutions>> {
        ensure!(shape.numel() > 0, "images of {shape:?}");
        let graph = Graph::read(onnx)?;
        // The same weights again are those of another view of the image.
        let mut seen = HashSet::new();
        let convolutions = graph.nodes.iter().filter(|node| node.op_type == "Conv");
        let convolutions: Vec<&NodeProto> =
            convolutions.filter(|node| seen.insert(node.input.get(1).cloned())).collect();
        let Some(first) = convolutions.first() else { return Ok(None) };
        let weight = first.input.get(1).and_then(|name| graph.constants.get(name));
        let weight = weight.with_context(|| format!("node {:?}: without a weight", first.name))?;
        let outputs: Vec<&str> = convolutions.iter().map(|node| graph.activated(node)).collect();
        let makes_one = |node: &NodeProto| node.output.iter().any(|name| outputs.contains(&name.as_str()));
        let end = graph.nodes.iter().rposition(makes_one).map_or(0, |last| last + 1);
        let nodes = &graph.nodes[..end];
        let pixels = images(1.to_dim(), shape);
        let budget = Budget { values_left: &Cell::new(ALL_VALUES), macs: &Cell::new(0) };
        let model = graph.wire(TypedModel::default(), nodes, &graph.input, pixels, &outputs, &budget)?;
        let names = convolutions.iter().map(|node| node.name.clone()).collect();
        Ok(Some(Convolutions { model, names, filters: (weight.shape.clone(), weight.values()) }))
    }
}

impl Graph {
    /// The value that a convolution's output has become before the next layer: after normalisation,
    /// activation and the like, which keep its shape.
    fn activated<'a>(&'a self, convolution: &'a NodeProto) -> &'a str {
        let mut name = convolution.output.first().map_or("", String::as_str);
        // A malicious file may go in circles.
        for _ in &self.nodes {
            let mut readers = self.nodes.iter().filter(|node| node.input.iter().any(|input| input == name));
            match (readers.next(), readers.next()) {
                (Some(reader), None) if operators::keeps_shape(&reader.op_type) => {
                    name = reader.output.first().map_or("", String::as_str);
                }
                _ => break,
            }
        }
        name
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
            let constants = self.constants.keys().chain(self.integers.keys());
            let mut known: HashSet<&String> = constants.chain(&last.output).collect();
            known.extend(rest.iter().flat_map(|node| &node.output));
            rest.iter().flat_map(|node| &node.input).all(|name| known.contains(name))
        };
        (1..self.nodes.len()).find(|&at| ends_part(at)).unwrap_or(self.nodes.len())
    }

    /// Adds `nodes` to an empty model, from the value called `input` to those called `outputs`, whose
    /// values between operators may have as many bytes for an image as are left.
    fn wire(
        &self,
        mut model: TypedModel,
        nodes: &[NodeProto],
        input: &str,
        fact: TypedFact,
        outputs: &[&str],
        budget: &Budget<'_>,
    ) -> TractResult<TypedModel> {
        let mut shared = Shared::new(self.memory());
        let source = model.add_source(input, fact)?;
        let value = match model.outlet_fact(source)?.rank() {
            4 => only(&model.wire_node("channels_last", AxisOp::Move(1, 3), &[source])?)?,
            _ => source,
        };
        let mut values = HashMap::from([(input, value)]);
        for node in nodes {
            let place = || format!("node {:?} ({})", node.name, node.op_type);
            let mut inputs = Vec::new();
            for name in &node.input {
                let constant = || self.constants.get(name).map(Input::Constant);
                let integers = || self.integers.get(name).map(|integers| Input::Integers(integers));
                let input = values.get(name.as_str()).map(|&outlet| Input::Value(outlet));
                let input = input.or_else(constant).or_else(integers);
                inputs.push(input.with_context(|| format!("{}: input {name:?} is nowhere", place()))?);
            }
            let alone = |name: &String| self.uses(name) == 1 && !outputs.contains(&name.as_str());
            let alone = node.input.first().is_some_and(alone);
            let outlet =
                operators::wire(&mut model, node, &inputs, alone, &mut shared).with_context(place)?;
            let size = per_image(&model, outlet)?.iter().try_fold(1usize, |all, &d| all.checked_mul(d));
            let size = size.filter(|&size| size <= MAX_VALUES);
            let size = size.with_context(|| format!("{}: more than {MAX_VALUES} values", place()))?;
            take(budget.values_left, size * size_of::<f32>(), "values between operators")
                .with_context(place)?;
            if let (Some(Input::Constant(weight)), "Conv" | "Gemm") = (inputs.get(1), node.op_type.as_str()) {
                // Each value is a sum over what one row of the weight has.
                let row = weight.shape.iter().skip(1).product::<usize>();
                budget.macs.set(budget.macs.get().saturating_add((size as u64).saturating_mul(row as u64)));
            }
            let [name] = node.output.as_slice() else { bail!("{}: expected one output", place()) };
            ensure!(values.insert(name, outlet).is_none(), "{}: output {name:?} is there twice", place());
        }
        let outlet = |name| values.get(name).copied().with_context(|| format!("output {name:?} is nowhere"));
        let outlets = outputs.iter().map(|&name| outlet(name)).collect::<TractResult<Vec<_>>>()?;
        model.select_output_outlets(&outlets)?;
        Ok(model)
    }
}

/// `uint8 [N, C, H, W]`.
fn images(n: TDim, shape: ImageShape) -> TypedFact {
    let ImageShape { channels, height, width } = shape;
    u8::fact([n, channels.to_dim(), height.to_dim(), width.to_dim()])
}

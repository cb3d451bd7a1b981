//! Nodes and constants of the graph.

use infer::pb;

use super::proto::{float, int, ints, tensor};
use super::{INPUT, OUTPUT};
use crate::batches::Normaliser;
use crate::network::{BATCH_NORM_EPSILON, Conv2d, LEAKY_RELU_SLOPE, Layer, Network, Node, Pool, Shape};
use crate::parameters::Parameters;

/// ONNX's number for `float32` as the target of a cast.
const FLOAT: i64 = 1;

pub(super) fn build(
    network: &Network,
    parameters: &Parameters,
    normaliser: &Normaliser,
) -> (Vec<pb::NodeProto>, Vec<pb::TensorProto>) {
    let values = parameters.state_dict().into_iter().map(|(_, _, values)| values).collect();
    let mut graph = Graph { nodes: Vec::new(), constants: Vec::new(), values };
    let pixels = graph.node("Cast", "cast", &[INPUT], vec![int("to", FLOAT)]);
    let per_channel = [1, normaliser.scale.len(), 1, 1];
    let scaled = graph.with_constant("Mul", "scale", &pixels, &per_channel, &normaliser.scale);
    let shifted = graph.with_constant("Add", "shift", &scaled, &per_channel, &normaliser.shift);
    let last = graph.chain(&network.nodes, shifted);
    // The last node is the softmax; its value gets the name of the output.
    for node in &mut graph.nodes {
        node.output.iter_mut().filter(|name| **name == last).for_each(|name| *name = OUTPUT.into());
    }
    (graph.nodes, graph.constants)
}

struct Graph {
    nodes: Vec<pb::NodeProto>,
    constants: Vec<pb::TensorProto>,
    /// Values of the network's tensors, in state-dict order.
    values: Vec<Vec<f32>>,
}

/// `y = x * scale + shift`, per channel: batch normalisation in evaluation.
struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Graph {
    /// Adds a node with one output, named like the node; returns that name.
    fn node(&mut self, op: &str, name: &str, inputs: &[&str], attribute: Vec<pb::AttributeProto>) -> String {
        self.nodes.push(pb::NodeProto {
            name: name.into(),
            op_type: op.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![name.into()],
            attribute,
            ..Default::default()
        });
        name.into()
    }

    fn with_constant(
        &mut self,
        op: &str,
        name: &str,
        input: &str,
        shape: &[usize],
        values: &[f32],
    ) -> String {
        let constant = format!("{name}.constant");
        self.constants.push(tensor(&constant, shape, values));
        self.node(op, name, &[input, &constant], Vec::new())
    }

    fn chain(&mut self, nodes: &[Node], input: String) -> String {
        let mut value = input;
        let mut rest = nodes.iter().peekable();
        while let Some(node) = rest.next() {
            let weighted = matches!(node.layer, Layer::Conv2d(_) | Layer::Dense(_));
            let folded = rest.next_if(|next| weighted && next.layer == Layer::BatchNorm);
            let affine = folded.map(|batch_norm| self.affine(batch_norm));
            value = self.layer(node, value, affine);
        }
        value
    }

    fn layer(&mut self, node: &Node, input: String, affine: Option<Affine>) -> String {
        let name = node.name.as_str();
        let x = input.as_str();
        match &node.layer {
            Layer::Conv2d(conv) => {
                let names = self.weights(node, conv.bias, affine);
                self.node("Conv", name, &with_input(x, &names), convolution(node, conv))
            }
            Layer::Dense(dense) => {
                let names = self.weights(node, dense.bias, affine);
                self.node("Gemm", name, &with_input(x, &names), vec![int("transB", 1)])
            }
            Layer::Relu => self.node("Relu", name, &[x], Vec::new()),
            Layer::LeakyRelu => {
                self.node("LeakyRelu", name, &[x], vec![float("alpha", LEAKY_RELU_SLOPE as f32)])
            }
            Layer::Elu => self.node("Elu", name, &[x], vec![float("alpha", 1.0)]),
            Layer::Gelu => self.gelu(name, x),
            Layer::Silu => {
                let gate = self.node("Sigmoid", &format!("{name}.gate"), &[x], Vec::new());
                self.node("Mul", name, &[x, &gate], Vec::new())
            }
            Layer::Tanh => self.node("Tanh", name, &[x], Vec::new()),
            Layer::Sigmoid => self.node("Sigmoid", name, &[x], Vec::new()),
            Layer::MaxPool(pool) => self.node("MaxPool", name, &[x], window(pool)),
            // count_include_pad is 0 by default: padding does not count.
            Layer::AvgPool(pool) => self.node("AveragePool", name, &[x], window(pool)),
            Layer::GlobalAvgPool => {
                let mean = self.node("GlobalAveragePool", &format!("{name}.mean"), &[x], Vec::new());
                self.node("Flatten", name, &[&mean], vec![int("axis", 1)])
            }
            Layer::BatchNorm => {
                let Affine { scale, shift } = self.affine(node);
                let shape = match node.input {
                    Shape::Image { channels, .. } => vec![1, channels, 1, 1],
                    Shape::Vector(features) => vec![1, features],
                };
                let scaled = self.with_constant("Mul", &format!("{name}.scale"), x, &shape, &scale);
                self.with_constant("Add", name, &scaled, &shape, &shift)
            }
            Layer::Dropout(_) => input,
            Layer::Flatten => self.node("Flatten", name, &[x], vec![int("axis", 1)]),
            Layer::Residual(_) => {
                let body = self.chain(&node.body, input.clone());
                let skip = match &node.skip {
                    Some(skip) => self.layer(skip, input, None),
                    None => input,
                };
                self.node("Add", name, &[&body, &skip], Vec::new())
            }
            Layer::Softmax => self.node("Softmax", name, &[x], vec![int("axis", -1)]),
        }
    }

    /// `x / 2 * (1 + erf(x / sqrt 2))`; ONNX has a Gelu operator only from opset 20.
    fn gelu(&mut self, name: &str, x: &str) -> String {
        let part = |suffix: &str| format!("{name}.{suffix}");
        let scaled = self.with_constant("Mul", &part("scaled"), x, &[1], &[std::f32::consts::FRAC_1_SQRT_2]);
        let erf = self.node("Erf", &part("erf"), &[&scaled], Vec::new());
        let gate = self.with_constant("Add", &part("gate"), &erf, &[1], &[1.0]);
        let half = self.with_constant("Mul", &part("half"), x, &[1], &[0.5]);
        self.node("Mul", name, &[&half, &gate], Vec::new())
    }

    /// Adds the weight and bias of a node, with a following batch normalisation folded in.
    fn weights(&mut self, node: &Node, bias: bool, affine: Option<Affine>) -> Vec<String> {
        let value = |index: usize| self.values.get(node.first_parameter + index).cloned().unwrap_or_default();
        let shape = match (&node.layer, node.input) {
            (Layer::Conv2d(conv), input) => {
                vec![conv.features, input.channels(), conv.kernel_size, conv.kernel_size]
            }
            (_, input) => vec![node.output.numel(), input.numel()],
        };
        let features = shape.first().copied().unwrap_or(0);
        let mut weight = value(0);
        let mut bias = bias.then(|| value(1));
        if let Some(Affine { scale, shift }) = affine {
            let row = weight.len() / features.max(1);
            for (row, scale) in weight.chunks_exact_mut(row.max(1)).zip(&scale) {
                row.iter_mut().for_each(|w| *w *= scale);
            }
            let old = bias.unwrap_or_else(|| vec![0.0; features]);
            bias = Some(
                old.iter().zip(&scale).zip(&shift).map(|((b, scale), shift)| b * scale + shift).collect(),
            );
        }
        let mut names = vec![format!("{}.weight", node.name)];
        self.constants.push(tensor(&names[0], &shape, &weight));
        if let Some(bias) = bias {
            names.push(format!("{}.bias", node.name));
            self.constants.push(tensor(&names[1], &[features], &bias));
        }
        names
    }

    fn affine(&self, batch_norm: &Node) -> Affine {
        let value =
            |index: usize| self.values.get(batch_norm.first_parameter + index).cloned().unwrap_or_default();
        let (weight, bias, mean, variance) = (value(0), value(1), value(2), value(3));
        let scale: Vec<f32> = weight
            .iter()
            .zip(&variance)
            .map(|(w, v)| (f64::from(*w) / (f64::from(*v) + BATCH_NORM_EPSILON).sqrt()) as f32)
            .collect();
        let shift = bias.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        Affine { scale, shift }
    }
}

fn with_input<'a>(input: &'a str, names: &'a [String]) -> Vec<&'a str> {
    std::iter::once(input).chain(names.iter().map(String::as_str)).collect()
}

fn convolution(node: &Node, conv: &Conv2d) -> Vec<pb::AttributeProto> {
    let Shape::Image { height, width, .. } = node.input else { return Vec::new() };
    let [top, bottom] = conv.padding.amounts(height, conv.kernel_size, conv.stride);
    let [left, right] = conv.padding.amounts(width, conv.kernel_size, conv.stride);
    vec![
        ints("kernel_shape", [conv.kernel_size; 2]),
        ints("pads", [top, left, bottom, right]),
        ints("strides", [conv.stride; 2]),
    ]
}

fn window(pool: &Pool) -> Vec<pb::AttributeProto> {
    vec![
        ints("kernel_shape", [pool.kernel_size; 2]),
        ints("pads", [pool.padding; 4]),
        ints("strides", [pool.stride; 2]),
    ]
}

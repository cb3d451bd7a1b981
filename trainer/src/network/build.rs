//! Shape inference: from a layer list to nodes with names, shapes and parameters.

use std::collections::HashMap;
use std::fmt;

use super::layer::{Conv2d, Layer, Padding, Pool, stem};
use crate::error::{Error, Result};

/// Largest number of values in one tensor: 4 GiB of `f32`.
const MAX_NUMEL: usize = 1 << 30;

/// Shape of one sample between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `[C, H, W]`.
    Image {
        /// Channels.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// `[F]`.
    Vector(usize),
}

impl Shape {
    /// Values in one sample.
    pub fn numel(self) -> usize {
        match self {
            Shape::Image { channels, height, width } => channels * height * width,
            Shape::Vector(features) => features,
        }
    }

    /// Channels of an image, features of a vector.
    pub fn channels(self) -> usize {
        match self {
            Shape::Image { channels, .. } => channels,
            Shape::Vector(features) => features,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Image { channels, height, width } => write!(f, "[{channels}, {height}, {width}]"),
            Shape::Vector(features) => write!(f, "[{features}]"),
        }
    }
}

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// He uniform: `U(-b, b)` with `b = sqrt(6 / fan_in)` (He et al. 2015, arXiv:1502.01852, eq. 10).
    HeUniform {
        /// Inputs of one output value.
        fan_in: usize,
    },
    /// All the same.
    Constant(f32),
}

/// Which of the two buffers a tensor lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// Changed by the optimizer.
    Trainable,
    /// Running statistics, changed by the forward pass.
    Statistic,
}

/// A named tensor of the network; the name is its state-dict key.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// State-dict name, e.g. `conv1.weight`.
    pub name: String,
    /// Shape as PyTorch has it: `[O, I, H, W]`, `[O, I]` or `[O]`.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
    /// Trainable or statistic.
    pub kind: SlotKind,
}

impl ParameterSpec {
    /// Number of values.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A layer in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// `conv1`, `relu2`, `residual1.conv2`.
    pub name: String,
    /// What the recipe says.
    pub layer: Layer,
    /// Shape that comes in.
    pub input: Shape,
    /// Shape that goes out.
    pub output: Shape,
    /// Where this node's tensors begin in [`Network::parameters`].
    pub first_parameter: usize,
    /// How many tensors are its own (those of `body` and `skip` are theirs).
    pub parameter_count: usize,
    /// Multiply-accumulates for one sample, inner layers included.
    pub macs: u64,
    /// Inner layers of a residual block.
    pub body: Vec<Node>,
    /// The 1x1 convolution on the shortcut of a residual block, if shapes differ.
    pub skip: Option<Box<Node>>,
}

/// A network whose shapes have been proved to work.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Shape of one input image.
    pub input: Shape,
    /// The layers in order; the last is `softmax`.
    pub nodes: Vec<Node>,
    /// Every tensor, in state-dict order.
    pub parameters: Vec<ParameterSpec>,
}

impl Network {
    /// Infers every shape.
    ///
    /// # Errors
    /// [`Error::Layer`] with the number of the layer, what goes in and what it would need.
    pub fn build(layers: &[Layer], input: Shape, classes: usize) -> Result<Network> {
        let mut builder = Builder::default();
        let nodes = builder.chain(layers, input, "")?;
        let refuse = |input: Shape, problem: String| {
            let kind = layers.last().map_or("none", Layer::kind);
            Err(Error::Layer { number: layers.len().to_string(), kind, input: input.to_string(), problem })
        };
        match nodes.last() {
            Some(Node { layer: Layer::Softmax, output: Shape::Vector(found), .. }) if *found == classes => {
                Ok(Network { input, nodes, parameters: builder.parameters })
            }
            Some(Node { layer: Layer::Softmax, input, .. }) => refuse(
                *input,
                format!("the data set has {classes} classes, so [{classes}] must reach the softmax"),
            ),
            last => refuse(
                last.map_or(input, |node| node.output),
                format!("the last layer must be softmax and give [{classes}], one probability per class"),
            ),
        }
    }

    /// Number of trainable values.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().filter(|p| p.kind == SlotKind::Trainable).map(ParameterSpec::numel).sum()
    }

    /// Multiply-accumulates for one image.
    pub fn macs(&self) -> u64 {
        self.nodes.iter().map(|node| node.macs).fold(0, u64::saturating_add)
    }

    /// The tensors of `node` itself.
    pub fn parameters_of(&self, node: &Node) -> &[ParameterSpec] {
        let end = node.first_parameter + node.parameter_count;
        self.parameters.get(node.first_parameter..end).unwrap_or_default()
    }

    /// The first layer that has weights: what `first_layer.safetensors` holds.
    pub fn first_weighted(&self) -> Option<&Node> {
        fn find(nodes: &[Node]) -> Option<&Node> {
            nodes.iter().find_map(|node| match node.layer {
                Layer::Conv2d(_) | Layer::Dense(_) => Some(node),
                _ => find(&node.body),
            })
        }
        find(&self.nodes)
    }

    /// Whether training draws random numbers inside the network.
    pub fn has_dropout(&self) -> bool {
        fn any(nodes: &[Node]) -> bool {
            nodes.iter().any(|n| matches!(n.layer, Layer::Dropout(_)) || any(&n.body))
        }
        any(&self.nodes)
    }
}

#[derive(Default)]
struct Builder {
    parameters: Vec<ParameterSpec>,
    /// Number of the layer at hand, `3` or `3.1` inside a residual block.
    number: Vec<usize>,
}

impl Builder {
    fn chain(&mut self, layers: &[Layer], input: Shape, prefix: &str) -> Result<Vec<Node>> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut nodes: Vec<Node> = Vec::with_capacity(layers.len());
        let mut shape = input;
        for (index, layer) in layers.iter().enumerate() {
            self.number.push(index + 1);
            let stem = stem(layer.kind());
            let count = counts.entry(stem).or_default();
            *count += 1;
            let name = format!("{prefix}{stem}{count}");
            let last = prefix.is_empty() && index + 1 == layers.len();
            let node = self.node(layer, shape, name, last)?;
            shape = node.output;
            nodes.push(node);
            self.number.pop();
        }
        Ok(nodes)
    }

    fn refuse(&self, layer: &Layer, input: Shape, problem: impl Into<String>) -> Error {
        let number = self.number.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
        Error::Layer { number, kind: layer.kind(), input: input.to_string(), problem: problem.into() }
    }

    fn parameter(&mut self, name: String, shape: Vec<usize>, init: Init, kind: SlotKind) {
        self.parameters.push(ParameterSpec { name, shape, init, kind });
    }

    fn node(&mut self, layer: &Layer, input: Shape, name: String, last: bool) -> Result<Node> {
        let first_parameter = self.parameters.len();
        let mut node = Node {
            name,
            layer: layer.clone(),
            input,
            output: input,
            first_parameter,
            parameter_count: 0,
            macs: 0,
            body: Vec::new(),
            skip: None,
        };
        match layer {
            Layer::Conv2d(conv) => {
                let (channels, height, width) = self.image(layer, input)?;
                node.output = self.convolved(layer, conv, input, [height, width])?;
                let shape = vec![conv.features, channels, conv.kernel_size, conv.kernel_size];
                self.check_size(layer, input, &shape)?;
                let fan_in = channels * conv.kernel_size * conv.kernel_size;
                self.weights(&node.name, shape, fan_in, conv.bias);
                node.macs = (node.output.numel() * fan_in) as u64;
            }
            Layer::Dense(dense) => {
                let Shape::Vector(features) = input else {
                    let problem =
                        format!("needs [F], not an image; put flatten before it to get [{}]", input.numel());
                    return Err(self.refuse(layer, input, problem));
                };
                self.positive(layer, input, "features", dense.features)?;
                self.check_size(layer, input, &[dense.features, features])?;
                self.weights(&node.name, vec![dense.features, features], features, dense.bias);
                node.output = Shape::Vector(dense.features);
                node.macs = (features * dense.features) as u64;
            }
            Layer::MaxPool(pool) | Layer::AvgPool(pool) => node.output = self.pooled(layer, pool, input)?,
            Layer::GlobalAvgPool => node.output = Shape::Vector(self.image(layer, input)?.0),
            Layer::Flatten => {
                self.image(layer, input)?;
                node.output = Shape::Vector(input.numel());
            }
            Layer::BatchNorm => {
                let shape = vec![input.channels()];
                for (part, start, kind) in [
                    ("weight", 1.0, SlotKind::Trainable),
                    ("bias", 0.0, SlotKind::Trainable),
                    ("running_mean", 0.0, SlotKind::Statistic),
                    ("running_var", 1.0, SlotKind::Statistic),
                ] {
                    self.parameter(
                        format!("{}.{part}", node.name),
                        shape.clone(),
                        Init::Constant(start),
                        kind,
                    );
                }
            }
            Layer::Dropout(dropout) if !(0.0..1.0).contains(&dropout.rate) => {
                return Err(self.refuse(
                    layer,
                    input,
                    format!("rate {}: expected 0 <= rate < 1", dropout.rate),
                ));
            }
            Layer::Softmax if !last => {
                return Err(self.refuse(layer, input, "softmax may only be the last layer"));
            }
            Layer::Softmax if matches!(input, Shape::Image { .. }) => {
                let problem = format!("needs [classes], not an image; flatten gives [{}]", input.numel());
                return Err(self.refuse(layer, input, problem));
            }
            Layer::Residual(residual) => {
                return self.residual(layer, &residual.body, node);
            }
            _ => {}
        }
        node.parameter_count = self.parameters.len() - first_parameter;
        Ok(node)
    }

    fn residual(&mut self, layer: &Layer, body: &[Layer], mut node: Node) -> Result<Node> {
        let prefix = format!("{}.", node.name);
        node.body = self.chain(body, node.input, &prefix)?;
        let output = node.body.last().map_or(node.input, |n| n.output);
        if output != node.input {
            let conv = self.projection(layer, node.input, output)?;
            node.skip = Some(Box::new(self.node(&conv, node.input, format!("{prefix}skip"), false)?));
        }
        node.output = output;
        node.macs = node.body.iter().chain(node.skip.as_deref()).map(|n| n.macs).fold(0, u64::saturating_add);
        Ok(node)
    }

    /// The 1x1 convolution that brings a shortcut from `input` to `output`.
    fn projection(&self, layer: &Layer, input: Shape, output: Shape) -> Result<Layer> {
        let (
            Shape::Image { height, width, .. },
            Shape::Image { channels: features, height: out_height, width: out_width },
        ) = (input, output)
        else {
            let problem = format!("its body gives {output}, which cannot be added to {input}");
            return Err(self.refuse(layer, input, problem));
        };
        let stride = height.div_ceil(out_height);
        if height.div_ceil(stride) != out_height || width.div_ceil(stride) != out_width {
            let problem =
                format!("its body gives {output}; no stride of a 1x1 convolution takes {input} there");
            return Err(self.refuse(layer, input, problem));
        }
        Ok(Layer::Conv2d(Conv2d { features, kernel_size: 1, stride, padding: Padding::Valid, bias: true }))
    }

    fn weights(&mut self, name: &str, shape: Vec<usize>, fan_in: usize, bias: bool) {
        let features = shape.first().copied().unwrap_or(0);
        self.parameter(format!("{name}.weight"), shape, Init::HeUniform { fan_in }, SlotKind::Trainable);
        if bias {
            self.parameter(format!("{name}.bias"), vec![features], Init::Constant(0.0), SlotKind::Trainable);
        }
    }

    fn image(&self, layer: &Layer, input: Shape) -> Result<(usize, usize, usize)> {
        match input {
            Shape::Image { channels, height, width } => Ok((channels, height, width)),
            Shape::Vector(_) => Err(self.refuse(layer, input, "needs an image [C, H, W]")),
        }
    }

    fn positive(&self, layer: &Layer, input: Shape, field: &str, value: usize) -> Result<()> {
        match value {
            1..=65_536 => Ok(()),
            _ => Err(self.refuse(layer, input, format!("{field} {value}: expected 1 to 65536"))),
        }
    }

    /// Refuses tensors beyond [`MAX_NUMEL`].
    fn check_size(&self, layer: &Layer, input: Shape, shape: &[usize]) -> Result<()> {
        let numel = shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
        match numel {
            Some(0..=MAX_NUMEL) => Ok(()),
            _ => Err(self.refuse(
                layer,
                input,
                format!("a tensor {shape:?}: expected at most {MAX_NUMEL} values"),
            )),
        }
    }

    fn convolved(&self, layer: &Layer, conv: &Conv2d, input: Shape, size: [usize; 2]) -> Result<Shape> {
        self.positive(layer, input, "features", conv.features)?;
        let padding = conv.padding;
        let [height, width] = self.windows(layer, input, size, conv.kernel_size, conv.stride, |length| {
            padding.amounts(length, conv.kernel_size, conv.stride)
        })?;
        self.check_size(layer, input, &[conv.features, height, width])?;
        Ok(Shape::Image { channels: conv.features, height, width })
    }

    fn pooled(&self, layer: &Layer, pool: &Pool, input: Shape) -> Result<Shape> {
        let (channels, height, width) = self.image(layer, input)?;
        if 2 * pool.padding > pool.kernel_size {
            let problem = format!(
                "padding {}: expected at most half the kernel_size {}",
                pool.padding, pool.kernel_size
            );
            return Err(self.refuse(layer, input, problem));
        }
        let [height, width] =
            self.windows(layer, input, [height, width], pool.kernel_size, pool.stride, |_| {
                [pool.padding, pool.padding]
            })?;
        Ok(Shape::Image { channels, height, width })
    }

    /// `floor((input + padding - kernel_size) / stride) + 1` along rows and columns.
    fn windows(
        &self,
        layer: &Layer,
        input: Shape,
        size: [usize; 2],
        kernel_size: usize,
        stride: usize,
        padding: impl Fn(usize) -> [usize; 2],
    ) -> Result<[usize; 2]> {
        self.positive(layer, input, "kernel_size", kernel_size)?;
        self.positive(layer, input, "stride", stride)?;
        let padded = size.map(|length| padding(length).into_iter().fold(length, usize::saturating_add));
        if padded.iter().any(|&length| length > 65_536) {
            return Err(self.refuse(
                layer,
                input,
                "padding: expected a padded image of at most 65536 pixels a side",
            ));
        }
        if padded.iter().any(|&length| length < kernel_size) {
            let problem = format!(
                "kernel_size {kernel_size} does not fit: with padding the image is [{}, {}], and at least [{kernel_size}, {kernel_size}] is needed",
                padded[0], padded[1]
            );
            return Err(self.refuse(layer, input, problem));
        }
        Ok(padded.map(|length| (length - kernel_size) / stride + 1))
    }
}

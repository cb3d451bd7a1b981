//! The layers a recipe can name.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One layer of a recipe's `network` list: `relu`, or `conv2d: {features: 32, kernel_size: 5}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// 2-D convolution (cross-correlation, as everywhere in deep learning).
    #[serde(rename = "conv2d")]
    Conv2d(Conv2d),
    /// `max(x, 0)`.
    Relu,
    /// `x` above zero, `0.01 x` below.
    LeakyRelu,
    /// `x` above zero, `exp(x) - 1` below.
    Elu,
    /// `x Φ(x)`, exact (by erf).
    Gelu,
    /// `x sigmoid(x)`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
    /// Maximum over windows.
    MaxPool(Pool),
    /// Mean over windows; padding does not count.
    AvgPool(Pool),
    /// Mean over the whole image: `[C, H, W]` to `[C]`.
    GlobalAvgPool,
    /// Batch normalisation with learnt scale and shift.
    BatchNorm,
    /// Zeroes a share of the values, in training only.
    Dropout(Dropout),
    /// `[C, H, W]` to `[C * H * W]`.
    Flatten,
    /// Fully connected.
    Dense(Dense),
    /// `body(x) + x`; where the shapes differ, `x` goes through a 1x1 convolution.
    Residual(Residual),
    /// Turns logits into probabilities; the last layer, and only that.
    Softmax,
}

/// Fields of `conv2d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Output channels.
    pub features: usize,
    /// Rows and columns of the kernel.
    pub kernel_size: usize,
    /// Step, in pixels.
    #[serde(default = "one")]
    pub stride: usize,
    /// `valid` (none), `same`, or pixels on every side.
    #[serde(default)]
    pub padding: Padding,
    /// Whether a learnt bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
}

/// Fields of `max_pool` and `avg_pool`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Rows and columns of the window.
    pub kernel_size: usize,
    /// Step, in pixels.
    pub stride: usize,
    /// Pixels on every side, at most half the window.
    #[serde(default)]
    pub padding: usize,
}

/// Fields of `dropout`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Share of values set to zero, in `[0, 1)`.
    pub rate: f64,
}

/// Fields of `dense`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Output values.
    pub features: usize,
    /// Whether a learnt bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
}

/// Fields of `residual`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// The layers beside the shortcut.
    pub body: Vec<Layer>,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

/// Padding of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Padding {
    /// No padding.
    #[default]
    Valid,
    /// Output is `ceil(input / stride)`; an odd pixel goes to the bottom and right (ONNX `SAME_UPPER`).
    Same,
    /// So many pixels on every side.
    Pixels(usize),
}

impl Padding {
    /// `[before, after]` along one dimension.
    pub fn amounts(self, input: usize, kernel_size: usize, stride: usize) -> [usize; 2] {
        match self {
            Padding::Valid => [0, 0],
            Padding::Same => same_padding(input, kernel_size, stride),
            Padding::Pixels(pixels) => [pixels, pixels],
        }
    }
}

/// The padding that makes the output `ceil(input / stride)` long, `[before, after]`.
pub fn same_padding(input: usize, kernel_size: usize, stride: usize) -> [usize; 2] {
    let output = input.div_ceil(stride);
    let total = (output.saturating_sub(1) * stride + kernel_size).saturating_sub(input);
    [total / 2, total - total / 2]
}

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Padding::Valid => serializer.serialize_str("valid"),
            Padding::Same => serializer.serialize_str("same"),
            Padding::Pixels(pixels) => serializer.serialize_u64(*pixels as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Padding, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Pixels(usize),
            Word(String),
        }
        let expected = "expected `valid`, `same` or a number of pixels";
        match Raw::deserialize(deserializer) {
            Ok(Raw::Pixels(pixels)) => Ok(Padding::Pixels(pixels)),
            Ok(Raw::Word(word)) if word == "valid" => Ok(Padding::Valid),
            Ok(Raw::Word(word)) if word == "same" => Ok(Padding::Same),
            Ok(Raw::Word(word)) => Err(serde::de::Error::custom(format!("padding `{word}`: {expected}"))),
            Err(_) => Err(serde::de::Error::custom(format!("padding: {expected}"))),
        }
    }
}

impl schemars::JsonSchema for Padding {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Padding".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "`valid` (none), `same`, or pixels on every side.",
            "oneOf": [{ "enum": ["valid", "same"] }, { "type": "integer", "minimum": 0 }],
        })
    }
}

impl Layer {
    /// The name in a recipe.
    pub fn kind(&self) -> &'static str {
        match self {
            Layer::Conv2d(_) => "conv2d",
            Layer::Relu => "relu",
            Layer::LeakyRelu => "leaky_relu",
            Layer::Elu => "elu",
            Layer::Gelu => "gelu",
            Layer::Silu => "silu",
            Layer::Tanh => "tanh",
            Layer::Sigmoid => "sigmoid",
            Layer::MaxPool(_) => "max_pool",
            Layer::AvgPool(_) => "avg_pool",
            Layer::GlobalAvgPool => "global_avg_pool",
            Layer::BatchNorm => "batch_norm",
            Layer::Dropout(_) => "dropout",
            Layer::Flatten => "flatten",
            Layer::Dense(_) => "dense",
            Layer::Residual(_) => "residual",
            Layer::Softmax => "softmax",
        }
    }
}

/// What names of a kind of layer begin with: `conv1`, `dense2`.
pub fn stem(kind: &str) -> &str {
    kind.strip_suffix("2d").unwrap_or(kind)
}

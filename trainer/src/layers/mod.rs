//! The layers that a recipe can name: a file for each kind, with its fields and their ranges, the
//! shape that it gives, its tensors, its forward pass, its ONNX nodes and its receptive field. A
//! new kind is such a file and a line in the list below.

pub(crate) mod chain;
pub(crate) mod kind;
mod linear;
mod padding;
pub(crate) mod parameter;
mod shape;
mod window;

pub use kind::Mode;
pub use padding::Padding;
pub use shape::Shape;

use tch::Tensor;

use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};
use crate::tagged::tagged;
use chain::Named;
pub(crate) use kind::Placement;
use kind::{Context, LayerKind, Pass, ReceptiveField};

/// The modules of the kinds, the enum of them all, and its dispatch.
macro_rules! layers {
    ($($(#[doc = $doc:literal])* $module:ident: $Kind:ident $(<$Inner:ident>)?,)*) => {
        $(mod $module;)*
        $(pub use $module::$Kind;)*

        tagged! {
            /// One layer of a recipe's `network` list: `relu`, or `conv2d: {features: 32, kernel_size: 5}`.
            pub enum Layer: "a layer" {
                $($(#[doc = $doc])* $Kind($Kind $(<$Inner>)?) = stringify!($module),)*
            }
        }

        impl Named for Layer {
            fn kind(&self) -> &'static str {
                crate::tagged::Tagged::name(self)
            }
        }

        /// The kind of layer that `$layer` is, for a call that every kind has.
        macro_rules! each_kind {
            ($layer:expr, $of:ident => $call:expr) => {
                match $layer {
                    $(Layer::$Kind($of) => $call,)*
                }
            };
        }
    };
}

layers! {
    /// 2-D convolution.
    conv2d: Conv2d,
    /// `max(x, 0)`.
    relu: Relu,
    /// `x` above zero, `0.01 x` below.
    leaky_relu: LeakyRelu,
    /// `x` above zero, `exp(x) - 1` below.
    elu: Elu,
    /// `x Φ(x)`, exact (by erf).
    gelu: Gelu,
    /// `x sigmoid(x)`.
    silu: Silu,
    /// `x min(1, max(0, x / 6 + 1 / 2))`.
    hard_swish: HardSwish,
    /// Hyperbolic tangent.
    tanh: Tanh,
    /// Logistic function.
    sigmoid: Sigmoid,
    /// Maximum over windows.
    max_pool: MaxPool,
    /// Mean over windows; padding does not count.
    avg_pool: AvgPool,
    /// Mean over the whole image.
    global_avg_pool: GlobalAvgPool,
    /// Maximum over the whole image.
    global_max_pool: GlobalMaxPool,
    /// Batch normalisation with learnt scale and shift.
    batch_norm: BatchNorm,
    /// Normalisation of each sample over all of its values, with learnt scale and shift.
    layer_norm: LayerNorm,
    /// Zeroes a share of the values, in training only.
    dropout: Dropout,
    /// `[C, H, W]` to `[C * H * W]`.
    flatten: Flatten,
    /// Fully connected.
    dense: Dense,
    /// `body(x) + x`.
    residual: Residual<Layer>,
    /// Networks side by side whose logits are averaged, each of which learns on its own.
    ensemble: Ensemble<Layer>,
    /// Turns logits into probabilities; the last layer, and only that.
    softmax: Softmax,
}

impl Layer {
    /// The lists of layers inside it, each with their places: a residual block's body, an ensemble's members.
    pub(crate) fn inner<'a>(&'a self, placement: &'a Placement) -> Vec<(&'a [Layer], &'a [Placement])> {
        match self {
            Layer::Residual(block) => vec![(&block.body, &placement.body)],
            Layer::Ensemble(ensemble) => {
                let members = ensemble.members.iter().zip(&placement.body);
                members.map(|(layers, member)| (layers.as_slice(), member.body.as_slice())).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// How many networks a list of layers trains side by side: the members of its ensemble, or one.
pub(crate) fn members(layers: &[Layer]) -> usize {
    let members = |layer: &Layer| match layer {
        Layer::Ensemble(ensemble) => Some(ensemble.members.len()),
        _ => None,
    };
    layers.iter().find_map(members).unwrap_or(1)
}

impl LayerKind for Layer {
    fn place(&self, context: &Context) -> Result<Placement> {
        each_kind!(self, kind => kind.place(context))
    }

    fn forward(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        each_kind!(self, kind => kind.forward(placement, x, pass))
    }

    fn export(&self, placement: &Placement, x: &str, folded: Option<&Affine>, graph: &mut Graph) -> String {
        each_kind!(self, kind => kind.export(placement, x, folded, graph))
    }

    fn receptive_field(&self, placement: &Placement, before: ReceptiveField) -> ReceptiveField {
        each_kind!(self, kind => kind.receptive_field(placement, before))
    }

    fn is_linear(&self) -> bool {
        each_kind!(self, kind => kind.is_linear())
    }

    fn affine(&self, placement: &Placement, graph: &Graph) -> Option<Affine> {
        each_kind!(self, kind => kind.affine(placement, graph))
    }

    fn may_follow_max_pool(&self) -> bool {
        each_kind!(self, kind => kind.may_follow_max_pool())
    }

    fn is_max_pool(&self) -> bool {
        each_kind!(self, kind => kind.is_max_pool())
    }

    fn is_relu(&self) -> bool {
        each_kind!(self, kind => kind.is_relu())
    }

    fn halves(&self) -> bool {
        each_kind!(self, kind => kind.halves())
    }

    fn forward_pooled(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Option<Tensor> {
        each_kind!(self, kind => kind.forward_pooled(placement, x, pass))
    }

    fn is_random(&self) -> bool {
        each_kind!(self, kind => kind.is_random())
    }

    fn smallest_batch(&self, placement: &Placement) -> usize {
        each_kind!(self, kind => kind.smallest_batch(placement))
    }
}

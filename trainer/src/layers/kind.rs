//! What every kind of layer can say of itself.

use tch::Tensor;

use super::parameter::{Init, ParameterSpec, SlotKind};
use super::shape::Shape;
use crate::arithmetic::Arithmetic;
use crate::arithmetic::tape::{Recorded, Slots, Tape};
use crate::error::{Error, Result};
use crate::onnx::graph::{Affine, Graph};
use crate::parameters::Parameters;

/// Largest number of values in one tensor: 4 GiB of `f32`.
const MAX_NUMEL: usize = 1 << 30;

/// A kind of layer: its fields are its configuration.
pub(crate) trait LayerKind {
    /// Checks the fields against the shape that comes in; says what goes out, which tensors there are
    /// and what it costs.
    ///
    /// # Errors
    /// [`Error::Layer`].
    fn place(&self, context: &Context) -> Result<Placement>;

    /// What goes out for a batch `x` (`[N, ...]`).
    fn forward(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor;

    /// Adds the ONNX nodes for the value called `x`; returns the name of what goes out. `folded` is
    /// there only if the layer [is linear](LayerKind::is_linear): a scale and shift of its features.
    fn export(&self, placement: &Placement, x: &str, folded: Option<&Affine>, graph: &mut Graph) -> String;

    /// How much of the image a value that goes out depends on.
    fn receptive_field(&self, placement: &Placement, before: ReceptiveField) -> ReceptiveField;

    /// Whether it is a weighted sum of its input, with tensors `weight` and perhaps `bias`.
    fn is_linear(&self) -> bool {
        false
    }

    /// The scale and shift of each channel that it is in evaluation, if it is nothing else.
    fn affine(&self, _: &Placement, _: &Graph) -> Option<Affine> {
        None
    }

    /// Whether it may change places with a max-pooling after it: values and gradients must stay the
    /// same to the bit.
    fn may_follow_max_pool(&self) -> bool {
        false
    }

    /// Whether it is a max-pooling.
    fn is_max_pool(&self) -> bool {
        false
    }

    /// Whether it is ReLU.
    fn is_relu(&self) -> bool {
        false
    }

    /// Whether it is a max-pooling of 2x2 windows side by side.
    fn halves(&self) -> bool {
        false
    }

    /// What goes out after ReLU and after a max-pooling that [halves](LayerKind::halves), if one kernel
    /// computes all three.
    fn forward_pooled(&self, _: &Placement, _x: &Tensor, _: &Pass<'_>) -> Option<Tensor> {
        None
    }

    /// Whether it draws from libtorch's random numbers in training.
    fn is_random(&self) -> bool {
        false
    }

    /// The fewest images that it can be trained on at a time.
    fn smallest_batch(&self, _: &Placement) -> usize {
        1
    }
}

/// What a layer is told before its shapes are known.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Position in the list, from 1; `[3, 1]` is the first inside a block.
    pub(crate) number: Vec<usize>,
    /// `conv1`, `relu2`, `residual1.conv2`.
    pub(crate) name: String,
    /// Name of the kind in a recipe.
    pub(crate) kind: &'static str,
    /// Shape that comes in.
    pub(crate) input: Shape,
    /// Whether it is the network's last layer.
    pub(crate) is_last: bool,
}

/// A layer in its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placement {
    /// `conv1`, `relu2`, `residual1.conv2`.
    pub(crate) name: String,
    /// Shape that comes in.
    pub(crate) input: Shape,
    /// Shape that goes out.
    pub(crate) output: Shape,
    /// Its own tensors (those of `body` and `skip` are theirs).
    pub(crate) parameters: Vec<ParameterSpec>,
    /// Where its own tensors begin among all of the network's.
    pub(crate) first_parameter: usize,
    /// Multiply-accumulates for one sample, inner layers included.
    pub(crate) macs: u64,
    /// Inner layers of a residual block; the members of an ensemble, whose layers are in their `body`.
    pub(crate) body: Vec<Placement>,
    /// The 1x1 convolution on the shortcut of a residual block, if shapes differ.
    pub(crate) skip: Option<Box<Placement>>,
}

/// Whether dropout is active and batch normalisation uses the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout active, batch statistics used and remembered.
    Train,
    /// Deterministic function of the input.
    Evaluate,
}

/// A pass through a network.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    /// Values of the network's tensors.
    pub(crate) parameters: &'a Parameters,
    /// Training or evaluation.
    pub(crate) mode: Mode,
    /// Whose arithmetic computes it.
    pub(crate) arithmetic: Arithmetic,
    /// Remembers, in training, the layers that libtorch cannot differentiate.
    pub(crate) tape: Option<&'a Tape>,
}

impl Placement {
    /// Where its weight stands among the network's tensors, and whether a bias follows.
    pub(crate) fn slots(&self, has_bias: bool) -> Slots {
        Slots { weight: self.first_parameter, has_bias }
    }
}

impl Pass<'_> {
    /// A value that several branches go on from.
    pub(crate) fn branch(&self, x: &Tensor) -> Tensor {
        match self.arithmetic {
            Arithmetic::Portable { convolutions: true } => self.leaf(x),
            // Without, published versions were trained.
            _ => x.shallow_clone(),
        }
    }

    /// The same whatever the arithmetic.
    pub(crate) fn leaf(&self, x: &Tensor) -> Tensor {
        match self.tape {
            Some(tape) if x.requires_grad() && !x.is_leaf() => tape.record(x, x.detach(), Recorded::Branch),
            _ => x.shallow_clone(),
        }
    }

    /// Tensor number `index` of a layer's own.
    pub(crate) fn tensor(&self, placement: &Placement, index: usize) -> &Tensor {
        self.parameters.tensor(placement.first_parameter + index)
    }
}

/// Rows and columns of the image that a value depends on, and the step between neighbours, each
/// `[along rows, along columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceptiveField {
    /// Rows and columns.
    pub(crate) size: [usize; 2],
    /// Step in the image between neighbouring values.
    pub(crate) stride: [usize; 2],
    /// Rows and columns of the whole image.
    pub(crate) image: [usize; 2],
}

impl ReceptiveField {
    /// After a window that spans so many values: `size + (span - 1) stride`, `stride * stride'` (Araujo
    /// et al. 2019, "Computing receptive fields of convolutional neural networks", Distill).
    pub(crate) fn after_window(self, span: [usize; 2], strides: [usize; 2]) -> ReceptiveField {
        let wider = |axis: usize| (span[axis] - 1).saturating_mul(self.stride[axis]);
        let size = [0, 1].map(|axis| self.size[axis].saturating_add(wider(axis)));
        ReceptiveField {
            size: [0, 1].map(|axis| size[axis].min(self.image[axis])),
            stride: [0, 1].map(|axis| self.stride[axis].saturating_mul(strides[axis])),
            ..self
        }
    }

    /// After a layer over everything.
    pub(crate) fn whole(self) -> ReceptiveField {
        ReceptiveField { size: self.image, ..self }
    }
}

impl Context {
    /// The error for this layer.
    pub(crate) fn refuse(&self, problem: impl Into<String>) -> Error {
        let number = self.number.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
        Error::Layer { number, kind: self.kind, input: self.input.to_string(), problem: problem.into() }
    }

    /// `[C, H, W]` of what comes in.
    ///
    /// # Errors
    /// If it is no image.
    pub(crate) fn image(&self) -> Result<[usize; 3]> {
        match self.input {
            Shape::Image { channels, height, width } => Ok([channels, height, width]),
            Shape::Vector(_) => Err(self.refuse("needs an image [C, H, W]")),
        }
    }

    /// Checks a field that counts something.
    ///
    /// # Errors
    /// If it is not 1 to 65536.
    pub(crate) fn positive(&self, field: &str, value: usize) -> Result<()> {
        match value {
            1..=65_536 => Ok(()),
            _ => Err(self.refuse(format!("{field} {value}: expected 1 to 65536"))),
        }
    }

    /// Checks that a tensor is not too large to be made.
    ///
    /// # Errors
    /// If it has more than 2^30 values.
    pub(crate) fn check_size(&self, shape: &[usize]) -> Result<()> {
        let numel = shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
        match numel {
            Some(0..=MAX_NUMEL) => Ok(()),
            _ => Err(self.refuse(format!("a tensor {shape:?}: expected at most {MAX_NUMEL} values"))),
        }
    }

    /// The layer in its place, without tensors and for nothing.
    pub(crate) fn placed(&self, output: Shape) -> Placement {
        Placement {
            name: self.name.clone(),
            input: self.input,
            output,
            parameters: Vec::new(),
            first_parameter: 0,
            macs: 0,
            body: Vec::new(),
            skip: None,
        }
    }
}

impl Placement {
    /// Values of tensor number `index` of the layer's own.
    pub(crate) fn values<'a>(&self, graph: &'a Graph, index: usize) -> &'a [f32] {
        graph.tensor(self.first_parameter + index)
    }

    /// Adds a tensor of the layer's own, called `<layer>.<part>`.
    pub(crate) fn parameter(
        mut self,
        part: &str,
        shape: Vec<usize>,
        init: Init,
        kind: SlotKind,
    ) -> Placement {
        let name = format!("{}.{part}", self.name);
        self.parameters.push(ParameterSpec { name, shape, init, kind });
        self
    }

    /// Adds the weight `[features, ...]` and, if asked for, the bias `[features]` of a linear layer.
    pub(crate) fn linear(self, shape: Vec<usize>, fan_in: usize, bias: bool) -> Placement {
        let features = shape[0];
        let placed = self.parameter("weight", shape, Init::HeUniform { fan_in }, SlotKind::Trainable);
        match bias {
            true => placed.parameter("bias", vec![features], Init::Constant(0.0), SlotKind::Trainable),
            false => placed,
        }
    }

    /// Itself, then its inner layers, each with its own.
    pub(crate) fn all(&self) -> Vec<&Placement> {
        let inner = self.body.iter().chain(self.skip.as_deref()).flat_map(Placement::all);
        std::iter::once(self).chain(inner).collect()
    }
}

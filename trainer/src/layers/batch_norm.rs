//! `batch_norm`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Mode, Pass, Placement, ReceptiveField};
use super::parameter::{Init, SlotKind};
use super::shape::Shape;
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};

/// Added to the variance, as in PyTorch.
const EPSILON: f64 = 1e-5;
/// Weight of the new batch in the running statistics, as in PyTorch.
const MOMENTUM: f64 = 0.1;

/// Batch normalisation of each channel with learnt scale and shift (Ioffe and Szegedy 2015,
/// arXiv:1502.03167).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {}

impl LayerKind for BatchNorm {
    fn place(&self, context: &Context) -> Result<Placement> {
        let shape = || vec![context.input.channels()];
        Ok(context
            .placed(context.input)
            .parameter("weight", shape(), Init::Constant(1.0), SlotKind::Trainable)
            .parameter("bias", shape(), Init::Constant(0.0), SlotKind::Trainable)
            .parameter("running_mean", shape(), Init::Constant(0.0), SlotKind::Statistic)
            .parameter("running_var", shape(), Init::Constant(1.0), SlotKind::Statistic))
    }

    fn forward(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let tensor = |index| Some(pass.tensor(placement, index));
        let training = pass.mode == Mode::Train;
        x.batch_norm(tensor(0), tensor(1), tensor(2), tensor(3), training, MOMENTUM, EPSILON, false)
    }

    /// On its own, a multiplication and an addition; after a linear layer it is folded into that.
    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        let Affine { scale, shift } = self.scale_and_shift(placement, graph);
        let shape = match placement.input {
            Shape::Image { channels, .. } => vec![1, channels, 1, 1],
            Shape::Vector(features) => vec![1, features],
        };
        let name = &placement.name;
        let scaled = graph.with_constant("Mul", &format!("{name}.scale"), x, &shape, &scale);
        graph.with_constant("Add", name, &scaled, &shape, &shift)
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before
    }

    fn affine(&self, placement: &Placement, graph: &Graph) -> Option<Affine> {
        Some(self.scale_and_shift(placement, graph))
    }

    /// One value for each channel has no variance: libtorch would remember NaN as its statistics,
    /// PyTorch refuses it.
    fn smallest_batch(&self, placement: &Placement) -> usize {
        if placement.input.numel() == placement.input.channels() { 2 } else { 1 }
    }
}

impl BatchNorm {
    /// `y = x * scale + shift` in evaluation.
    fn scale_and_shift(&self, placement: &Placement, graph: &Graph) -> Affine {
        let [weight, bias, mean, variance] = [0, 1, 2, 3].map(|index| placement.values(graph, index));
        let scale: Vec<f32> = weight
            .iter()
            .zip(variance)
            .map(|(w, v)| (f64::from(*w) / (f64::from(*v) + EPSILON).sqrt()) as f32)
            .collect();
        let shift = bias.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        Affine { scale, shift }
    }
}

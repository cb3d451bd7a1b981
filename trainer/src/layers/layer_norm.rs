//! `layer_norm`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use super::parameter::{Init, SlotKind};
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};
use crate::onnx::value::{float, int};

/// Added to the variance, as in PyTorch.
const EPSILON: f64 = 1e-5;

/// Layer normalisation of each sample over all of its values, with a learnt scale and shift for each (Ba et
/// al. 2016, arXiv:1607.06450): PyTorch's `LayerNorm(x.shape[1:])`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {}

impl LayerKind for LayerNorm {
    fn place(&self, context: &Context) -> Result<Placement> {
        if context.input.numel() < 2 {
            return Err(context.refuse("needs two values or more: one alone is always normalised to 0"));
        }
        let shape = || context.input.lengths();
        Ok(context
            .placed(context.input)
            .parameter("weight", shape(), Init::Constant(1.0), SlotKind::Trainable)
            .parameter("bias", shape(), Init::Constant(0.0), SlotKind::Trainable))
    }

    fn forward(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let shape: Vec<i64> = placement.input.lengths().iter().map(|&length| length as i64).collect();
        let tensor = |index| Some(pass.tensor(placement, index));
        x.layer_norm(shape, tensor(0), tensor(1), EPSILON, false)
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        let names = ["weight", "bias"].map(|part| format!("{}.{part}", placement.name));
        for (index, name) in names.iter().enumerate() {
            let values = placement.values(graph, index).to_vec();
            graph.constant(name, &placement.input.lengths(), &values);
        }
        let attributes = vec![int("axis", 1), float("epsilon", EPSILON as f32)];
        graph.node("LayerNormalization", &placement.name, &[x, &names[0], &names[1]], attributes)
    }

    /// Every value depends on all of the sample's.
    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before.whole()
    }
}

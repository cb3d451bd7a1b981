//! `leaky_relu`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};
use crate::onnx::value::float;

/// Slope below zero, as in PyTorch.
const SLOPE: f32 = 0.01;

/// `x` above zero, `0.01 x` below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeakyRelu {}

impl LayerKind for LeakyRelu {
    fn place(&self, context: &Context) -> Result<Placement> {
        Ok(context.placed(context.input))
    }

    fn forward(&self, _: &Placement, x: &Tensor, _: &Pass<'_>) -> Tensor {
        x.leaky_relu()
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        graph.node("LeakyRelu", &placement.name, &[x], vec![float("alpha", SLOPE)])
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before
    }
}

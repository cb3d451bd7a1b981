//! `hard_swish`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};

/// `x min(1, max(0, x / 6 + 1 / 2))`: silu without an exponential (Howard et al. 2019, arXiv:1905.02244).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HardSwish {}

impl LayerKind for HardSwish {
    fn place(&self, context: &Context) -> Result<Placement> {
        Ok(context.placed(context.input))
    }

    fn forward(&self, _: &Placement, x: &Tensor, _: &Pass<'_>) -> Tensor {
        x.hardswish()
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        graph.node("HardSwish", &placement.name, &[x], Vec::new())
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before
    }
}

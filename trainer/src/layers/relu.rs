//! `relu`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};

/// `max(x, 0)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Relu {}

impl LayerKind for Relu {
    fn place(&self, context: &Context) -> Result<Placement> {
        Ok(context.placed(context.input))
    }

    fn forward(&self, _: &Placement, x: &Tensor, _: &Pass<'_>) -> Tensor {
        x.relu()
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        graph.node("Relu", &placement.name, &[x], Vec::new())
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before
    }

    fn is_relu(&self) -> bool {
        true
    }

    /// The maximum is where it was, or nothing passes either way.
    fn may_follow_max_pool(&self) -> bool {
        true
    }
}

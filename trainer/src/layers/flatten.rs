//! `flatten`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use super::shape::Shape;
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};
use crate::onnx::value::int;

/// `[C, H, W]` to `[C * H * W]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

impl LayerKind for Flatten {
    fn place(&self, context: &Context) -> Result<Placement> {
        context.image()?;
        Ok(context.placed(Shape::Vector(context.input.numel())))
    }

    fn forward(&self, _: &Placement, x: &Tensor, _: &Pass<'_>) -> Tensor {
        x.flatten(1, -1)
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        graph.node("Flatten", &placement.name, &[x], vec![int("axis", 1)])
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before
    }
}

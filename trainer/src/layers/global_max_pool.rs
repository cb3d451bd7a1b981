//! `global_max_pool`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use super::shape::Shape;
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};
use crate::onnx::value::int;

/// Maximum over the whole image: `[C, H, W]` to `[C]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalMaxPool {}

impl LayerKind for GlobalMaxPool {
    fn place(&self, context: &Context) -> Result<Placement> {
        let [channels, ..] = context.image()?;
        Ok(context.placed(Shape::Vector(channels)))
    }

    /// Of equals the gradient is shared, as by PyTorch's `amax`.
    fn forward(&self, _: &Placement, x: &Tensor, _: &Pass<'_>) -> Tensor {
        x.amax([2, 3].as_slice(), false)
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        let name = &placement.name;
        let largest = graph.node("GlobalMaxPool", &format!("{name}.max"), &[x], Vec::new());
        graph.node("Flatten", name, &[&largest], vec![int("axis", 1)])
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before.whole()
    }
}

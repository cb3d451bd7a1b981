//! `softmax`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use super::shape::Shape;
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};
use crate::onnx::value::int;

/// Turns logits into probabilities; the last layer, and only that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Softmax {}

impl LayerKind for Softmax {
    fn place(&self, context: &Context) -> Result<Placement> {
        if !context.is_last {
            return Err(context.refuse("softmax may only be the last layer of the network"));
        }
        if matches!(context.input, Shape::Image { .. }) {
            let flat = context.input.numel();
            return Err(context.refuse(format!("needs [classes], not an image; flatten gives [{flat}]")));
        }
        Ok(context.placed(context.input))
    }

    /// The loss takes logits; whoever wants probabilities applies softmax to them.
    fn forward(&self, _: &Placement, x: &Tensor, _: &Pass<'_>) -> Tensor {
        x.shallow_clone()
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        graph.node("Softmax", &placement.name, &[x], vec![int("axis", -1)])
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before
    }
}

//! `dropout`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Mode, Pass, Placement, ReceptiveField};
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};

/// Zeroes a share of the values, in training only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Share of values set to zero, in `[0, 1)`.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub rate: f64,
}

impl LayerKind for Dropout {
    fn place(&self, context: &Context) -> Result<Placement> {
        match (0.0..1.0).contains(&self.rate) {
            true => Ok(context.placed(context.input)),
            false => Err(context.refuse(format!("rate {}: expected 0 <= rate < 1", self.rate))),
        }
    }

    fn forward(&self, _: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        x.dropout(self.rate, pass.mode == Mode::Train)
    }

    fn export(&self, _: &Placement, x: &str, _: Option<&Affine>, _: &mut Graph) -> String {
        x.to_owned()
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before
    }

    fn is_random(&self) -> bool {
        true
    }
}

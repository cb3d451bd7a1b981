//! `elu`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use crate::arithmetic::{Arithmetic, activation};
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};
use crate::onnx::value::float;

/// `x` above zero, `exp(x) - 1` below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Elu {}

impl LayerKind for Elu {
    fn place(&self, context: &Context) -> Result<Placement> {
        Ok(context.placed(context.input))
    }

    fn forward(&self, _: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        match pass.arithmetic {
            Arithmetic::Libtorch => x.elu(),
            Arithmetic::Portable { .. } => activation::apply(x, activation::elu),
        }
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        graph.node("Elu", &placement.name, &[x], vec![float("alpha", 1.0)])
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before
    }
}

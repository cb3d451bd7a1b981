//! `sigmoid`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use crate::arithmetic::{Arithmetic, activation};
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};

/// Logistic function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sigmoid {}

impl LayerKind for Sigmoid {
    fn place(&self, context: &Context) -> Result<Placement> {
        Ok(context.placed(context.input))
    }

    fn forward(&self, _: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        match pass.arithmetic {
            Arithmetic::Libtorch => x.sigmoid(),
            Arithmetic::Portable { .. } => activation::apply(x, activation::sigmoid),
        }
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        graph.node("Sigmoid", &placement.name, &[x], Vec::new())
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before
    }
}

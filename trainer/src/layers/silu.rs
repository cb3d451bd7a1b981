//! `silu`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use crate::arithmetic::{Arithmetic, activation};
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};

/// `x sigmoid(x)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Silu {}

impl LayerKind for Silu {
    fn place(&self, context: &Context) -> Result<Placement> {
        Ok(context.placed(context.input))
    }

    fn forward(&self, _: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        match pass.arithmetic {
            Arithmetic::Libtorch => x.silu(),
            Arithmetic::Portable { .. } => activation::apply(x, activation::silu),
        }
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        let name = &placement.name;
        let gate = graph.node("Sigmoid", &format!("{name}.gate"), &[x], Vec::new());
        graph.node("Mul", name, &[x, &gate], Vec::new())
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before
    }
}

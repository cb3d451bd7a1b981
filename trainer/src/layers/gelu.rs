//! `gelu`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use crate::arithmetic::{Arithmetic, activation};
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};

/// `x Φ(x)`, exact (by erf).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gelu {}

impl LayerKind for Gelu {
    fn place(&self, context: &Context) -> Result<Placement> {
        Ok(context.placed(context.input))
    }

    fn forward(&self, _: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        match pass.arithmetic {
            Arithmetic::Libtorch => x.gelu("none"),
            Arithmetic::Portable { .. } => activation::apply(x, activation::gelu),
        }
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        // `x / 2 * (1 + erf(x / sqrt 2))`: ONNX has a Gelu operator only from opset 20.
        let name = &placement.name;
        let part = |suffix: &str| format!("{name}.{suffix}");
        let root = std::f32::consts::FRAC_1_SQRT_2;
        let scaled = graph.with_constant("Mul", &part("scaled"), x, &[1], &[root]);
        let erf = graph.node("Erf", &part("erf"), &[&scaled], Vec::new());
        let gate = graph.with_constant("Add", &part("gate"), &erf, &[1], &[1.0]);
        let half = graph.with_constant("Mul", &part("half"), x, &[1], &[0.5]);
        graph.node("Mul", name, &[&half, &gate], Vec::new())
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before
    }
}

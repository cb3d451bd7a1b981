//! `dense`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use super::linear;
use super::shape::Shape;
use crate::arithmetic::tape::Recorded;
use crate::arithmetic::{self, Arithmetic};
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};
use crate::onnx::value::int;

/// Fully connected: `[F]` to `[features]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Output values.
    #[schemars(range(min = 1, max = 65536))]
    pub features: usize,
    /// Whether a learnt bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
}

fn yes() -> bool {
    true
}

impl LayerKind for Dense {
    fn place(&self, context: &Context) -> Result<Placement> {
        let Shape::Vector(inputs) = context.input else {
            let flat = context.input.numel();
            return Err(context.refuse(format!("needs [F], not an image; put flatten before it to get [{flat}]")));
        };
        context.positive("features", self.features)?;
        let weight = vec![self.features, inputs];
        context.check_size(&weight)?;
        let placed = context.placed(Shape::Vector(self.features)).linear(weight, inputs, self.bias);
        Ok(Placement { macs: inputs as u64 * self.features as u64, ..placed })
    }

    fn forward(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let (weight, bias) = (pass.tensor(placement, 0), self.bias.then(|| pass.tensor(placement, 1)));
        match (pass.arithmetic, pass.tape) {
            (Arithmetic::Libtorch, _) => x.linear(weight, bias),
            (Arithmetic::Portable { .. }, None) => arithmetic::dense::forward(x, weight, bias),
            (Arithmetic::Portable { .. }, Some(tape)) => {
                let output = arithmetic::dense::forward(x, weight, bias);
                tape.record(x, output, Recorded::Dense(placement.slots(self.bias)))
            }
        }
    }

    fn export(&self, placement: &Placement, x: &str, folded: Option<&Affine>, graph: &mut Graph) -> String {
        linear::export("Gemm", placement, x, folded, vec![int("transB", 1)], graph)
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before.whole()
    }

    fn is_linear(&self) -> bool {
        true
    }
}

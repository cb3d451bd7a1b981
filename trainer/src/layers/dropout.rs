//! `dropout`.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Mode, Pass, Placement, ReceptiveField};
use crate::arithmetic::tape::Tape;
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};
use distortions::Stream;

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

    fn forward(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        match pass.tape {
            Some(tape) => x * self.mask(x, &placement.name, tape),
            None => x.dropout(self.rate, pass.mode == Mode::Train),
        }
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

impl Dropout {
    /// `1 / (1 - rate)` where a value of `x` stays, else 0: a stream of the recipe's seed for each image.
    fn mask(&self, x: &Tensor, name: &str, tape: &Tape) -> Tensor {
        let images = x.size()[0].max(1) as usize;
        let mut mask = vec![0f32; x.numel()];
        let length = (mask.len() / images).max(1);
        let (seed, step, purpose) = (tape.seed, tape.step, format!("dropout {name}"));
        mask.par_chunks_mut(length).enumerate().for_each(|(image, mask)| {
            let mut stream = Stream::new(seed, &purpose, step, image as u64);
            let (rate, kept) = (self.rate as f32, (1.0 / (1.0 - self.rate)) as f32);
            mask.iter_mut().for_each(|value| *value = if stream.unit() < rate { 0.0 } else { kept });
        });
        Tensor::from_slice(&mask).view(x.size().as_slice())
    }
}

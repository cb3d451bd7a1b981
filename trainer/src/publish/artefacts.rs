//! The files of a version that follow from its weights: what a retraining must give again, byte for byte.

use std::collections::BTreeMap;

use datasets::Samples;
use infer::golden::{self, Golden};
use tch::Device;

use crate::error::Result;
use crate::evaluate::Evaluator;
use crate::network::Network;
use crate::normaliser::Normaliser;
use crate::onnx::{self, Identity};
use crate::parameters::Parameters;
use crate::weights;

/// Test images in `test_data_set_0`.
const GOLDEN_IMAGES: usize = 16;

/// Weights, and what else the files depend on.
pub(crate) struct Artefacts<'a> {
    pub(crate) network: &'a Network,
    pub(crate) parameters: &'a Parameters,
    pub(crate) normaliser: &'a Normaliser,
    /// The test split, whose first images are the golden ones.
    pub(crate) test: &'a Samples,
    /// What the logits are divided by.
    pub(crate) temperature: f32,
    pub(crate) identity: Identity<'a>,
}

impl Artefacts<'_> {
    /// The first test images and the network's probabilities for them.
    pub(crate) fn golden(&self) -> Golden {
        let evaluator = Evaluator {
            network: self.network,
            parameters: self.parameters,
            normaliser: self.normaliser,
            samples: self.test,
            device: Device::Cpu,
        };
        let first: Vec<usize> = (0..self.test.len().min(GOLDEN_IMAGES)).collect();
        let shape = self.test.shape;
        Golden {
            shape: vec![first.len(), shape.channels, shape.height, shape.width],
            images: first.iter().flat_map(|&i| self.test.image(i)).copied().collect(),
            probabilities: evaluator.probabilities(&first, self.temperature),
        }
    }

    /// All files, by their path in the version's folder; `golden` is what [`Artefacts::golden`] gives.
    ///
    /// # Errors
    /// Never for parameters that training made.
    pub(crate) fn files(&self, golden: &Golden) -> Result<BTreeMap<&'static str, Vec<u8>>> {
        let (input, output) = golden.to_files();
        Ok(BTreeMap::from([
            (
                zoo::ONNX,
                onnx::export(
                    self.network,
                    self.parameters,
                    self.normaliser,
                    self.temperature,
                    &self.identity,
                ),
            ),
            (weights::MODEL, weights::whole(self.parameters)?),
            (weights::FIRST_LAYER, weights::first_layer(self.network, self.parameters)?),
            (golden::INPUT, input),
            (golden::OUTPUT, output),
        ]))
    }
}

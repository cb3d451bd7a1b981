//! Learning from the answers of a published model, beside the labels (Hinton et al. 2015, arXiv:1503.02531).

use std::path::Path;

use datasets::{Dataset, Digest};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};
use zoo::{Spec, Zoo};

use crate::error::{Error, Result};
use crate::layers::Mode;
use crate::network::Network;
use crate::parameters::Parameters;
use crate::recipe::Recipe;
use crate::{publish, reproduce, weights};

/// Whose answers, and how much they count. The teacher's weights are named by their hash, so that the recipe still
/// determines everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Distillation {
    /// The version to learn from: `fashion-best@1`.
    pub teacher: String,
    /// sha256 of its parameters, as its manifest has it.
    pub parameters_sha256: Digest,
    /// Share of the loss that is the cross-entropy with the teacher's probabilities; the rest is that with the labels.
    #[serde(default = "half")]
    pub weight: f64,
    /// What both networks' logits are divided by for that share, which is multiplied by its square, so that gradients keep
    /// their size.
    #[serde(default = "one")]
    pub temperature: f64,
}

fn half() -> f64 {
    0.5
}

fn one() -> f64 {
    1.0
}

/// A teacher with its weights.
pub(crate) struct Teacher {
    network: Network,
    parameters: Parameters,
    /// As in [`Distillation`].
    pub(crate) weight: f64,
    /// As in [`Distillation`].
    pub(crate) temperature: f64,
}

impl Distillation {
    /// `(field, value, whether it is in range, range)` of every number, for checking a recipe.
    pub(crate) fn fields(&self) -> [(&'static str, f64, bool, &'static str); 2] {
        let Distillation { weight, temperature, .. } = *self;
        [
            ("distillation.weight", weight, weight > 0.0 && weight <= 1.0, "0 < value <= 1"),
            ("distillation.temperature", temperature, (0.01..=100.0).contains(&temperature), "0.01 to 100"),
        ]
    }

    /// The teacher, from a zoo, for images of the dataset that it was trained on.
    ///
    /// # Errors
    /// [`Error::Zoo`] if it is not there or damaged; [`Error::Recipe`] if it is another than the recipe names, or of other data.
    pub(crate) fn open(
        &self,
        recipe: &Recipe,
        dataset: &Dataset,
        zoo: &Path,
        device: Device,
    ) -> Result<Teacher> {
        let refuse = |field: &str, found: String, expected: String| {
            let field = format!("distillation.{field}");
            Err(Error::Recipe { path: recipe.name.clone().into(), field, found, expected })
        };
        let spec: Spec = match self.teacher.parse() {
            Ok(spec) => spec,
            Err(expected) => return refuse("teacher", self.teacher.clone(), expected),
        };
        let version = Zoo::open(zoo)?.version(&spec)?;
        let found = version.manifest.parameters_sha256();
        if found != Some(self.parameters_sha256) {
            let found =
                found.map_or("a version without a recipe's weights".into(), |found| found.to_string());
            let expected = format!("{}, the parameters of {}", self.parameters_sha256, self.teacher);
            return refuse("parameters_sha256", found, expected);
        }
        if version.manifest.dataset != publish::dataset_info(dataset) {
            let found = format!("{}, trained on {}", self.teacher, version.manifest.dataset.name);
            return refuse("teacher", found, format!("a version trained on {}", dataset.description.name));
        }
        let teacher = reproduce::published_recipe(&version)?.recipe;
        // By the arithmetic of the pupil, which is that of its profile.
        let network = teacher.build_network(&dataset.description)?;
        let network = network.with_arithmetic(recipe.numeric_profile.arithmetic());
        let parameters = weights::published(&version, &network)?.on_device(device);
        Ok(Teacher { network, parameters, weight: self.weight, temperature: self.temperature })
    }
}

impl Teacher {
    /// Its logits `[N, classes]` for normalised images `[N, C, H, W]`.
    pub(crate) fn logits(&self, images: &Tensor) -> Tensor {
        tch::no_grad(|| self.network.logits(images, &self.parameters, Mode::Evaluate))
    }
}

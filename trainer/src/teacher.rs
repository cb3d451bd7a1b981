//! The published model that a network learns from.

use std::path::Path;

use datasets::Dataset;
use tch::{Device, Tensor};
use zoo::{DatasetInfo, Spec, Zoo};

use crate::distillation::Distillation;
use crate::error::{Error, Result};
use crate::layers::Mode;
use crate::network::Network;
use crate::parameters::Parameters;
use crate::recipe::RecipeFile;
use crate::weights;

/// A teacher with its weights.
pub(crate) struct Teacher {
    network: Network,
    parameters: Parameters,
    /// As in [`Distillation`].
    pub(crate) weight: f64,
    /// As in [`Distillation`].
    pub(crate) temperature: f64,
}

impl Teacher {
    /// The teacher, from a zoo, for images of the dataset that it was trained on.
    ///
    /// # Errors
    /// [`Error::Zoo`] if it is not there or damaged; [`Error::Recipe`] if it is another than the recipe names, or of other data.
    pub(crate) fn open(
        distillation: &Distillation,
        recipe: &RecipeFile,
        dataset: &Dataset,
        zoo: &Path,
        device: Device,
    ) -> Result<Teacher> {
        let refuse = |field: &str, found: String, expected: String| {
            let field = format!("distillation.{field}");
            Err(Error::Recipe { path: recipe.path.clone(), field, found, expected })
        };
        let spec: Spec = match distillation.teacher.parse() {
            Ok(spec) => spec,
            Err(expected) => return refuse("teacher", distillation.teacher.clone(), expected),
        };
        let version = Zoo::open(zoo)?.version(&spec)?;
        let found = version.manifest.parameters_sha256();
        if found != Some(distillation.parameters_sha256) {
            let found =
                found.map_or("a version without a recipe's weights".into(), |found| found.to_string());
            let expected =
                format!("{}, the parameters of {}", distillation.parameters_sha256, distillation.teacher);
            return refuse("parameters_sha256", found, expected);
        }
        if version.manifest.dataset != DatasetInfo::of(dataset) {
            let found = format!("{}, trained on {}", distillation.teacher, version.manifest.dataset.name);
            return refuse("teacher", found, format!("a version trained on {}", dataset.description.name));
        }
        let teacher = RecipeFile::of_version(&version)?.recipe;
        // By the arithmetic of the student, which is that of its profile.
        let network = teacher.build_network(&dataset.description)?;
        let network = network.with_arithmetic(recipe.recipe.numeric_profile.arithmetic());
        let parameters = weights::published(&version, &network)?.on_device(device);
        Ok(Teacher {
            network,
            parameters,
            weight: distillation.weight,
            temperature: distillation.temperature,
        })
    }

    /// Its logits `[N, classes]` for normalised images `[N, C, H, W]`.
    pub(crate) fn logits(&self, images: &Tensor) -> Tensor {
        tch::no_grad(|| self.network.logits(images, &self.parameters, Mode::Evaluate))
    }
}

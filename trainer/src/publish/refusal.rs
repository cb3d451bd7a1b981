//! What [`super::publish`] would refuse after training, seen before.

use std::path::Path;

use datasets::Dataset;
use infer::Session;
use tch::Device;

use crate::error::Result;
use crate::normaliser::Normaliser;
use crate::onnx::{self, Identity};
use crate::parameters::Parameters;
use crate::recipe::RecipeFile;

/// Why `infer` reads no ONNX file of a recipe's network, if so. It bounds operators and memory, whatever the weights are, so
/// that those of the first step tell.
///
/// # Errors
/// As for [`RecipeFile::build_network`], and [`crate::Error::Torch`] if there is not enough memory for the weights.
pub fn refusal(recipe: &RecipeFile, dataset: &Dataset) -> Result<Option<infer::Error>> {
    let network = recipe.build_network(&dataset.description)?;
    let parameters = Parameters::initialise(network.parameters(), recipe.recipe.seed, Device::Cpu)?;
    let labels = &dataset.description.classes;
    let identity = Identity {
        name: &recipe.recipe.name,
        version: 1,
        description: &recipe.recipe.description,
        labels,
        recipe_sha256: recipe.sha256().to_string(),
        trainer: env!("CARGO_PKG_VERSION"),
        is_annotated: true,
    };
    let normaliser = Normaliser::new(&dataset.description.normalisation);
    // One that is fitted is an operator more.
    let temperature = if recipe.recipe.promises_confidence() { 2.0 } else { 1.0 };
    let file = onnx::export(&network, &parameters, &normaliser, temperature, &identity);
    let session = Session::load(file, dataset.description.image, labels.len(), Path::new(zoo::ONNX));
    Ok(session.err())
}

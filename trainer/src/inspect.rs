//! What a recipe's network is, without training it.

use datasets::Description;
use serde::Serialize;

use crate::error::Result;
use crate::layers::kind::Placement;
use crate::network::Network;
use crate::recipe::{Recipe, RecipeFile};

/// Bytes of a value.
const FLOAT: u64 = 4;

/// A network's layers and what training it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Name of the recipe.
    pub name: String,
    /// The layers in order, those inside a block after it.
    pub layers: Vec<LayerInfo>,
    /// Trainable values.
    pub parameters: usize,
    /// Multiply-accumulates for one image.
    pub macs: u64,
    /// Estimated bytes while training.
    pub memory: Memory,
}

/// A layer in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerInfo {
    /// `conv1`, `max_pool2`, `residual1.conv2`.
    pub name: String,
    /// Shape that goes out, `[C, H, W]` or `[F]`.
    pub output: String,
    /// Rows and columns of the image that one value depends on.
    pub receptive_field: [usize; 2],
    /// Step in the image between neighbouring values, along rows and along columns.
    pub stride: [usize; 2],
}

/// Estimated bytes while training. Libraries' scratch memory comes on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Weights, their gradient, the optimizer's two moments, and the moving average if there is one.
    pub parameters: u64,
    /// Every layer's output for a batch, and its gradient.
    pub activations: u64,
}

/// Works out a recipe's network on a dataset's images.
///
/// # Errors
/// [`crate::Error::Network`] if shapes do not work out.
pub fn inspect(file: &RecipeFile, dataset: &Description) -> Result<(Network, Inspection)> {
    let recipe = &file.recipe;
    let network = file.build_network(dataset)?;
    let layers = network.receptive_fields().into_iter().map(|(placement, field)| LayerInfo {
        name: placement.name.clone(),
        output: placement.output.to_string(),
        receptive_field: field.size,
        stride: field.stride,
    });
    let inspection = Inspection {
        name: recipe.name.clone(),
        layers: layers.collect(),
        parameters: network.parameter_count(),
        macs: network.macs(),
        memory: memory(recipe, &network),
    };
    Ok((network, inspection))
}

fn memory(recipe: &Recipe, network: &Network) -> Memory {
    let outputs =
        network.placements().iter().flat_map(Placement::all).map(|inner| inner.output.numel() as u64);
    let image = outputs.fold(network.input.numel() as u64, u64::saturating_add);
    let copies = if recipe.ema.is_some() { 5 } else { 4 };
    Memory {
        parameters: network.parameter_count() as u64 * FLOAT * copies,
        activations: image.saturating_mul(2 * FLOAT * recipe.batch_size as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Layer, Shape};
    use std::path::Path;

    #[test]
    fn receptive_fields_of_mnist_cnn() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let recipe = RecipeFile::read(&root.join("recipes/mnist-cnn.yaml")).unwrap();
        let dataset = datasets::Dataset::find(&root.join("datasets"), "mnist").unwrap();
        let (_, inspection) = inspect(&recipe, &dataset.description).unwrap();
        let fields: Vec<_> = inspection
            .layers
            .iter()
            .map(|l| (l.name.as_str(), l.receptive_field[0], l.receptive_field[1], l.stride[0]))
            .collect();
        assert_eq!(
            fields[..8],
            [
                ("conv1", 5, 5, 1),
                ("relu1", 5, 5, 1),
                ("max_pool1", 6, 6, 2),
                ("conv2", 14, 14, 2),
                ("relu2", 14, 14, 2),
                ("max_pool2", 16, 16, 4),
                ("flatten1", 16, 16, 4),
                ("dense1", 28, 28, 4)
            ]
        );
        assert_eq!(inspection.memory.parameters, 1_111_946 * 4 * 5);
    }

    #[test]
    fn steps_beyond_all_numbers_are_the_largest() {
        let yaml = "- conv2d: {features: 1, kernel_size: 1, stride: 65536}\n".repeat(5)
            + "- conv2d: {features: 1, kernel_size: 3, padding: 1}\n- flatten\n- dense: {features: 2}\n- softmax\n";
        let layers: Vec<Layer> = datasets::yaml::parse(&yaml, Path::new("x")).unwrap();
        let network = Network::build(&layers, Shape::Image { channels: 1, height: 9, width: 9 }, 2).unwrap();
        let (_, field) = network.receptive_fields()[5];
        assert_eq!((field.size, field.stride), ([9, 9], [usize::MAX; 2]));
    }

    #[test]
    fn flat_images_and_layers_inside_blocks() {
        let yaml = "- residual: {body: [{conv2d: {features: 2, kernel_size: 3, stride: 2, padding: 1}}, relu]}\n\
            - conv2d: {features: 2, kernel_size: 1}\n- flatten\n- dense: {features: 2}\n- softmax\n";
        let layers: Vec<Layer> = datasets::yaml::parse(yaml, Path::new("x")).unwrap();
        let network = Network::build(&layers, Shape::Image { channels: 1, height: 1, width: 28 }, 2).unwrap();
        let fields: Vec<_> =
            network.receptive_fields().iter().map(|(p, f)| (p.name.clone(), f.size, f.stride)).collect();
        let expected = [
            ("residual1", [1, 3], [2, 2]),
            ("residual1.conv1", [1, 3], [2, 2]),
            ("residual1.relu1", [1, 3], [2, 2]),
            ("conv1", [1, 3], [2, 2]),
            ("flatten1", [1, 3], [2, 2]),
            ("dense1", [1, 28], [2, 2]),
            ("softmax1", [1, 28], [2, 2]),
        ];
        assert_eq!(fields, expected.map(|(name, size, stride)| (name.to_owned(), size, stride)));
    }
}

//! What a recipe's network is, without training it.

use datasets::Description;
use serde::Serialize;

use crate::error::Result;
use crate::network::{Layer, Network, Node};
use crate::recipe::{Recipe, RecipeFile};

/// Bytes of a value.
const FLOAT: u64 = 4;

/// A network's layers and what training it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Name of the recipe.
    pub name: String,
    /// The layers in order.
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
    /// `conv1`, `max_pool2`.
    pub name: String,
    /// Shape that goes out, `[C, H, W]` or `[F]`.
    pub output: String,
    /// Rows (and columns) of the image that one value depends on.
    pub receptive_field: usize,
    /// Step in the image between neighbouring values.
    pub stride: usize,
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
/// [`crate::Error::Layer`] if shapes do not work out.
pub fn inspect(file: &RecipeFile, dataset: &Description) -> Result<(Network, Inspection)> {
    let recipe = &file.recipe;
    let network = recipe.build_network(dataset)?;
    let whole = dataset.image.height.max(dataset.image.width);
    let mut field = Field { size: 1, stride: 1 };
    let layers = network.nodes.iter().map(|node| {
        field = after(field, node, whole);
        LayerInfo {
            name: node.name.clone(),
            output: node.output.to_string(),
            receptive_field: field.size.min(whole),
            stride: field.stride,
        }
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

/// Rows of the image that a value depends on, and the step between neighbours.
#[derive(Clone, Copy)]
struct Field {
    size: usize,
    stride: usize,
}

/// `size + (kernel - 1) stride`, `stride * stride'` (Araujo et al. 2019, "Computing receptive
/// fields of convolutional neural networks", Distill). A layer over everything sees the whole image.
fn after(field: Field, node: &Node, whole: usize) -> Field {
    let window = |kernel: usize, stride: usize| Field {
        size: field.size + (kernel - 1) * field.stride,
        stride: field.stride * stride,
    };
    match &node.layer {
        Layer::Conv2d(conv) => window(conv.kernel_size, conv.stride),
        Layer::MaxPool(pool) | Layer::AvgPool(pool) => window(pool.kernel_size, pool.stride),
        Layer::Residual(_) => node.body.iter().fold(field, |field, inner| after(field, inner, whole)),
        Layer::GlobalAvgPool | Layer::Dense(_) => Field { size: whole, stride: field.stride },
        _ => field,
    }
}

fn memory(recipe: &Recipe, network: &Network) -> Memory {
    fn values(node: &Node) -> u64 {
        let inner = node.body.iter().chain(node.skip.as_deref()).map(values).sum::<u64>();
        node.output.numel() as u64 + inner
    }
    let copies = if recipe.ema.is_some() { 5 } else { 4 };
    let image = network.input.numel() as u64 + network.nodes.iter().map(values).sum::<u64>();
    Memory {
        parameters: network.parameter_count() as u64 * FLOAT * copies,
        activations: 2 * image * recipe.batch_size as u64 * FLOAT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn receptive_fields_of_the_seed_network() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let recipe = RecipeFile::read(&root.join("recipes/mnist-cnn.yaml")).unwrap();
        let dataset = datasets::Dataset::find(&root.join("datasets"), "mnist").unwrap();
        let (_, inspection) = inspect(&recipe, &dataset.description).unwrap();
        let fields: Vec<_> =
            inspection.layers.iter().map(|l| (l.name.as_str(), l.receptive_field, l.stride)).collect();
        assert_eq!(
            fields[..8],
            [
                ("conv1", 5, 1),
                ("relu1", 5, 1),
                ("max_pool1", 6, 2),
                ("conv2", 14, 2),
                ("relu2", 14, 2),
                ("max_pool2", 16, 4),
                ("flatten1", 16, 4),
                ("dense1", 28, 4)
            ]
        );
        assert_eq!(inspection.memory.parameters, 1_111_946 * 4 * 5);
    }
}

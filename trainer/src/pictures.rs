//! Pictures of what a trained network does: its feature maps, and where it is wrong.

use datasets::Samples;
use tch::{Device, Tensor};

use crate::attribution::Explained;
use crate::error::Result;
use crate::evaluate::Evaluator;
use crate::layers::Shape;
use crate::network::Network;
use crate::normaliser::Normaliser;
use crate::parameters::Parameters;
use crate::sheet::{Sheet, colour};
use crate::weights;

/// Maps of a layer that are drawn.
const MAPS: usize = 16;
/// Maps are enlarged to about so many pixels.
const SIDE: usize = 56;
/// Mistakes that are drawn.
const MISTAKES: usize = 40;

/// The first maps of a layer, each from black (its lowest value) to white (its highest), as PNG.
pub struct FeatureMaps {
    /// Name of the layer.
    pub layer: String,
    /// The picture.
    pub png: Vec<u8>,
}

/// Feature maps of every layer that gives images, for one image `[C, H, W]`.
///
/// # Errors
/// [`crate::Error::Drawing`].
pub fn feature_maps(
    network: &Network,
    parameters: &Parameters,
    normaliser: &Normaliser,
    image: &[u8],
) -> Result<Vec<FeatureMaps>> {
    let Shape::Image { channels, height, width } = network.input else { return Ok(Vec::new()) };
    let mut pixels: Vec<f32> = image.iter().map(|&pixel| pixel.into()).collect();
    normaliser.apply(&mut pixels);
    let input = Tensor::from_slice(&pixels).view([1, channels as i64, height as i64, width as i64]);
    let outputs = tch::no_grad(|| network.activations(&input, parameters));
    let mut pictures = Vec::new();
    for (placement, output) in outputs {
        let Shape::Image { channels, height, width } = placement.output else { continue };
        let mut values = vec![0f32; output.numel()];
        output.contiguous().copy_data(&mut values, output.numel());
        let count = channels.min(MAPS);
        let mut sheet = Sheet::new(count, count, [height, width], SIDE);
        for (index, map) in values.chunks_exact((height * width).max(1)).take(count).enumerate() {
            let (low, high) = map.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            sheet.draw(index, |y, x| {
                let value = map[y * width + x];
                [(255.0 * (value - low) / (high - low).max(1e-9)).round() as u8; 3]
            });
        }
        pictures.push(FeatureMaps { layer: placement.name.clone(), png: sheet.png()? });
    }
    Ok(pictures)
}

/// Images that a network gets wrong.
pub struct Mistakes {
    /// `(actual, predicted)` of those that are drawn, in the picture's order.
    pub classes: Vec<(u8, u8)>,
    /// How many it gets wrong in all.
    pub count: usize,
    /// The picture, ten in a row, as PNG.
    pub png: Vec<u8>,
}

/// The first wrongly classified of the images at `indices`.
///
/// # Errors
/// [`crate::Error::Drawing`].
pub fn mistakes(
    network: &Network,
    parameters: &Parameters,
    normaliser: &Normaliser,
    samples: &Samples,
    indices: &[usize],
) -> Result<Mistakes> {
    let evaluator = Evaluator { network, parameters, normaliser, samples, device: Device::Cpu };
    let predictions = evaluator.evaluate(indices).predictions;
    let actual = |index: usize| samples.labels[index];
    let wrong: Vec<(usize, u8)> = indices
        .iter()
        .copied()
        .zip(predictions)
        .filter(|&(index, predicted)| predicted != actual(index))
        .collect();
    let shape = samples.shape;
    let shown = wrong.len().min(MISTAKES);
    let mut sheet = Sheet::new(shown, 10, [shape.height, shape.width], SIDE);
    for (place, &(index, _)) in wrong.iter().take(shown).enumerate() {
        let pixels: Vec<f32> = samples.image(index).iter().map(|&pixel| pixel.into()).collect();
        sheet.draw(place, |y, x| colour(&pixels, shape, y, x));
    }
    let classes = wrong.iter().take(shown).map(|&(index, predicted)| (actual(index), predicted)).collect();
    Ok(Mistakes { classes, count: wrong.len(), png: sheet.png()? })
}

/// Images with what their answers rest on.
pub struct Attributions {
    /// The image's index, its class and the one that it is taken for, row by row.
    pub shown: Vec<(usize, u8, u8)>,
    /// A row for each image: itself, integrated gradients and occlusion for the answer, and, where that is wrong, both for
    /// the right class; orange speaks for the class, blue against it. PNG.
    pub png: Vec<u8>,
    /// The numbers, as safetensors: `images`, and for `answer` and `right` both kinds, `[N, C, H, W]`.
    pub values: Vec<u8>,
}

/// Right answers that are explained, one for each class at most, and wrong ones.
const EXPLAINED: usize = 6;
/// Explained images are enlarged to about so many pixels.
const EXPLAINED_SIDE: usize = 84;

/// Explains the first right answers, of different classes, and the first wrong ones among the images at `indices`.
///
/// # Errors
/// What libtorch says, or [`crate::Error::Drawing`].
pub fn attributions(explained: &Explained<'_>, indices: &[usize]) -> Result<Attributions> {
    let Explained { network, parameters, normaliser, samples } = *explained;
    let evaluator = Evaluator { network, parameters, normaliser, samples, device: Device::Cpu };
    let predictions = evaluator.evaluate(indices).predictions;
    let mut right: Vec<(usize, u8, u8)> = Vec::new();
    let mut wrong: Vec<(usize, u8, u8)> = Vec::new();
    for (&index, predicted) in indices.iter().zip(predictions) {
        let actual = samples.labels[index];
        if actual != predicted {
            wrong.push((index, actual, predicted));
        } else if right.iter().all(|(_, other, _)| *other != actual) {
            right.push((index, actual, predicted));
        }
    }
    right.truncate(EXPLAINED);
    wrong.truncate(EXPLAINED);
    let shown = [right, wrong].concat();
    let shape = samples.shape;
    let plane = shape.height * shape.width;
    let columns = 5;
    let mut sheet = Sheet::new(shown.len() * columns, columns, [shape.height, shape.width], EXPLAINED_SIDE);
    let size = vec![shown.len(), shape.channels, shape.height, shape.width];
    let names = [
        "images",
        "answer.integrated_gradients",
        "answer.occlusion",
        "right.integrated_gradients",
        "right.occlusion",
    ];
    let mut tensors = names.map(|name| (name.to_owned(), size.clone(), Vec::new()));
    for (row, &(index, actual, predicted)) in shown.iter().enumerate() {
        let pixels: Vec<f32> = samples.image(index).iter().map(|&pixel| pixel.into()).collect();
        sheet.draw(row * columns, |y, x| colour(&pixels, shape, y, x));
        tensors[0].2.extend(&pixels);
        for (place, class) in [predicted, actual].into_iter().enumerate() {
            let found = explained.attribution(index, class)?;
            for (kind, values) in [found.integrated_gradients, found.occlusion].into_iter().enumerate() {
                if place == 0 || actual != predicted {
                    let sums: Vec<f32> =
                        (0..plane).map(|at| values.iter().skip(at).step_by(plane).sum::<f32>()).collect();
                    let most = sums.iter().fold(1e-9f32, |most, value| most.max(value.abs()));
                    sheet.draw(row * columns + 1 + 2 * place + kind, |y, x| {
                        signed(sums[y * shape.width + x] / most)
                    });
                }
                tensors[1 + 2 * place + kind].2.extend(values);
            }
        }
    }
    Ok(Attributions { png: sheet.png()?, values: weights::serialise(&tensors)?, shown })
}

/// White for 0, orange towards 1, blue towards -1.
fn signed(value: f32) -> [u8; 3] {
    let full: [f32; 3] = if value > 0.0 { [217.0, 95.0, 2.0] } else { [47.0, 134.0, 214.0] };
    full.map(|channel| (255.0 + (channel - 255.0) * value.abs().min(1.0)).round() as u8)
}

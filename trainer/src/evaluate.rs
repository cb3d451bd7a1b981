//! Running a network on images without training it.

use datasets::Samples;
use tch::{Device, Kind, Tensor};

use crate::arithmetic::{Arithmetic, loss};
use crate::layers::Mode;
use crate::network::Network;
use crate::normaliser::Normaliser;
use crate::parameters::Parameters;

/// Images per forward pass, and values of them at most.
const BATCH: usize = 500;
const VALUES: usize = 32 << 20;

/// Images of a shape per forward pass.
pub(crate) fn batch(shape: datasets::ImageShape) -> usize {
    (VALUES / shape.numel().max(1)).clamp(1, BATCH)
}

/// What a network says about a set of images.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Evaluation {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Predicted class of each image.
    pub predictions: Vec<u8>,
    /// How many are right.
    pub correct: usize,
}

/// A network with its weights and the images to run it on.
pub(crate) struct Evaluator<'a> {
    /// The layers.
    pub network: &'a Network,
    /// Their weights, on `device`.
    pub parameters: &'a Parameters,
    /// How pixels are normalised.
    pub normaliser: &'a Normaliser,
    /// The images.
    pub samples: &'a Samples,
    /// Where to compute.
    pub device: Device,
}

impl Evaluator<'_> {
    /// Classifies the images at `indices`.
    pub(crate) fn evaluate(&self, indices: &[usize]) -> Evaluation {
        let mut result = Evaluation { loss: 0.0, predictions: Vec::with_capacity(indices.len()), correct: 0 };
        for chunk in indices.chunks(batch(self.samples.shape)) {
            let labels: Vec<i64> = chunk.iter().map(|&i| self.samples.labels[i].into()).collect();
            let (loss, predictions) = tch::no_grad(|| {
                let logits = self.logits(chunk);
                let mut predictions = vec![0i64; chunk.len()];
                logits.argmax(1, false).to_device(Device::Cpu).copy_data(&mut predictions, chunk.len());
                (self.loss(&logits, &labels), predictions)
            });
            result.loss += loss;
            result.correct += predictions.iter().zip(&labels).filter(|(p, l)| p == l).count();
            result.predictions.extend(predictions.iter().map(|&p| p as u8));
        }
        result.loss /= indices.len().max(1) as f64;
        result
    }

    /// Logits `[N, classes]`, row-major, of the images at `indices`.
    pub(crate) fn logits_of(&self, indices: &[usize]) -> Vec<f32> {
        let values = |chunk: &[usize]| {
            let logits = tch::no_grad(|| self.logits(chunk)).to_device(Device::Cpu).contiguous();
            let mut values = vec![0f32; logits.numel()];
            logits.copy_data(&mut values, logits.numel());
            values
        };
        indices.chunks(batch(self.samples.shape)).flat_map(values).collect()
    }

    /// Probabilities `[N, classes]`, row-major, of the images at `indices`: of logits divided by `temperature`.
    pub(crate) fn probabilities(&self, indices: &[usize], temperature: f32) -> Vec<f32> {
        let mut logits = tch::no_grad(|| self.logits(indices));
        if temperature != 1.0 {
            logits *= f64::from(1.0 / temperature);
        }
        match self.network.arithmetic(self.device) {
            Arithmetic::Portable { .. } => loss::softmax(&logits),
            Arithmetic::Libtorch => {
                let output = logits.softmax(-1, Kind::Float).to_device(Device::Cpu).contiguous();
                let mut values = vec![0f32; output.numel()];
                output.copy_data(&mut values, output.numel());
                values
            }
        }
    }

    /// Sum over the images of the cross-entropy.
    fn loss(&self, logits: &Tensor, labels: &[i64]) -> f64 {
        match self.network.arithmetic(self.device) {
            Arithmetic::Portable { .. } => loss::cross_entropy(logits, labels, 0.0).sum,
            Arithmetic::Libtorch => {
                let target = Tensor::from_slice(labels).to_device(self.device);
                let loss = logits.cross_entropy_loss(&target, None::<Tensor>, tch::Reduction::Sum, -100, 0.0);
                loss.double_value(&[])
            }
        }
    }

    fn logits(&self, indices: &[usize]) -> Tensor {
        let shape = self.samples.shape;
        let mut pixels = vec![0f32; indices.len() * shape.numel()];
        for (&index, out) in indices.iter().zip(pixels.chunks_exact_mut(shape.numel())) {
            out.iter_mut().zip(self.samples.image(index)).for_each(|(o, &pixel)| *o = pixel.into());
            self.normaliser.apply(out);
        }
        let size = [indices.len(), shape.channels, shape.height, shape.width].map(|d| d as i64);
        let images = Tensor::from_slice(&pixels).view(size).to_device(self.device);
        self.network.logits(&images, self.parameters, Mode::Evaluate)
    }
}

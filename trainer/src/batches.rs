//! Batches of normalised, augmented images, made by our own thread ahead of need.

use std::sync::mpsc::sync_channel;
use std::thread::Scope;

use datasets::{Normalisation, Samples};

use crate::augment::Augmentation;
use crate::outliers::Outliers;
use distortions::Stream;

/// Batches that may be ready before the thread waits. One thread prepares faster than two
/// cores can train.
const AHEAD: usize = 4;

/// Images and labels of one step.
pub struct Batch {
    /// Normalised, `[N + outliers, C, H, W]`; the outliers come last.
    pub images: Vec<f32>,
    /// Class indices, `[N]`.
    pub labels: Vec<i64>,
}

/// Turns raw pixels into what the network takes: `pixel * scale + shift`, per channel.
#[derive(Debug, Clone)]
pub struct Normaliser {
    /// `1 / (255 std)`.
    pub scale: Vec<f32>,
    /// `-mean / std`.
    pub shift: Vec<f32>,
    /// `255 mean`: the raw value that becomes 0.
    pub mean: Vec<f32>,
}

impl Normaliser {
    /// For a dataset's statistics.
    pub fn new(statistics: &Normalisation) -> Normaliser {
        let pairs = || statistics.mean.iter().zip(&statistics.std);
        Normaliser {
            scale: pairs().map(|(_, std)| (1.0 / (255.0 * std)) as f32).collect(),
            shift: pairs().map(|(mean, std)| (-mean / std) as f32).collect(),
            mean: statistics.mean.iter().map(|mean| (255.0 * mean) as f32).collect(),
        }
    }

    /// Normalises one image `[C, H, W]` in place.
    pub fn apply(&self, image: &mut [f32]) {
        let plane = image.len() / self.scale.len().max(1);
        for ((channel, scale), shift) in
            image.chunks_exact_mut(plane.max(1)).zip(&self.scale).zip(&self.shift)
        {
            channel.iter_mut().for_each(|pixel| *pixel = *pixel * scale + shift);
        }
    }
}

/// What determines the batches of an epoch.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// All images of the training split.
    pub samples: &'a Samples,
    /// The ones to use.
    pub indices: &'a [usize],
    /// How pixels are normalised.
    pub normaliser: &'a Normaliser,
    /// How images are changed.
    pub augmentation: &'a Augmentation,
    /// Images of no class that are added.
    pub(crate) outliers: Option<&'a Outliers>,
    /// Images per batch; the last may have fewer.
    pub batch_size: usize,
    /// The recipe's seed.
    pub seed: u64,
}

impl<'a> Source<'a> {
    /// Batches of `epoch` from step `first` on, in order, prepared by a thread of `scope`.
    pub fn epoch<'scope>(
        self,
        epoch: u32,
        first: usize,
        scope: &'scope Scope<'scope, 'a>,
    ) -> impl Iterator<Item = Batch>
    where
        'a: 'scope,
    {
        let (sender, receiver) = sync_channel(AHEAD);
        scope.spawn(move || {
            let mut order = self.indices.to_vec();
            Stream::new(self.seed, "order", epoch.into(), 0).shuffle(&mut order);
            let batches = order.chunks(self.batch_size).enumerate().skip(first);
            let batches = batches.map(|(step, indices)| self.batch(epoch, step, indices));
            // An error means that the consumer is gone: stop.
            let _ = { batches }.try_for_each(|batch| sender.send(batch));
        });
        receiver.into_iter()
    }

    fn batch(&self, epoch: u32, step: usize, indices: &[usize]) -> Batch {
        let size = self.samples.shape.numel();
        let outliers = self.outliers.map_or(0, |outliers| outliers.count(indices.len()));
        let mut images = vec![0f32; (indices.len() + outliers) * size];
        for (&index, out) in indices.iter().zip(images.chunks_exact_mut(size)) {
            let image = self.samples.image(index);
            if self.augmentation.is_off() {
                out.iter_mut().zip(image).for_each(|(o, &pixel)| *o = pixel.into());
            } else {
                let mut stream = Stream::new(self.seed, "augment", epoch.into(), index as u64);
                let image = (image, self.samples.labels[index]);
                self.augmentation.apply(image, self.samples.shape, &self.normaliser.mean, &mut stream, out);
            }
            self.normaliser.apply(out);
        }
        let mut stream = Stream::new(self.seed, "outliers", epoch.into(), step as u64);
        for out in images.chunks_exact_mut(size).skip(indices.len()) {
            if let Some(outliers) = self.outliers {
                outliers.draw(self.samples, self.augmentation, &self.normaliser.mean, &mut stream, out);
            }
            self.normaliser.apply(out);
        }
        let labels = indices.iter().map(|&i| self.samples.labels[i].into()).collect();
        Batch { images, labels }
    }
}

//! Batches of normalised, augmented images, made by our own thread ahead of need.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::thread::Scope;

use datasets::Samples;
use serde::{Deserialize, Serialize};

use crate::augment::Augmentation;
use crate::normaliser::Normaliser;
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

/// Which images an epoch is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sampling {
    /// Each once.
    #[default]
    Once,
    /// As many, but of every class equally many: those of small classes several times, of large ones others in each epoch.
    Balanced,
}

impl Sampling {
    pub(crate) fn is_default(&self) -> bool {
        *self == Sampling::Once
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
    /// Which images an epoch is made of.
    pub(crate) sampling: Sampling,
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
            let mut order = self.images_of(epoch);
            Stream::new(self.seed, "order", epoch.into(), 0).shuffle(&mut order);
            let batches = order.chunks(self.batch_size).enumerate().skip(first);
            let batches = batches.map(|(step, indices)| self.batch(epoch, step, indices));
            // An error means that the consumer is gone: stop.
            let _ = { batches }.try_for_each(|batch| sender.send(batch));
        });
        receiver.into_iter()
    }

    /// The images of an epoch before they are shuffled, each with how often it was there before.
    fn images_of(&self, epoch: u32) -> Vec<(usize, u32)> {
        if self.sampling == Sampling::Once {
            return self.indices.iter().map(|&index| (index, 0)).collect();
        }
        let mut classes: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
        self.indices
            .iter()
            .for_each(|&index| classes.entry(self.samples.labels[index]).or_default().push(index));
        let (count, among) = (self.indices.len(), classes.len().max(1));
        let mut images = Vec::with_capacity(count);
        for (place, (label, mut members)) in classes.into_iter().enumerate() {
            Stream::new(self.seed, "class order", epoch.into(), label.into()).shuffle(&mut members);
            // The first classes take what does not go into all.
            let wanted = count / among + usize::from(place < count % among);
            images.extend((0..wanted).map(|at| (members[at % members.len()], (at / members.len()) as u32)));
        }
        images
    }

    fn batch(&self, epoch: u32, step: usize, indices: &[(usize, u32)]) -> Batch {
        let size = self.samples.shape.numel();
        let outliers = self.outliers.map_or(0, |outliers| outliers.count(indices.len()));
        let mut images = vec![0f32; (indices.len() + outliers) * size];
        for (&(index, before), out) in indices.iter().zip(images.chunks_exact_mut(size)) {
            let image = self.samples.image(index);
            if self.augmentation.is_off() {
                out.iter_mut().zip(image).for_each(|(o, &pixel)| *o = pixel.into());
            } else {
                let place = index as u64 | u64::from(before) << 40;
                let mut stream = Stream::new(self.seed, "augment", epoch.into(), place);
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
        let labels = indices.iter().map(|&(i, _)| self.samples.labels[i].into()).collect();
        Batch { images, labels }
    }
}

#[cfg(test)]
mod tests {
    use datasets::ImageShape;

    use super::*;

    #[test]
    fn balanced_epochs_have_every_class_equally_often() {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let labels: Vec<u8> = (0..103)
            .map(|i| {
                if i < 90 {
                    0
                } else if i < 100 {
                    1
                } else {
                    2
                }
            })
            .collect();
        let samples = Samples { shape, images: (0..103).collect(), labels, validation: 0 };
        let normaliser = Normaliser { scale: vec![1.0], shift: vec![0.0], mean: vec![0.0] };
        let (indices, augmentation) = ((0..103).collect::<Vec<_>>(), Augmentation::default());
        let source = |sampling| Source {
            samples: &samples,
            indices: &indices,
            normaliser: &normaliser,
            augmentation: &augmentation,
            sampling,
            outliers: None,
            batch_size: 16,
            seed: 1,
        };
        let images = source(Sampling::Balanced).images_of(1);
        let of = |label: u8| images.iter().filter(|(index, _)| samples.labels[*index] == label).count();
        assert_eq!((of(0), of(1), of(2)), (35, 34, 34));
        // Those of small classes are there equally often, give or take one, and each time as another copy.
        for small in 90..103 {
            let copies: Vec<u32> =
                images.iter().filter(|(i, _)| *i == small).map(|(_, before)| *before).collect();
            let least = if small < 100 { 3 } else { 11 };
            assert!((least..=least + 1).contains(&copies.len()), "{small}: {copies:?}");
            assert_eq!(copies, (0..copies.len() as u32).collect::<Vec<_>>());
        }
        // Of a large class, other images in another epoch.
        assert_ne!(images, source(Sampling::Balanced).images_of(2));
        assert_eq!(source(Sampling::Once).images_of(1), indices.iter().map(|&i| (i, 0)).collect::<Vec<_>>());
    }
}

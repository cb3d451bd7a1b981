//! Accuracy on a labelled split.

use datasets::{Digest, Samples};
use zoo::{ClassCount, Count};

use crate::error::Result;
use crate::session::Session;
use crate::threads;

/// Predictions and exact counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Predicted class of each image, in file order.
    pub predictions: Vec<u8>,
    /// Right answers out of all.
    pub correct: Count,
    /// The same for each class.
    pub per_class: Vec<ClassCount>,
}

impl Evaluation {
    /// Counts predictions against labels.
    ///
    /// # Panics
    /// If there is not one prediction for each image, or an image's label is none of `labels`.
    pub fn new(predictions: Vec<u8>, samples: &Samples, labels: &[String]) -> Evaluation {
        assert_eq!(predictions.len(), samples.len(), "one prediction for each image");
        let mut per_class: Vec<ClassCount> = labels
            .iter()
            .map(|label| ClassCount { label: label.clone(), correct: Count { correct: 0, total: 0 } })
            .collect();
        for (&predicted, &actual) in predictions.iter().zip(&samples.labels) {
            let class =
                per_class.get_mut(usize::from(actual)).expect("labels of samples were checked on reading");
            class.correct.total += 1;
            class.correct.correct += u64::from(predicted == actual);
        }
        let correct = predictions.iter().zip(&samples.labels).filter(|(p, l)| p == l).count() as u64;
        let correct = Count { correct, total: samples.len() as u64 };
        Evaluation { predictions, correct, per_class }
    }

    /// Counts the most probable classes of probabilities `[N, labels]` against labels.
    ///
    /// # Panics
    /// As for [`Evaluation::new`].
    pub fn of(probabilities: &[f32], samples: &Samples, labels: &[String]) -> Evaluation {
        let predictions = probabilities.chunks_exact(labels.len().max(1)).map(argmax).collect();
        Evaluation::new(predictions, samples, labels)
    }

    /// sha256 of the predictions, one byte each.
    pub fn predictions_sha256(&self) -> Digest {
        Digest::of(&self.predictions)
    }
}

/// Classifies every image on all processors.
///
/// # Errors
/// As for [`crate::Worker::probabilities`].
pub fn evaluate(session: &Session, samples: &Samples, labels: &[String]) -> Result<Evaluation> {
    Ok(Evaluation::of(&probabilities(session, samples)?, samples, labels))
}

/// Probabilities `[N, classes]`, row-major, of every image, computed on all processors.
///
/// # Errors
/// As for [`crate::Worker::probabilities`].
pub fn probabilities(session: &Session, samples: &Samples) -> Result<Vec<f32>> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let share = samples.len().div_ceil(count).max(1);
    let ranges = (0..samples.len()).step_by(share).map(|start| start..(start + share).min(samples.len()));
    let size = samples.shape.numel();
    let parts = threads::map(ranges, |range| {
        let pixels = samples.images.get(range.start * size..range.end * size);
        session.worker()?.probabilities(pixels.expect("samples have all pixels of their images"))
    })?;
    Ok(parts.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// The first of the largest.
pub(crate) fn argmax(values: &[f32]) -> u8 {
    let best =
        values.iter().enumerate().fold((0, f32::MIN), |best, (i, &v)| if v > best.1 { (i, v) } else { best });
    best.0 as u8
}

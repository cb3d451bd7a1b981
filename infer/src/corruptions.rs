//! Accuracy on damaged images: every kind and strength of the corruption suite.

use std::collections::BTreeMap;

use datasets::Samples;
use distortions::{Corruption, STRENGTHS, Stream, corrupt};
use zoo::Count;

use crate::error::Result;
use crate::evaluate::argmax;
use crate::session::Session;
use crate::threads;

/// Seed of the damage, the same for every model.
const SEED: u64 = 1;
/// Images that are damaged and classified at a time.
const BATCH: usize = 256;

/// Right answers for each kind of damage, by its name, and each strength, weakest first.
pub type Corruptions = BTreeMap<String, Vec<Count>>;

/// Classifies every image of a split in all 100 ways of damage, on all processors.
///
/// # Errors
/// As for [`crate::Worker::probabilities`].
pub fn measure(session: &Session, samples: &Samples) -> Result<Corruptions> {
    let suite = Corruption::ALL.into_iter().flat_map(|kind| STRENGTHS.map(move |strength| (kind, strength)));
    let suite: Vec<(Corruption, u8)> = suite.collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut counts = Corruptions::new();
    for group in suite.chunks(processors) {
        let found = threads::map(group, |&(kind, strength)| accuracy(session, samples, kind, strength))?;
        for (&(kind, _), count) in group.iter().zip(found) {
            counts.entry(kind.name().to_owned()).or_default().push(count?);
        }
    }
    Ok(counts)
}

/// Mean accuracy over all kinds and strengths, which have the same images. One division of whole numbers, as in the index
/// of a zoo: a mean of shares can be another float, and be rounded to another digit.
pub fn mean(counts: &Corruptions) -> f64 {
    counts.values().flatten().sum::<Count>().share()
}

fn accuracy(session: &Session, samples: &Samples, kind: Corruption, strength: u8) -> Result<Count> {
    let purpose = format!("corruption/{}/{strength}", kind.name());
    let mut worker = session.worker()?;
    let mut count = Count { correct: 0, total: samples.len() as u64 };
    let all: Vec<usize> = (0..samples.len()).collect();
    for batch in all.chunks(BATCH) {
        let damaged = |&index: &usize| {
            let mut stream = Stream::new(SEED, &purpose, index as u64, 0);
            corrupt(kind, strength, samples.image(index), samples.shape, &mut stream)
        };
        let pixels: Vec<u8> = batch.iter().flat_map(damaged).collect();
        let probabilities = worker.probabilities(&pixels)?;
        let answers = probabilities.chunks_exact(session.classes().max(1)).map(argmax);
        let right = answers.zip(batch).filter(|&(answer, &index)| answer == samples.labels[index]).count();
        count.correct += right as u64;
    }
    Ok(count)
}

//! Duplicates, contradictions, the split, balance.

use std::collections::HashMap;
use std::path::Path;

use datasets::Digest;

use super::source::{Options, Sample, Source};
use crate::error::{Error, Result};

/// More than this between the largest and the smallest class is worth a warning.
const IMBALANCE: f64 = 3.0;
/// Fewer training images of a class are worth a warning.
const FEW: usize = 20;

/// A source that can be written, and what was found.
pub(super) struct Checked {
    pub(super) source: Source,
    pub(super) duplicates: usize,
    pub(super) leaked: usize,
    pub(super) contradictions: Vec<String>,
    pub(super) imbalance: f64,
    pub(super) warnings: Vec<String>,
}

pub(super) fn check(mut source: Source, options: &Options) -> Result<Checked> {
    let place = Path::new(&options.name);
    if !(2..=256).contains(&source.classes.len()) {
        return Err(Error::import(place, format!("{} classes, expected 2 to 256", source.classes.len())));
    }
    let contradictions = remove_contradictions(&mut source);
    let mut duplicates = remove_duplicates(&mut source.test);
    duplicates += remove_duplicates(&mut source.train);
    let leaked = remove_leaked(&mut source);
    if source.test.is_empty() {
        split(&mut source, options);
    }
    let counts = |samples: &[Sample]| -> Vec<usize> {
        (0..source.classes.len()).map(|class| samples.iter().filter(|s| s.label == class).count()).collect()
    };
    let (train, test) = (counts(&source.train), counts(&source.test));
    for ((name, &train), &test) in source.classes.iter().zip(&train).zip(&test) {
        if train == 0 || test == 0 {
            return Err(Error::import(
                place,
                format!(
                    "class {name:?}: {train} training and {test} test images, expected at least one of each"
                ),
            ));
        }
    }
    let least = *train.iter().min().expect("there are two classes or more");
    let most = *train.iter().max().expect("there are two classes or more");
    let imbalance = most as f64 / least.max(1) as f64;
    let mut warnings = Vec::new();
    if imbalance > IMBALANCE {
        warnings.push(format!(
            "the largest class has {imbalance:.1} times the training images of the smallest: look at the accuracy by class"
        ));
    }
    for (name, &count) in source.classes.iter().zip(&train).filter(|(_, count)| **count < FEW) {
        warnings.push(format!("class {name:?} has only {count} training images"));
    }
    if leaked > 0 {
        warnings.push(format!(
            "{leaked} training images were also in the test split and were left out of training"
        ));
    }
    Ok(Checked { source, duplicates, leaked, contradictions, imbalance, warnings })
}

/// Leaves out every image that is there with two labels: at least one of them is wrong.
fn remove_contradictions(source: &mut Source) -> Vec<String> {
    let mut labels: HashMap<Digest, (usize, String)> = HashMap::new();
    let mut wrong: HashMap<Digest, String> = HashMap::new();
    for sample in source.test.iter().chain(&source.train) {
        let digest = Digest::of(&sample.pixels);
        match labels.get(&digest) {
            Some((label, origin)) if *label != sample.label => {
                let name = |label: usize| source.classes.get(label).map_or("?", String::as_str);
                wrong.entry(digest).or_insert_with(|| {
                    format!("{origin} ({}) and {} ({})", name(*label), sample.origin, name(sample.label))
                });
            }
            Some(_) => {}
            None => {
                labels.insert(digest, (sample.label, sample.origin.clone()));
            }
        }
    }
    for samples in [&mut source.train, &mut source.test] {
        samples.retain(|sample| !wrong.contains_key(&Digest::of(&sample.pixels)));
    }
    let mut list: Vec<String> = wrong.into_values().collect();
    list.sort();
    list
}

/// Keeps the first of equal images.
fn remove_duplicates(samples: &mut Vec<Sample>) -> usize {
    let before = samples.len();
    let mut seen = std::collections::HashSet::new();
    samples.retain(|sample| seen.insert(Digest::of(&sample.pixels)));
    before - samples.len()
}

/// An image of the test split must not be trained on.
fn remove_leaked(source: &mut Source) -> usize {
    let test: std::collections::HashSet<Digest> = source.test.iter().map(|s| Digest::of(&s.pixels)).collect();
    let before = source.train.len();
    source.train.retain(|sample| !test.contains(&Digest::of(&sample.pixels)));
    before - source.train.len()
}

/// Moves a share of every class to the test split. Who goes is decided by the hash of the image
/// and the seed: not by names or order, and the same for everyone.
fn split(source: &mut Source, options: &Options) {
    let rank = |sample: &Sample| {
        Digest::of(&[&options.seed.to_le_bytes(), sample.pixels.as_slice()].concat()).to_string()
    };
    let mut samples = std::mem::take(&mut source.train);
    // In the order of the hashes, so that neither split is sorted by class.
    samples.sort_by_cached_key(rank);
    let held_out = |class: usize| {
        let count = samples.iter().filter(|sample| sample.label == class).count();
        // At least one on either side, where there are two.
        (count as f64 * options.test_share).round().clamp(1.0, (count.max(2) - 1) as f64) as usize
    };
    let mut wanted: Vec<usize> = (0..source.classes.len()).map(held_out).collect();
    for sample in samples {
        match wanted.get_mut(sample.label) {
            Some(count) if *count > 0 => {
                *count -= 1;
                source.test.push(sample);
            }
            _ => source.train.push(sample),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datasets::{ImageShape, Preprocessing, Procedure};

    fn sample(value: u8, label: usize) -> Sample {
        Sample { pixels: vec![value, value / 2], label, origin: format!("{value}.png") }
    }

    fn source(train: Vec<Sample>, test: Vec<Sample>) -> Source {
        let shape = ImageShape { channels: 1, height: 1, width: 2 };
        Source { shape, classes: vec!["a".into(), "b".into()], train, test, unreadable: Vec::new() }
    }

    fn options() -> Options {
        Options {
            name: "test".into(),
            title: String::new(),
            licence: String::new(),
            source: String::new(),
            preprocessing: Preprocessing::Procedure(Procedure::Resize),
            test_share: 0.25,
            seed: 1,
            skip_unreadable: false,
        }
    }

    #[test]
    fn a_split_takes_the_share_of_every_class_whatever_the_order() {
        let samples: Vec<Sample> = (0..100).map(|i| sample(i, usize::from(i % 5 == 0))).collect();
        let split = |samples: Vec<Sample>| check(source(samples, Vec::new()), &options()).unwrap().source;
        let result = split(samples.clone());
        let count = |samples: &[Sample], label| samples.iter().filter(|s| s.label == label).count();
        assert_eq!((count(&result.train, 0), count(&result.test, 0)), (60, 20));
        assert_eq!((count(&result.train, 1), count(&result.test, 1)), (15, 5));
        assert_eq!(split(samples.into_iter().rev().collect()), result);
    }

    #[test]
    fn duplicates_leaks_and_contradictions_are_found() {
        let mut train: Vec<Sample> = (0..30).flat_map(|i| [sample(i, 0), sample(i + 100, 1)]).collect();
        train.extend([sample(3, 0), sample(3, 0), sample(50, 0), sample(50, 1)]);
        let test = vec![sample(7, 0), sample(107, 1), sample(200, 1)];
        let checked = check(source(train, test), &options()).unwrap();
        assert_eq!((checked.duplicates, checked.leaked), (2, 2));
        assert_eq!(checked.contradictions, ["50.png (a) and 50.png (b)"]);
        assert_eq!((checked.source.train.len(), checked.source.test.len()), (58, 3));
        assert!(
            checked.warnings.iter().any(|w| w.starts_with("2 training images were also")),
            "{:?}",
            checked.warnings
        );
    }

    #[test]
    fn a_class_without_images_is_refused_and_few_are_warned_about() {
        let problem = check(source(vec![sample(1, 0), sample(2, 0)], Vec::new()), &options()).err().unwrap();
        assert!(problem.to_string().contains("class \"b\": 0 training and 0 test images"), "{problem}");
        let train = (0..80).map(|i| sample(i, usize::from(i % 10 == 0))).collect();
        let checked = check(source(train, Vec::new()), &options()).unwrap();
        assert_eq!(checked.warnings.len(), 2, "{:?}", checked.warnings);
    }
}

//! Duplicates, contradictions, leaks between splits, balance.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use datasets::Digest;

use crate::error::{Error, Result};
use crate::item::Part;
use crate::pipeline::Record;

/// More than this between the largest and the smallest class is worth a warning.
const IMBALANCE: f64 = 3.0;
/// Fewer training images of a class are worth a warning.
const FEW: usize = 20;
/// Images whose area is so many times larger or smaller than the median are worth a warning.
const OUTLIER: f64 = 16.0;

/// Leaves out every image that is there with two labels: at least one of them is wrong. Says which.
pub(crate) fn remove_contradictions(records: &mut Vec<Record>, classes: &[String]) -> Vec<String> {
    let mut first: HashMap<Digest, usize> = HashMap::new();
    let mut wrong: HashMap<Digest, String> = HashMap::new();
    for (index, record) in records.iter().enumerate() {
        let earlier = &records[*first.entry(record.digest).or_insert(index)];
        if earlier.label != record.label {
            let name = |record: &Record| format!("{} ({})", record.origin, classes[record.label as usize]);
            wrong.entry(record.digest).or_insert_with(|| {
                format!("{} and {}, sha256 {}", name(earlier), name(record), record.digest)
            });
        }
    }
    records.retain(|record| !wrong.contains_key(&record.digest));
    let mut list: Vec<String> = wrong.into_values().collect();
    list.sort();
    list
}

/// Keeps the first of equal images within a split.
pub(crate) fn remove_duplicates(records: &mut Vec<Record>) -> usize {
    let before = records.len();
    let mut seen = HashSet::new();
    records.retain(|record| seen.insert((record.part, record.digest)));
    before - records.len()
}

/// What is tested or chosen on must not be trained on.
pub(crate) fn remove_leaked(records: &mut Vec<Record>) -> usize {
    let before = records.len();
    let of = |records: &[Record], part: Part| -> HashSet<Digest> {
        records.iter().filter(|record| record.part == part).map(|record| record.digest).collect()
    };
    let (test, validation) = (of(records, Part::Test), of(records, Part::Validation));
    records.retain(|record| match record.part {
        Part::Test => true,
        Part::Validation => !test.contains(&record.digest),
        Part::Train | Part::All => !test.contains(&record.digest) && !validation.contains(&record.digest),
    });
    before - records.len()
}

/// Images of each class in a split.
pub(crate) fn counts(records: &[Record], classes: usize, part: Part) -> Vec<usize> {
    let mut counts = vec![0; classes];
    records.iter().filter(|record| record.part == part).for_each(|record| counts[record.label as usize] += 1);
    counts
}

/// How many images were left out before, for each reason.
pub(crate) struct Removed {
    pub(crate) duplicates: usize,
    pub(crate) leaked: usize,
    pub(crate) contradicting: usize,
    pub(crate) excluded: usize,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.duplicates, "were there twice"),
            (self.leaked, "were in the test or validation split as well"),
            (self.contradicting, "were there with several classes"),
            (self.excluded, "were left out by --exclude"),
        ];
        let told: Vec<String> = reasons
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, why)| format!("{count} {why}"))
            .collect();
        if told.is_empty() { Ok(()) } else { write!(f, "; of all images {}", told.join(", ")) }
    }
}

/// Largest class divided by smallest, and what to think about before training.
///
/// # Errors
/// For a class without training or test images.
pub(crate) fn balance(
    source: &Path,
    records: &[Record],
    classes: &[String],
    removed: &Removed,
) -> Result<(f64, Vec<String>)> {
    let [train, test] = [Part::Train, Part::Test].map(|part| counts(records, classes.len(), part));
    for ((name, train), test) in classes.iter().zip(&train).zip(&test) {
        if *train == 0 || *test == 0 {
            return Err(Error::new(
                source,
                format!(
                    "class {name:?}: {train} training and {test} test images, expected at least one of each{removed}"
                ),
            ));
        }
    }
    let (least, most) = train.iter().fold((usize::MAX, 0), |(least, most), &n| (least.min(n), most.max(n)));
    let imbalance = most as f64 / least.max(1) as f64;
    let mut warnings = Vec::new();
    if imbalance > IMBALANCE {
        warnings.push(format!(
            "the largest class has {imbalance:.1} times the training images of the smallest: look at the accuracy by class"
        ));
    }
    for (name, count) in classes.iter().zip(&train).filter(|(_, count)| **count < FEW) {
        warnings.push(format!("class {name:?} has only {count} training images"));
    }
    Ok((imbalance, warnings))
}

/// Images that are much larger or smaller than the others.
pub(crate) fn size_outliers(records: &[Record]) -> Vec<String> {
    let mut areas: Vec<f64> =
        records.iter().map(|record| f64::from(record.size[0]) * f64::from(record.size[1])).collect();
    let all = areas.clone();
    areas.sort_by(f64::total_cmp);
    let Some(&median) = areas.get(areas.len() / 2) else { return Vec::new() };
    let far = |area: f64| area > OUTLIER * median || area * OUTLIER < median;
    let outliers = records.iter().zip(all).filter(|(_, area)| far(*area));
    outliers
        .map(|(record, _)| format!("{}: {}x{} pixels", record.origin, record.size[0], record.size[1]))
        .collect()
}

//! How far probabilities can be believed: fitting on validation images, measuring on the test split, and
//! what follows for a single answer.

use serde::Serialize;
use zoo::{CalibrationBin, Confidence, Count, Coverage, Manifest, Unlike};

use crate::evaluate::argmax;

/// Bins of the calibration error, as in Guo et al. 2017 (arXiv:1706.04599).
const BINS: usize = 15;
/// Shares that versions promise to cover.
const PROMISES: [f64; 6] = [0.8, 0.9, 0.95, 0.99, 0.995, 0.999];
/// The promise whose set must have one label for an answer to be sure.
const SURE: f64 = 0.99;
/// Share of the validation images that count as unlike the others.
const UNLIKE: f64 = 0.01;
/// Probability below which an answer is not sure where a manifest promises nothing.
const UNSURE: f32 = 0.5;
/// Smallest probability that counts: less is rounding.
const SMALLEST: f32 = 1e-30;

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// One object, like those of the training images, and a sure answer.
    Ok,
    /// Nothing is on the image.
    Empty,
    /// Several objects are on the image; the answer is for the largest.
    Several,
    /// More than one class is possible, or none is likely.
    Unsure,
    /// The object is not like those of the training images.
    Unlike,
}

impl Status {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Empty => "empty",
            Status::Several => "several",
            Status::Unsure => "unsure",
            Status::Unlike => "unlike",
        }
    }

    /// What the probabilities of one object say.
    pub fn of(probabilities: &[f32], manifest: &Manifest) -> Status {
        let Some(confidence) = &manifest.confidence else {
            let top = probabilities.iter().copied().fold(0f32, f32::max);
            return if top < UNSURE { Status::Unsure } else { Status::Ok };
        };
        let single = || set(probabilities, promise(confidence, SURE)?.threshold).count().eq(&1).then_some(());
        if score(probabilities) < confidence.unlike.threshold {
            Status::Unlike
        } else if single().is_none() {
            Status::Unsure
        } else {
            Status::Ok
        }
    }
}

/// The promise for a share, if a manifest makes it.
pub fn promise(confidence: &Confidence, share: f64) -> Option<&Coverage> {
    confidence.coverage.iter().find(|coverage| (coverage.promised - share).abs() < 1e-9)
}

/// Classes that a set holds.
pub fn set(probabilities: &[f32], threshold: f32) -> impl Iterator<Item = usize> {
    let inside = probabilities.iter().enumerate().filter(move |&(_, &probability)| probability >= threshold);
    inside.map(|(class, _)| class)
}

/// How much a prediction says: see [`Unlike`].
pub fn score(probabilities: &[f32]) -> f32 {
    let sum: f32 = probabilities.iter().map(|&probability| probability.max(SMALLEST).ln()).sum();
    -sum / probabilities.len().max(1) as f32
}

/// Probabilities `[N, classes]` with their labels.
#[derive(Debug, Clone, Copy)]
pub struct Predictions<'a> {
    /// Row-major.
    pub probabilities: &'a [f32],
    /// Class of each image.
    pub labels: &'a [u8],
    /// Number of classes.
    pub classes: usize,
}

impl<'a> Predictions<'a> {
    fn rows(self) -> impl Iterator<Item = (&'a [f32], u8)> {
        self.probabilities.chunks_exact(self.classes.max(1)).zip(self.labels.iter().copied())
    }

    fn count(self, mut matches: impl FnMut(&[f32], u8) -> bool) -> Count {
        let correct = self.rows().filter(|&(row, label)| matches(row, label)).count() as u64;
        Count { correct, total: self.labels.len() as u64 }
    }
}

/// Fits the thresholds on validation images, and measures on test images what they promise.
///
/// `None` if there are no validation images.
pub fn fit(temperature: f32, validation: Predictions<'_>, test: Predictions<'_>) -> Option<Confidence> {
    let truths: Vec<f32> =
        validation.rows().filter_map(|(row, label)| row.get(usize::from(label)).copied()).collect();
    let scores: Vec<f32> = validation.rows().map(|(row, _)| score(row)).collect();
    let coverage = PROMISES.iter().map(|&promised| {
        // With so many calibration images the set holds a new image's label with at least the promised
        // probability (Vovk et al. 2005).
        Some(Coverage {
            promised,
            threshold: low(&truths, 1.0 - promised)?,
            covered: Count { correct: 0, total: 0 },
            single: Count { correct: 0, total: 0 },
        })
    });
    let coverage = coverage.collect::<Option<Vec<_>>>()?;
    let unlike = Unlike { threshold: low(&scores, UNLIKE)?, accepted: Count { correct: 0, total: 0 } };
    let mut confidence = Confidence {
        images: validation.labels.len() as u64,
        temperature,
        calibration_error: 0.0,
        bins: Vec::new(),
        coverage,
        unlike,
    };
    measure(&mut confidence, test);
    Some(confidence)
}

/// Mean distance of accuracy and confidence over 15 bins, weighted by images (Guo et al. 2017, arXiv:1706.04599).
pub fn calibration_error(predictions: Predictions<'_>) -> f64 {
    error(&bins(predictions))
}

/// Counts anew, on a test split, what a version's thresholds give.
pub fn measure(confidence: &mut Confidence, test: Predictions<'_>) {
    confidence.bins = bins(test);
    confidence.calibration_error = round(error(&confidence.bins), 1e6);
    for coverage in &mut confidence.coverage {
        let threshold = coverage.threshold;
        coverage.covered = test.count(|row, label| covers(row, label, threshold));
        coverage.single = test.count(|row, _| is_single(row, threshold));
    }
    let threshold = confidence.unlike.threshold;
    confidence.unlike.accepted = test.count(|row, _| score(row) >= threshold);
}

/// Largest difference of a [`score`] that rounding on another processor can make.
const SCORE_ROUNDING: f32 = 1e-5;

/// Largest difference of a probability that rounding on another processor can make: two steps of `f32` below 1, and what a
/// difference of 1e-5 between logits does. Most probabilities lie close to 1, and so do thresholds: some images are
/// between 0.9999844 and 0.9999845.
fn rounding(probability: f32) -> f32 {
    f32::EPSILON + 1e-5 * probability * (1.0 - probability)
}

/// What differs between thresholds claimed with their counts and a test split, more than rounding can explain: an image
/// whose probability is closer to the threshold than that may count or not.
pub fn differences(claimed: &Confidence, test: Predictions<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: String, claimed: Count, rounding: f32, holds: &dyn Fn(&[f32], u8, f32) -> bool| {
        let around = |row: &[f32], label| [-rounding, 0.0, rounding].map(|change| holds(row, label, change));
        let found = test.count(|row, label| holds(row, label, 0.0));
        let least = test.count(|row, label| around(row, label) == [true; 3]);
        let most = test.count(|row, label| around(row, label) != [false; 3]);
        if !(least.correct..=most.correct).contains(&claimed.correct) || claimed.total != found.total {
            wrong.push(format!("{what}: {found}, claimed {claimed}"));
        }
    };
    for Coverage { promised, threshold, covered, single } in &claimed.coverage {
        let rounding = rounding(*threshold);
        check(format!("coverage {promised}"), *covered, rounding, &|row, label, change| {
            covers(row, label, threshold + change)
        });
        check(format!("sets of one class at {promised}"), *single, rounding, &|row, _, change| {
            is_single(row, threshold + change)
        });
    }
    let Unlike { threshold, accepted } = &claimed.unlike;
    check("accepted".to_owned(), *accepted, SCORE_ROUNDING, &|row, _, change| {
        score(row) >= threshold + change
    });
    wrong
}

fn covers(row: &[f32], label: u8, threshold: f32) -> bool {
    row.get(usize::from(label)).is_some_and(|&probability| probability >= threshold)
}

fn is_single(row: &[f32], threshold: f32) -> bool {
    set(row, threshold).count() == 1
}

/// The value that at most `share` of all lie below, with one more for the image that is to come; between two
/// values, so that rounding on another processor does not decide about an image.
fn low(values: &[f32], share: f64) -> Option<f32> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let below = ((values.len() + 1) as f64 * share).floor() as usize;
    match (below.checked_sub(1).and_then(|index| sorted.get(index)), sorted.get(below)) {
        (Some(a), Some(b)) => Some((a + b) / 2.0),
        // Too few images to promise so much: every class that is possible at all.
        (None, Some(_)) => Some(0.0),
        _ => None,
    }
}

fn bins(test: Predictions<'_>) -> Vec<CalibrationBin> {
    let mut sums = vec![(0u64, 0u64, 0f64); BINS];
    for (row, label) in test.rows() {
        let answer = argmax(row);
        let confidence = f64::from(row.get(usize::from(answer)).copied().unwrap_or(0.0));
        let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        if let Some((correct, total, sum)) = sums.get_mut(bin) {
            *correct += u64::from(answer == label);
            *total += 1;
            *sum += confidence;
        }
    }
    let bin = |(correct, total, sum): (u64, u64, f64)| CalibrationBin {
        correct: Count { correct, total },
        confidence: if total > 0 { round(sum / total as f64, 1e6) } else { 0.0 },
    };
    sums.into_iter().map(bin).collect()
}

/// Mean distance of accuracy and confidence, weighted by images.
fn error(bins: &[CalibrationBin]) -> f64 {
    let all: u64 = bins.iter().map(|bin| bin.correct.total).sum();
    let distance = |bin: &CalibrationBin| {
        let share = bin.correct.total as f64 / all.max(1) as f64;
        if bin.correct.total > 0 { share * (bin.correct.share() - bin.confidence).abs() } else { 0.0 }
    };
    bins.iter().map(distance).sum()
}

fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes; the first is right with the probability that is said.
    fn predictions(count: usize) -> (Vec<f32>, Vec<u8>) {
        let said = |i: usize| 0.5 + 0.5 * (i as f32 + 0.5) / count as f32;
        let probabilities = (0..count).flat_map(|i| [said(i), 1.0 - said(i)]).collect();
        // Errors as frequent as the probabilities say, spread evenly.
        let label = |i: usize| u8::from((i * 7919 % 1000) as f32 / 1000.0 >= said(i));
        (probabilities, (0..count).map(label).collect())
    }

    #[test]
    fn honest_probabilities_have_hardly_any_error_and_sets_cover_what_they_promise() {
        let (probabilities, labels) = predictions(10_000);
        let all = Predictions { probabilities: &probabilities, labels: &labels, classes: 2 };
        let found = fit(1.0, all, all).unwrap();
        assert!(found.calibration_error < 0.01, "{}", found.calibration_error);
        for coverage in &found.coverage {
            assert!((coverage.covered.share() - coverage.promised).abs() < 0.002, "{coverage:?}");
        }
        assert!((found.unlike.accepted.share() - 0.99).abs() < 0.001);
        let sharp: Vec<f32> = probabilities.iter().map(|&p| if p > 0.5 { 0.999 } else { 0.001 }).collect();
        let mut other = found.clone();
        measure(&mut other, Predictions { probabilities: &sharp, ..all });
        assert!(other.calibration_error > 0.1);
    }

    #[test]
    fn only_rounding_explains_another_count() {
        let (probabilities, labels) = predictions(10_000);
        let all = Predictions { probabilities: &probabilities, labels: &labels, classes: 2 };
        let claimed = fit(1.0, all, all).unwrap();
        assert_eq!(differences(&claimed, all), Vec::<String>::new());
        // Probabilities are 5e-5 apart, so none is close enough to a threshold to be rounded over it; scores of
        // predictions that say nothing are closer to each other.
        let mut other = claimed.clone();
        other.coverage[1].covered.correct -= 1;
        other.coverage[2].single.correct += 1;
        other.unlike.accepted.correct -= 50;
        let found = differences(&other, all);
        assert_eq!(found.len(), 3, "{found:?}");
        // One that is may count or not.
        let mut moved = claimed.clone();
        let nearest =
            probabilities.iter().step_by(2).copied().find(|&p| p >= moved.coverage[1].threshold).unwrap();
        moved.coverage[1].threshold = nearest;
        measure(&mut moved, all);
        moved.coverage[1].threshold = nearest + 4e-7;
        assert_eq!(differences(&moved, all), Vec::<String>::new());
    }

    #[test]
    fn a_prediction_that_says_nothing_has_the_lowest_score() {
        let even = score(&[0.1; 10]);
        assert!((even - 10f32.ln()).abs() < 1e-6);
        assert!(score(&[0.91, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]) > even);
        assert!(score(&[1.0, 0.0]).is_finite());
    }

    #[test]
    fn without_validation_images_nothing_is_promised() {
        let none = Predictions { probabilities: &[], labels: &[], classes: 2 };
        assert_eq!(fit(1.0, none, none), None);
    }
}

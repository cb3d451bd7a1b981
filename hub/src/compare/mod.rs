//! Two versions beside each other: what went in, what came out, and whether one is better.

mod answers;
mod change;
mod page;
mod picture;
mod side;

use std::time::Duration;

use datasets::{Dataset, Samples, Split};
use serde::Serialize;
use zoo::{Count, Zoo};

pub use answers::McNemar;
pub use change::Change;
pub use page::page;
pub use side::Side;

use crate::error::{Error, Result};

/// A comparison of `a` and `b`.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Names of the two.
    pub names: [String; 2],
    /// The dataset and the number of its test images.
    pub dataset: (String, usize),
    /// Fields of the recipe that differ; absent where one has no recipe.
    pub recipe: Option<Vec<Change>>,
    /// Data files that differ.
    pub data: Vec<Change>,
    /// Operators that differ, by name.
    pub operators: Vec<Change>,
    /// Constants that differ: in shape, or by how much (norm of the difference by the norm of the first).
    pub weights: Vec<Change>,
    /// Constants that are the same, value for value.
    pub same_weights: usize,
    /// Bytes of the networks, parameters, multiply-accumulates.
    pub sizes: Vec<Change>,
    /// Right answers on the test split.
    pub accuracy: [Count; 2],
    /// The same by class.
    pub classes: Vec<(String, [Count; 2])>,
    /// Whether one is right more often.
    pub mcnemar: McNemar,
    /// Expected calibration error.
    pub calibration_error: [f64; 2],
    /// Microseconds for an image, one at a time and many, and the ratio's range; in turn on one thread.
    pub speed: Vec<Speed>,
    /// Test images on which the answers differ.
    pub disagreements: Vec<Disagreement>,
    /// Those images, the first ones, as PNG: framed by who is right.
    #[serde(skip)]
    pub picture: Vec<u8>,
}

/// Speed at a number of images to a call.
#[derive(Debug, Clone, Serialize)]
pub struct Speed {
    /// Images to a call.
    pub batch: usize,
    /// Microseconds for an image: medians.
    pub microseconds: [f64; 2],
    /// Time of `b` by that of `a`: least, median and most of the alternations.
    pub ratio: [f64; 3],
}

/// An image on which the answers differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// Place in the test split.
    pub image: usize,
    /// Its class.
    pub actual: String,
    /// What the two say.
    pub answers: [String; 2],
}

/// How often the two are timed in turn.
const ALTERNATIONS: usize = 7;
/// For how long each time.
const TIME: Duration = Duration::from_millis(120);
/// Images to a call that are timed.
const BATCHES: [usize; 2] = [1, 64];

/// Compares two networks on the test split of their dataset.
///
/// # Errors
/// [`Error::Usage`] if they do not take the same images or name the same classes, or if the dataset is neither's; else what is wrong with them.
pub fn compare(a: &Side, b: &Side, dataset: &Dataset) -> Result<Comparison> {
    a.fits(b)?;
    let test = test_split(a, b, dataset)?;
    let answers = [answers::Answers::of(a, &test)?, answers::Answers::of(b, &test)?];
    let [size_a, size_b] = a.sizes(b);
    let (weights, same_weights) = change::weights(&a.outline, &b.outline);
    let classes = answers[0].evaluation.per_class.iter().zip(&answers[1].evaluation.per_class);
    let disagreements = disagreements(a, &test, &answers);
    let shown: Vec<(usize, [bool; 2])> = disagreements
        .iter()
        .map(|one| (one.image, [0, 1].map(|side: usize| one.answers[side] == one.actual)))
        .collect();
    Ok(Comparison {
        names: [a.name.clone(), b.name.clone()],
        dataset: (dataset.description.name.clone(), test.len()),
        recipe: a.recipe.as_ref().zip(b.recipe.as_ref()).map(|(a, b)| change::of_values(a, b)),
        data: a.data.as_ref().zip(b.data.as_ref()).map_or_else(Vec::new, |(a, b)| change::of_lists(a, b)),
        operators: change::operators(&a.outline, &b.outline),
        weights,
        same_weights,
        sizes: change::of_lists(&size_a, &size_b),
        accuracy: [0, 1].map(|side: usize| answers[side].evaluation.correct),
        classes: classes.map(|(a, b)| (a.label.clone(), [a.correct, b.correct])).collect(),
        mcnemar: answers::mcnemar(&answers, &test),
        calibration_error: [0, 1].map(|side: usize| answers[side].calibration_error),
        speed: BATCHES.iter().map(|&batch| speed(a, b, batch)).collect::<Result<_>>()?,
        picture: picture::sheet(&test, &shown)?,
        disagreements,
    })
}

impl Comparison {
    /// What McNemar's test says, in words.
    pub fn verdict(&self) -> String {
        let ([a, b], test) = (&self.names, &self.mcnemar);
        let counts = format!("Only {a} is right on {} images, only {b} on {}", test.only_a, test.only_b);
        let chance = match test.probability {
            small if small < 0.0001 => "below 0.0001".to_owned(),
            probability => format!("{probability:.4}"),
        };
        let better = if test.only_a > test.only_b { a } else { b };
        match test.probability < SIGNIFICANT {
            true => format!("{counts}: {better} is better (exact McNemar test, p {chance})."),
            false => format!("{counts}: no difference beyond chance (exact McNemar test, p {chance})."),
        }
    }
}

/// Whether `b` is significantly worse than `a`: right on fewer images, and by McNemar's test not by chance.
///
/// # Errors
/// As for [`compare`].
pub fn is_worse(zoo: &Zoo, a: &Side, b: &Side) -> Result<Option<McNemar>> {
    a.fits(b)?;
    let dataset = Dataset::find(&zoo.datasets(None), &a.dataset)?;
    let test = test_split(a, b, &dataset)?;
    let answers = [answers::Answers::of(a, &test)?, answers::Answers::of(b, &test)?];
    let found = answers::mcnemar(&answers, &test);
    Ok((found.only_a > found.only_b && found.probability < SIGNIFICANT).then_some(found))
}

/// The test split of the dataset that one of the two names at least, by the hashes of its files: another one of that name says
/// nothing of them.
fn test_split(a: &Side, b: &Side, dataset: &Dataset) -> Result<Samples> {
    let differences: Vec<String> = [a, b].into_iter().filter_map(|side| side.is_of(dataset).err()).collect();
    let known = [a, b].into_iter().filter(|side| side.data.is_some()).count();
    if differences.len() == known
        && let Some(difference) = differences.first()
    {
        return Err(Error::Usage(format!("{}: {difference}", dataset.dir.display())));
    }
    let test = dataset.load(Split::Test)?;
    if test.shape != a.shape || dataset.description.classes != a.labels {
        return Err(Error::Usage(format!(
            "{}: images {:?} of the classes {:?}, expected {:?} of {:?}, those of {}",
            dataset.dir.display(),
            test.shape,
            dataset.description.classes,
            a.shape,
            a.labels,
            a.name
        )));
    }
    Ok(test)
}

/// Probability below which a difference is not taken for chance.
const SIGNIFICANT: f64 = 0.05;

fn disagreements(a: &Side, test: &Samples, answers: &[answers::Answers; 2]) -> Vec<Disagreement> {
    let label = |class: u8| a.labels[usize::from(class)].clone();
    let pairs = answers[0].evaluation.predictions.iter().zip(&answers[1].evaluation.predictions);
    let differ = pairs.enumerate().filter(|(_, (one, other))| one != other);
    differ
        .map(|(image, (&one, &other))| Disagreement {
            image,
            actual: label(test.labels[image]),
            answers: [label(one), label(other)],
        })
        .collect()
}

fn speed(a: &Side, b: &Side, batch: usize) -> Result<Speed> {
    let mut times: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..ALTERNATIONS {
        for (side, times) in [a, b].into_iter().zip(&mut times) {
            times.push(1e6 / infer::speed(&side.session, batch, 1, TIME)?.images_per_second);
        }
    }
    let mut ratios: Vec<f64> = times[0].iter().zip(&times[1]).map(|(a, b)| b / a).collect();
    ratios.sort_by(f64::total_cmp);
    let median = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let ratio = [ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]];
    Ok(Speed { batch, microseconds: [median(&times[0]), median(&times[1])], ratio })
}

//! What a study found, ready to be worded and drawn.

use crate::study::file::{Axis, Design, Study, StudyFile};
use crate::study::results::{PointResult, Results};
use crate::study::statistics::{Noise, chance, mean_and_deviation, noise};

/// Everything that the page and the text have in common.
pub(super) struct Report<'a> {
    pub(super) study: &'a Study,
    pub(super) results: &'a Results,
    pub(super) knobs: Vec<Knob>,
    /// Validation images of a run.
    pub(super) validation: usize,
    pub(super) epochs: u32,
    pub(super) dataset: &'a str,
}

/// One knob's part.
pub(super) struct Knob {
    pub(super) name: String,
    pub(super) groups: Vec<Group>,
    pub(super) effect: Effect,
}

/// What turning a knob does to the mean accuracy, beside what the seed does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    /// No value has runs yet.
    NoRuns,
    /// One value has.
    OneValue,
    /// Values with the lowest and the highest mean, in percent.
    Between {
        worst: (String, f64),
        best: (String, f64),
        /// `None` with one seed each.
        chance: Option<Chance>,
    },
}

/// How an effect compares with what chance does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chance {
    /// Standard deviation between runs that differ only in the seed, in points.
    pub(super) deviation: f64,
    /// Probability of means at least this far apart if the knob did nothing.
    pub(super) probability: f64,
    /// Whether the scatter differs much between the values.
    pub(super) uneven: bool,
}

/// The runs with one value of a knob.
pub(super) struct Group {
    pub(super) value: String,
    pub(super) is_base: bool,
    /// Validation accuracies, percent.
    pub(super) accuracies: Vec<f64>,
    /// Mean after each epoch, percent.
    pub(super) curve: Vec<(u32, f64)>,
}

impl Group {
    /// The value, marked if it is the base's.
    pub(super) fn name(&self) -> String {
        format!("{}{}", self.value, if self.is_base { " (base)" } else { "" })
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a StudyFile, results: &'a Results) -> Report<'a> {
        let alone = file.study.design == Design::OneAtATime;
        let distinct: Vec<Vec<f64>> = distinct(results).into_iter().map(percent).collect();
        let noise = noise(&distinct);
        let knobs = file.study.axes.iter().map(|axis| knob(axis, results, alone, noise)).collect();
        let recipe = &file.base.recipe;
        Report {
            study: &file.study,
            results,
            knobs,
            validation: recipe.split.validation,
            epochs: recipe.epochs,
            dataset: &recipe.dataset,
        }
    }

    /// Points with results and their `(cost, accuracy in percent)`.
    pub(super) fn costs(&self, cost: impl Fn(&PointResult) -> f64) -> Vec<(f64, f64)> {
        self.with_runs().map(|point| (cost(point), mean_and_deviation(&percent(point)).0)).collect()
    }

    /// Every combination that has runs, once.
    pub(super) fn with_runs(&self) -> impl Iterator<Item = &PointResult> {
        distinct(self.results).into_iter()
    }
}

/// Points with runs, without those that are the runs of an earlier one under another name: the
/// base, and the values that it has already.
fn distinct(results: &Results) -> Vec<&PointResult> {
    let mut points: Vec<&PointResult> = Vec::new();
    let recipe = |point: &PointResult| point.runs.first().map(|run| run.recipe_sha256);
    for point in results.points.iter().filter(|point| !point.runs.is_empty()) {
        if !points.iter().any(|earlier| recipe(earlier) == recipe(point)) {
            points.push(point);
        }
    }
    points
}

/// Validation accuracies of a combination's runs, in percent.
pub(super) fn percent(point: &PointResult) -> Vec<f64> {
    point.accuracies().into_iter().map(|accuracy| 100.0 * accuracy).collect()
}

fn knob(axis: &Axis, results: &Results, alone: bool, noise: Option<Noise>) -> Knob {
    let base = results.points.iter().find(|point| point.settings.is_empty());
    let base = base.and_then(|point| point.runs.first()).map(|run| run.recipe_sha256);
    let group = |value: String| {
        let points = results
            .points
            .iter()
            .filter(|point| point.value(&axis.knob) == Some(&value) && (!alone || point.settings.len() == 1));
        let points: Vec<&PointResult> = points.collect();
        let first = points.first().and_then(|point| point.runs.first()).map(|run| run.recipe_sha256);
        Group {
            is_base: alone && first.is_some() && first == base,
            accuracies: points.iter().flat_map(|point| percent(point)).collect(),
            curve: mean_curve(&points),
            value,
        }
    };
    let groups: Vec<Group> = axis.variants().into_iter().map(|(value, _)| group(value)).collect();
    Knob { name: axis.knob.clone(), effect: Effect::of(&groups, noise), groups }
}

fn mean_curve(points: &[&PointResult]) -> Vec<(u32, f64)> {
    let curves: Vec<Vec<(u32, f64)>> = points.iter().map(|point| point.curve()).collect();
    let epochs = curves.iter().map(Vec::len).max().unwrap_or(0);
    let mean = |epoch: usize| {
        let values: Vec<f64> =
            curves.iter().filter_map(|curve| curve.get(epoch).map(|(_, y)| 100.0 * y)).collect();
        (epoch as u32 + 1, mean_and_deviation(&values).0)
    };
    (0..epochs).map(mean).collect()
}

impl Effect {
    pub(super) fn of(groups: &[Group], noise: Option<Noise>) -> Effect {
        let with_runs: Vec<&Group> = groups.iter().filter(|group| !group.accuracies.is_empty()).collect();
        let mean = |group: &Group| (group.value.clone(), mean_and_deviation(&group.accuracies).0);
        let mut means: Vec<(String, f64)> = with_runs.iter().map(|group| mean(group)).collect();
        means.sort_by(|a, b| a.1.total_cmp(&b.1));
        match means.as_slice() {
            [] => Effect::NoRuns,
            [_] => Effect::OneValue,
            [worst, .., best] => {
                let accuracies: Vec<Vec<f64>> =
                    with_runs.iter().map(|group| group.accuracies.clone()).collect();
                let chance = noise.zip(chance(&accuracies, noise)).map(|(noise, probability)| Chance {
                    deviation: noise.deviation,
                    probability,
                    uneven: uneven(&accuracies),
                });
                Effect::Between { worst: worst.clone(), best: best.clone(), chance }
            }
        }
    }
}

/// Largest by smallest standard deviation from which the F test is a rough guide only.
const UNEVEN: f64 = 5.0;

/// Whether the F test's assumption of equal scatter is far from true.
fn uneven(groups: &[Vec<f64>]) -> bool {
    let deviations = groups.iter().filter(|group| group.len() > 1).map(|group| mean_and_deviation(group).1);
    let (low, high) = deviations.fold((f64::MAX, 0f64), |(low, high), d| (low.min(d), high.max(d)));
    high > UNEVEN * low.max(0.05)
}

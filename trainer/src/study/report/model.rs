//! What a study found, ready to be worded and drawn.

use crate::study::comparison::{Comparison, compare, is_left_out, validation_images};
use crate::study::file::{Design, Study, StudyFile};
use crate::study::plan::Plan;
use crate::study::results::{PointResult, Results, RunResult};
use crate::study::statistics::{self, Difference, mean_and_deviation};
use crate::study::timing::Timing;

/// Everything that the page and the text have in common.
pub(super) struct Report<'a> {
    pub(super) study: &'a Study,
    pub(super) results: &'a Results,
    pub(super) comparison: Comparison,
    pub(super) knobs: Vec<Knob>,
    pub(super) interactions: Vec<Interaction>,
    /// Validation images of a run.
    pub(super) validation: usize,
    pub(super) dataset: &'a str,
    pub(super) timing: Option<&'a Timing>,
}

/// One knob's part.
pub(super) struct Knob {
    pub(super) name: String,
    /// Name of the value that others are compared with.
    pub(super) reference: String,
    pub(super) groups: Vec<Group>,
    /// `None` as long as there is nothing to compare.
    pub(super) found: Option<statistics::Knob>,
}

/// The runs with one value of a knob.
pub(super) struct Group {
    pub(super) value: String,
    pub(super) level: usize,
    pub(super) is_reference: bool,
    pub(super) is_base: bool,
    /// Validation accuracies that are compared, percent.
    pub(super) accuracies: Vec<f64>,
    /// Against the reference.
    pub(super) difference: Option<Difference>,
    /// Means at the chosen epoch.
    pub(super) train_accuracy: f64,
    pub(super) train_loss: Option<f64>,
    pub(super) validation_loss: Option<f64>,
    pub(super) curves: Curves,
    /// What went wrong with combinations that have this value.
    pub(super) problems: Vec<String>,
}

/// Means over runs after each epoch; accuracies in percent.
#[derive(Default)]
pub(super) struct Curves {
    pub(super) train_accuracy: Vec<(u32, f64)>,
    pub(super) validation_accuracy: Vec<(u32, f64)>,
    pub(super) train_loss: Vec<(u32, f64)>,
    pub(super) validation_loss: Vec<(u32, f64)>,
}

/// Two knobs of a grid together.
pub(super) struct Interaction {
    pub(super) places: usize,
    pub(super) lines: usize,
    pub(super) test: statistics::Test,
    /// By line and place: mean accuracy, percent.
    pub(super) means: Vec<Vec<Option<f64>>>,
}

impl Group {
    /// The value, marked if it is the base's.
    pub(super) fn name(&self) -> String {
        format!("{}{}", self.value, if self.is_base && self.value != "base" { " (base)" } else { "" })
    }
}

impl Knob {
    /// The values as numbers, if all are.
    pub(super) fn numbers(&self) -> Option<Vec<f64>> {
        self.groups.iter().map(|group| group.value.parse().ok().filter(|n: &f64| n.is_finite())).collect()
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(
        file: &'a StudyFile,
        plan: &Plan,
        results: &'a Results,
        timing: Option<&'a Timing>,
    ) -> Report<'a> {
        let comparison = compare(&file.study, plan, results);
        let knobs = (0..plan.knobs.len()).map(|knob| Knob::new(file, plan, results, &comparison, knob));
        let interactions = comparison.analysis.interactions.iter().map(|&(one, two, test)| {
            let size = |knob: usize| plan.knobs[knob].names.len();
            // The knob with more values along the axis.
            let (places, lines) = if size(one) < size(two) { (two, one) } else { (one, two) };
            let mean = |line: usize, place: usize| {
                let here = plan.points.iter().zip(&results.points).filter(|(point, result)| {
                    point.levels[places] == place && point.levels[lines] == line && !is_left_out(result)
                });
                let values: Vec<f64> =
                    here.flat_map(|(_, result)| accuracies(result, comparison.epoch)).collect();
                (!values.is_empty()).then(|| mean_and_deviation(&values).0)
            };
            let means =
                (0..size(lines)).map(|line| (0..size(places)).map(|place| mean(line, place)).collect());
            Interaction { places, lines, test, means: means.collect() }
        });
        Report {
            study: &file.study,
            results,
            knobs: knobs.collect(),
            interactions: interactions.collect(),
            validation: validation_images(plan),
            dataset: &file.base.recipe.dataset,
            timing,
            comparison,
        }
    }

    /// Points with results and their `(cost, accuracy in percent)`; none if the cost is not known or is the same for all.
    pub(super) fn costs(&self, cost: impl Fn(&PointResult) -> Option<f64>) -> Vec<(f64, f64)> {
        let points: Option<Vec<(f64, f64)>> = self
            .finished()
            .map(|point| Some((cost(point)?, mean_and_deviation(&accuracies(point, None)).0)))
            .collect();
        let points = points.unwrap_or_default();
        let differs = points.iter().any(|(cost, _)| Some(*cost) != points.first().map(|(first, _)| *first));
        if differs { points } else { Vec::new() }
    }

    /// Every combination with finished runs, once.
    pub(super) fn finished(&self) -> impl Iterator<Item = &'a PointResult> {
        let points = self.results.points.iter().filter(|point| !is_left_out(point));
        points.filter(|point| point.runs.iter().any(|run| run.finished))
    }

    /// Every combination that is not another under a second name.
    pub(super) fn distinct(&self) -> impl Iterator<Item = &'a PointResult> {
        self.results.points.iter().filter(|point| point.same_as.is_none())
    }

    /// Seconds for 1000 training images of a combination, as measured side by side.
    pub(super) fn seconds(&self, point: &PointResult) -> Option<f64> {
        self.timing.and_then(|timing| timing.seconds(&point.label))
    }
}

/// Accuracies in percent of finished runs, or of all runs after an epoch.
pub(super) fn accuracies(point: &PointResult, epoch: Option<u32>) -> Vec<f64> {
    let accuracy = |run: &RunResult| match epoch {
        Some(epoch) => run.history.iter().take_while(|row| row.epoch <= epoch).last()?.validation_accuracy,
        None => run.finished.then_some(run.accuracy),
    };
    point.runs.iter().filter_map(accuracy).map(|accuracy| 100.0 * accuracy).collect()
}

impl Knob {
    fn new(file: &StudyFile, plan: &Plan, results: &Results, comparison: &Comparison, knob: usize) -> Knob {
        let levels = &plan.knobs[knob];
        let found = comparison.analysis.knobs.get(knob).cloned();
        let group = |level: usize| {
            let points: Vec<&PointResult> = plan
                .points
                .iter()
                .zip(&results.points)
                .filter(|(point, result)| {
                    let alone = file.study.design != Design::OneAtATime
                        || point.levels.iter().zip(&plan.knobs).enumerate().all(
                            |(other, (level, knob_levels))| other == knob || *level == knob_levels.reference,
                        );
                    alone && point.levels[knob] == level && result.same_as.is_none()
                })
                .map(|(_, result)| result)
                .collect();
            let compared: Vec<&PointResult> =
                points.iter().copied().filter(|point| !is_left_out(point)).collect();
            let difference =
                found.as_ref().and_then(|found| found.differences.iter().find(|d| d.level == level));
            let is_reference = level == levels.reference;
            Group {
                value: levels.names[level].clone(),
                level,
                is_reference,
                is_base: is_reference && levels.reference_is_base,
                accuracies: compared.iter().flat_map(|point| accuracies(point, comparison.epoch)).collect(),
                difference: difference.copied(),
                ..Group::of_runs(&points, &compared)
            }
        };
        let groups: Vec<Group> = (0..levels.names.len()).map(group).collect();
        Knob {
            name: file.study.axes[knob].knob.clone(),
            reference: levels.names[levels.reference].clone(),
            groups,
            found: found.filter(|found| !found.differences.is_empty()),
        }
    }
}

impl Group {
    /// What does not depend on what is compared with what.
    fn of_runs(points: &[&PointResult], compared: &[&PointResult]) -> Group {
        let runs: Vec<&RunResult> = compared.iter().flat_map(|point| &point.runs).collect();
        let mean = |value: &dyn Fn(&RunResult) -> Option<f64>| {
            let values: Vec<f64> = runs.iter().filter_map(|run| value(run)).collect();
            (!values.is_empty()).then(|| mean_and_deviation(&values).0)
        };
        let chosen = |run: &RunResult| run.history.iter().position(|row| row.epoch == run.chosen_epoch);
        let row = |run: &RunResult| chosen(run).and_then(|index| run.history.get(index).cloned());
        Group {
            value: String::new(),
            level: 0,
            is_reference: false,
            is_base: false,
            accuracies: Vec::new(),
            difference: None,
            train_accuracy: mean(&|run| Some(100.0 * row(run)?.train_accuracy)).unwrap_or(0.0),
            train_loss: mean(&|run| run.plain_losses.get(chosen(run)?).copied()),
            validation_loss: mean(&|run| row(run)?.validation_loss),
            curves: Curves::new(&runs),
            problems: points.iter().flat_map(|point| problems(point)).collect(),
        }
    }
}

/// Why a combination, or some of its runs, cannot be compared.
pub(super) fn problems(point: &PointResult) -> Vec<String> {
    let diverged = point.diverged.iter().map(|(seed, what)| format!("diverged with seed {seed}: {what}"));
    point.problem.iter().map(|problem| format!("cannot be: {problem}")).chain(diverged).collect()
}

impl Curves {
    fn new(runs: &[&RunResult]) -> Curves {
        let epochs = runs.iter().map(|run| run.history.len()).max().unwrap_or(0);
        let mean = |value: &dyn Fn(&RunResult, usize) -> Option<f64>| {
            let after = |epoch: usize| {
                let values: Vec<f64> = runs.iter().filter_map(|run| value(run, epoch)).collect();
                (!values.is_empty()).then(|| (epoch as u32 + 1, mean_and_deviation(&values).0))
            };
            (0..epochs).filter_map(after).collect()
        };
        Curves {
            train_accuracy: mean(&|run, epoch| Some(100.0 * run.history.get(epoch)?.train_accuracy)),
            validation_accuracy: mean(&|run, epoch| {
                Some(100.0 * run.history.get(epoch)?.validation_accuracy?)
            }),
            train_loss: mean(&|run, epoch| run.plain_losses.get(epoch).copied()),
            validation_loss: mean(&|run, epoch| run.history.get(epoch)?.validation_loss),
        }
    }
}

//! From results to the numbers that are compared.

use super::file::Study;
use super::plan::Plan;
use super::results::{PointResult, Results};
use super::statistics::{Analysis, Rules, Run, Table, analyse};

/// What a study's runs say, and after which epoch.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    pub(crate) analysis: Analysis,
    /// With halving, the last epoch that all combinations reached: accuracies of another are not compared with it.
    pub(crate) epoch: Option<u32>,
}

/// Compares what was trained so far.
pub(crate) fn compare(study: &Study, plan: &Plan, results: &Results) -> Comparison {
    let epoch = study.halving.as_ref().and_then(|halving| halving.rungs.first().copied());
    let table = Table {
        knobs: plan.knobs.iter().map(|knob| (knob.names.len(), knob.reference)).collect(),
        points: plan.points.iter().map(|point| point.levels.clone()).collect(),
        left_out: results.points.iter().map(is_left_out).collect(),
        runs: results
            .points
            .iter()
            .enumerate()
            .flat_map(|(index, point)| runs(study, index, point, epoch))
            .collect(),
        step: 100.0 / validation_images(plan) as f64,
    };
    let rules = Rules { design: study.design.clone(), looks: study.looks(), matters: study.matters };
    Comparison { analysis: analyse(&table, &rules), epoch }
}

/// Combinations without an accuracy for every seed: those that diverged, cannot be, or were never begun; and those that
/// are another under a second name.
pub(crate) fn is_left_out(point: &PointResult) -> bool {
    point.problem.is_some() || point.same_as.is_some() || !point.diverged.is_empty() || point.runs.is_empty()
}

fn runs(study: &Study, index: usize, point: &PointResult, epoch: Option<u32>) -> Vec<Run> {
    let seeds = study.seeds();
    let run = |run: &super::results::RunResult| {
        let value = match epoch {
            Some(epoch) => {
                run.history.iter().take_while(|row| row.epoch <= epoch).last()?.validation_accuracy?
            }
            None if run.finished => run.accuracy,
            None => return None,
        };
        let seed = seeds.iter().position(|&seed| seed == run.seed)?;
        Some(Run { point: index, seed, value: 100.0 * value })
    };
    point.runs.iter().filter_map(run).collect()
}

/// The fewest validation images of any run.
pub(crate) fn validation_images(plan: &Plan) -> usize {
    let trials = plan.points.iter().flat_map(|point| &point.trials);
    trials.map(|trial| trial.recipe.recipe.split.validation).filter(|&images| images > 0).min().unwrap_or(1)
}

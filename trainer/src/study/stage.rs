//! What to train next, found from what is there: so that a study can be killed, planned for a cluster or go on elsewhere
//! and trains the same runs.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use datasets::{Dataset, Description, Digest};

use super::comparison::{compare, is_left_out};
use super::file::{Design, Halving, Random, Study, StudyFile};
use super::plan::{Plan, Trial};
use super::results::{self, Results};
use crate::error::Result;

/// Runs that can be trained side by side.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Those that are not done, in the order in which to train.
    pub trials: Vec<&'a Trial>,
    /// Epochs after which each stops; `None` for all of its recipe's.
    pub epochs: Option<u32>,
}

impl Stage<'_> {
    /// About how long its runs take one after the other, by measuring two of them.
    ///
    /// # Errors
    /// What `measure` says, or if shapes do not fit the dataset.
    pub fn estimate(
        &self,
        description: &Description,
        images: usize,
        measure: &mut dyn FnMut(&Trial) -> Result<f64>,
    ) -> Result<Duration> {
        let mut work = Vec::new();
        for trial in &self.trials {
            let recipe = &trial.recipe.recipe;
            let images = recipe.split.train.unwrap_or_else(|| images.saturating_sub(recipe.split.validation));
            let epochs = self.epochs.unwrap_or(u32::MAX).min(recipe.epochs);
            work.push((recipe.build_network(description)?.macs(), images as u64 * u64::from(epochs)));
        }
        let by_macs = |index: &usize| work[*index].0;
        let indices = || 0..self.trials.len();
        let Some((least, most)) = indices().min_by_key(by_macs).zip(indices().max_by_key(by_macs)) else {
            return Ok(Duration::ZERO);
        };
        // Seconds for an image; between the two, they grow with the multiplications.
        let cheap = 1.0 / measure(self.trials[least])?.max(1e-9);
        let dear =
            if work[most].0 > work[least].0 { 1.0 / measure(self.trials[most])?.max(1e-9) } else { cheap };
        let span = (work[most].0 - work[least].0).max(1) as f64;
        let seconds = work.iter().map(|&(macs, images)| {
            let share = (macs - work[least].0) as f64 / span;
            images as f64 * (cheap + share * (dear - cheap)).max(0.0)
        });
        Ok(Duration::from_secs_f64(seconds.sum()))
    }

    /// Whether others may follow.
    pub fn is_first_of_several(&self, study: &Study) -> bool {
        self.epochs.is_some() || study.looks().len() > 1
    }
}

/// The next stage; `None` if the study is finished.
///
/// # Errors
/// If a run folder is damaged or holds another recipe's run.
pub fn next<'a>(file: &StudyFile, plan: &'a Plan, dataset: &Dataset) -> Result<Option<Stage<'a>>> {
    let results = results::collect(plan, dataset)?;
    let data = dataset.description.training_sha256();
    if let Some(halving) = &file.study.halving {
        return halved(halving, plan, &results, data);
    }
    let all = possible(plan);
    let first = file.study.looks().first().copied().unwrap_or(0);
    let stage = match &file.study.design {
        Design::Random(Random { minutes: Some(minutes), .. }) => {
            within(*minutes, plan, &results, first, data)?
        }
        _ => first_seeds(plan, &all, first, None, data)?,
    };
    if stage.is_some() {
        return Ok(stage);
    }
    let analysis = compare(&file.study, plan, &results).analysis;
    first_seeds(plan, &analysis.open, analysis.seeds, None, data)
}

/// What is left of some combinations with the first so many seeds; round by round, so that a report is useful early.
fn first_seeds<'a>(
    plan: &'a Plan,
    points: &[usize],
    seeds: usize,
    epochs: Option<u32>,
    data: Digest,
) -> Result<Option<Stage<'a>>> {
    let (mut trials, mut known): (Vec<&Trial>, HashSet<&Path>) = Default::default();
    for seed in 0..seeds {
        for trial in points.iter().filter_map(|&point| plan.points[point].trials.get(seed)) {
            if known.insert(&trial.run) && !results::is_done(trial, epochs, data)? {
                trials.push(trial);
            }
        }
    }
    Ok((!trials.is_empty()).then_some(Stage { trials, epochs }))
}

/// What was begun, and then one combination after the other while there is time left.
fn within<'a>(
    minutes: f64,
    plan: &'a Plan,
    results: &Results,
    seeds: usize,
    data: Digest,
) -> Result<Option<Stage<'a>>> {
    let has_begun = |point: &usize| {
        let point = &results.points[*point];
        !point.runs.is_empty() || !point.diverged.is_empty()
    };
    let (begun, others): (Vec<usize>, Vec<usize>) = possible(plan).into_iter().partition(has_begun);
    let stage = first_seeds(plan, &begun, seeds, None, data)?;
    let runs = results.points.iter().filter(|point| point.same_as.is_none()).flat_map(|point| &point.runs);
    let spent: f64 = runs.map(|run| run.seconds).sum();
    if stage.is_some() || spent >= 60.0 * minutes {
        return Ok(stage);
    }
    first_seeds(plan, others.get(..1).unwrap_or(&[]), seeds, None, data)
}

fn possible(plan: &Plan) -> Vec<usize> {
    (0..plan.points.len()).filter(|&point| plan.points[point].problem.is_none()).collect()
}

/// After each rung the combinations that are behind stop.
fn halved<'a>(
    halving: &Halving,
    plan: &'a Plan,
    results: &Results,
    data: Digest,
) -> Result<Option<Stage<'a>>> {
    let mut open = possible(plan);
    let seeds = plan.points.first().map_or(0, |point| point.trials.len());
    for &rung in &halving.rungs {
        if let Some(stage) = first_seeds(plan, &open, seeds, Some(rung), data)? {
            return Ok(Some(stage));
        }
        open.retain(|&point| !is_left_out(&results.points[point]));
        let after = |&point: &usize| {
            let curve = results.points[point].curve();
            curve.into_iter().take_while(|(epoch, _)| *epoch <= rung).last().map_or(0.0, |(_, mean)| mean)
        };
        let kept = ((open.len() as f64 * halving.keep).ceil() as usize).max(1);
        open.sort_by(|a, b| after(b).total_cmp(&after(a)).then(a.cmp(b)));
        open.truncate(kept);
        open.sort_unstable();
    }
    first_seeds(plan, &open, seeds, None, data)
}

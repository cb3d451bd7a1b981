//! The runs that say something about one knob, and the model that describes them.

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::findings::{Difference, ERROR, Rules, Test, Verdict};
use super::least_squares::{Estimate, Factor, Fit};
use super::table::{Run, Table};
use super::{Noise, holm, mean_and_deviation};

/// One knob's model: seeds are blocks, and what levels add is added up.
pub(super) struct View {
    reference: usize,
    /// Levels that have runs, without the reference, and how many seeds each is compared by.
    levels: Vec<(usize, usize)>,
    with: Fit,
    without: Fit,
    /// Which of the factors of `with` is the knob.
    factor: usize,
    pub(super) noise: Option<Noise>,
    /// Level, difference and noise of its own for each, where the scatter differs much.
    own: Vec<(usize, Estimate, Noise)>,
}

/// Probability of a ratio of two variances so large that they are not taken together.
const UNEVEN: f64 = 0.01;

impl View {
    /// The knob alone, everything else as in the base: a randomised block design.
    pub(super) fn alone(table: &Table, runs: &[Run], knob: usize) -> View {
        let others_as_base = |point: usize| {
            let levels = table.points[point].iter().zip(&table.knobs).enumerate();
            levels.into_iter().all(|(other, (level, (_, base)))| other == knob || level == base)
        };
        let runs: Vec<Run> = runs.iter().filter(|run| others_as_base(run.point)).copied().collect();
        let (values, seeds) = columns(&runs);
        let level = table.factor(&runs, knob);
        let with = Fit::new(&values, &[&seeds, &level]);
        let noise = Noise::new(with.residual_squares, with.freedom, table.step);
        let without = Fit::new(&values, &[&seeds]);
        let mut view = View {
            reference: table.knobs[knob].1,
            levels: Vec::new(),
            with,
            without,
            factor: 1,
            noise,
            own: Vec::new(),
        };
        view.levels = levels(table, &runs, knob);
        view.own = uneven(table, &runs, knob);
        view
    }

    /// Every combination: the scatter is that of the runs of a combination, and a knob is judged by what it adds beside
    /// the others, on average over their levels.
    pub(super) fn grid(table: &Table, runs: &[Run], knob: usize) -> View {
        let (values, seeds) = columns(runs);
        let points = Factor::new(runs.iter().map(|run| run.point).collect());
        let all = Fit::new(&values, &[&seeds, &points]);
        let factors: Vec<Factor> = (0..table.knobs.len()).map(|other| table.factor(runs, other)).collect();
        let others =
            || factors.iter().enumerate().filter(|(other, _)| *other != knob).map(|(_, factor)| factor);
        let with: Vec<&Factor> = std::iter::once(&seeds).chain(&factors).collect();
        let without: Vec<&Factor> = std::iter::once(&seeds).chain(others()).collect();
        View {
            reference: table.knobs[knob].1,
            levels: levels(table, runs, knob),
            with: Fit::new(&values, &with),
            without: Fit::new(&values, &without),
            factor: knob + 1,
            noise: Noise::new(all.residual_squares, all.freedom, table.step),
            own: Vec::new(),
        }
    }

    /// Combinations drawn at random: they are what is sampled, so that each counts once, however many seeds it has, and
    /// all knobs are fitted together, because a draw is not balanced.
    pub(super) fn random(table: &Table, runs: &[Run], knob: usize) -> View {
        let (values, seeds) = columns(runs);
        let mut drawn: Vec<usize> = runs.iter().map(|run| run.point).collect();
        let points = Factor::new(drawn.clone());
        let by_point = Fit::new(&values, &[&seeds, &points]);
        drawn.sort_unstable();
        drawn.dedup();
        let first = drawn.first().copied().unwrap_or(0);
        // Beside the first: seeds that a combination lacks do not count against it.
        let known = drawn.iter().filter_map(|&point| {
            let value = by_point.difference(1, point, first)?.value;
            Some(Run { point, seed: 0, value })
        });
        let known: Vec<Run> = known.collect();
        let values: Vec<f64> = known.iter().map(|run| run.value).collect();
        let factors: Vec<Factor> = (0..table.knobs.len()).map(|other| table.factor(&known, other)).collect();
        let with: Vec<&Factor> = factors.iter().collect();
        let without: Vec<&Factor> = factors
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != knob)
            .map(|(_, factor)| factor)
            .collect();
        let with = Fit::new(&values, &with);
        View {
            reference: table.knobs[knob].1,
            levels: levels(table, runs, knob),
            noise: Noise::new(with.residual_squares, with.freedom, table.step),
            with,
            without: Fit::new(&values, &without),
            factor: knob,
            own: Vec::new(),
        }
    }

    pub(super) fn uneven(&self) -> bool {
        !self.own.is_empty()
    }

    /// Whether all levels have one mean.
    pub(super) fn test(&self) -> Option<Test> {
        test(&self.without, &self.with, self.noise?)
    }

    pub(super) fn differences(&self, rules: &Rules) -> Vec<Difference> {
        let looks = rules.looks.len() as f64;
        let estimates: Vec<(usize, usize, Estimate, Option<Noise>)> = self
            .levels
            .iter()
            .filter_map(|&(level, seeds)| {
                let own = self.own.iter().find(|(other, _, _)| *other == level);
                let (estimate, noise) = match own {
                    Some((_, estimate, noise)) => (*estimate, Some(*noise)),
                    None => (self.with.difference(self.factor, level, self.reference)?, self.noise),
                };
                Some((level, seeds, estimate, noise))
            })
            .collect();
        let chances: Vec<f64> = estimates
            .iter()
            .filter_map(|(_, _, estimate, noise)| {
                Some(noise.as_ref()?.chance_of_difference(estimate.value, estimate.variance))
            })
            .collect();
        let mut corrected = holm(&chances).into_iter().map(|chance| (chance * looks).min(1.0));
        let difference = |(level, seeds, estimate, noise): (usize, usize, Estimate, Option<Noise>)| {
            let half_width = noise.map(|noise| noise.half_width(estimate.variance, ERROR / looks));
            let corrected = noise.and_then(|_| corrected.next());
            let reaches = half_width.map(|half_width| estimate.value.abs() + half_width);
            let verdict = if reaches.zip(rules.matters).is_some_and(|(reaches, matters)| reaches <= matters) {
                Verdict::Negligible
            } else if corrected.is_some_and(|chance| chance < ERROR) {
                Verdict::Effect
            } else {
                Verdict::NotDecided
            };
            Difference { level, value: estimate.value, half_width, corrected, verdict, seeds }
        };
        estimates.into_iter().map(difference).collect()
    }
}

/// Values and seeds of runs.
fn columns(runs: &[Run]) -> (Vec<f64>, Factor) {
    (runs.iter().map(|run| run.value).collect(), Factor::new(runs.iter().map(|run| run.seed).collect()))
}

/// Levels of a knob beside the reference, with the number of seeds of each.
fn levels(table: &Table, runs: &[Run], knob: usize) -> Vec<(usize, usize)> {
    let (count, reference) = table.knobs[knob];
    let seeds = |level: usize| {
        let runs = runs.iter().filter(|run| table.points[run.point][knob] == level);
        let mut seeds: Vec<usize> = runs.map(|run| run.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds.len()
    };
    let all = (0..count).filter(|&level| level != reference).map(|level| (level, seeds(level)));
    all.filter(|(_, seeds)| *seeds > 0).collect()
}

/// Differences within seeds, level by level, if their variances are further apart than one would expect.
fn uneven(table: &Table, runs: &[Run], knob: usize) -> Vec<(usize, Estimate, Noise)> {
    let reference = table.knobs[knob].1;
    let of = |level: usize, seed: usize| {
        let run = runs.iter().find(|run| run.seed == seed && table.points[run.point][knob] == level);
        run.map(|run| run.value)
    };
    let seeds = runs.iter().map(|run| run.seed + 1).max().unwrap_or(0);
    let mut own = Vec::new();
    for (level, _) in levels(table, runs, knob) {
        let pairs = (0..seeds).filter_map(|seed| Some(of(level, seed)? - of(reference, seed)?));
        let pairs: Vec<f64> = pairs.collect();
        let (mean, deviation) = mean_and_deviation(&pairs);
        // A difference has the rounding of two runs.
        let freedom = pairs.len().saturating_sub(1);
        let Some(noise) = Noise::new(deviation.powi(2) * freedom as f64, freedom, table.step * 2f64.sqrt())
        else {
            return Vec::new();
        };
        own.push((level, Estimate { value: mean, variance: 1.0 / pairs.len() as f64 }, noise));
    }
    // One value beside the reference has nothing to be uneven with.
    if own.len() < 2 {
        return Vec::new();
    }
    let by_variance =
        |a: &&(usize, Estimate, Noise), b: &&(usize, Estimate, Noise)| a.2.variance.total_cmp(&b.2.variance);
    let Some((low, high)) = own.iter().min_by(by_variance).zip(own.iter().max_by(by_variance)) else {
        return Vec::new();
    };
    let (low, high) = (low.2, high.2);
    let ratio = FisherSnedecor::new(high.freedom as f64, low.freedom as f64);
    let chance = ratio.expect("degrees of freedom are above 0").sf(high.variance / low.variance);
    let pairs = own.len() * (own.len() - 1);
    if chance * (pairs as f64) < UNEVEN { own } else { Vec::new() }
}

/// F test of what a larger model describes beyond a smaller one.
fn test(smaller: &Fit, larger: &Fit, noise: Noise) -> Option<Test> {
    let freedom = smaller.freedom.checked_sub(larger.freedom).filter(|&freedom| freedom > 0)?;
    let squares = (smaller.residual_squares - larger.residual_squares).max(0.0);
    let probability = noise.chance(squares, freedom);
    let statistic = squares / freedom as f64 / noise.variance;
    Some(Test { statistic, freedom: (freedom, noise.freedom), probability, corrected: probability })
}

/// Whether what a knob adds depends on another one: for each pair, beside what all knobs add.
pub(super) fn interactions(table: &Table, runs: &[Run]) -> Vec<(usize, usize, Test)> {
    let (values, seeds) = columns(runs);
    let points = Factor::new(runs.iter().map(|run| run.point).collect());
    let all = Fit::new(&values, &[&seeds, &points]);
    let Some(noise) = Noise::new(all.residual_squares, all.freedom, table.step) else { return Vec::new() };
    let factors: Vec<Factor> = (0..table.knobs.len()).map(|knob| table.factor(runs, knob)).collect();
    let added: Vec<&Factor> = std::iter::once(&seeds).chain(&factors).collect();
    let without = Fit::new(&values, &added);
    let mut found = Vec::new();
    for (one, first) in factors.iter().enumerate() {
        for (two, second) in factors.iter().enumerate().skip(one + 1) {
            let crossed = first.crossed(second);
            let with: Vec<&Factor> = added.iter().copied().chain([&crossed]).collect();
            found.extend(test(&without, &Fit::new(&values, &with), noise).map(|test| (one, two, test)));
        }
    }
    found
}

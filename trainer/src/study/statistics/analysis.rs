//! From a study's runs to what each knob does.

use super::findings::{Difference, ERROR, Knob, Rules, Test, Verdict};
use super::holm;
use super::table::{Run, Table};
use super::view::{View, interactions};
use crate::study::file::Design;

/// What a study says so far.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Analysis {
    pub(crate) knobs: Vec<Knob>,
    /// Of a grid: whether what one knob does depends on the other.
    pub(crate) interactions: Vec<(usize, usize, Test)>,
    /// Combinations that need more seeds, and how many; none if all is decided or there are no more.
    pub(crate) open: Vec<usize>,
    pub(crate) seeds: usize,
}

/// Looks at the runs as often as there are seeds for, and at what is decided no more.
pub(crate) fn analyse(table: &Table, rules: &Rules) -> Analysis {
    let mut found = Analysis { knobs: Vec::new(), interactions: Vec::new(), open: Vec::new(), seeds: 0 };
    found.open = (0..table.points.len()).filter(|&point| !table.left_out[point]).collect();
    for (index, &seeds) in rules.looks.iter().enumerate() {
        found.seeds = seeds;
        if index > 0 && !table.is_complete(&found.open, seeds) {
            return found;
        }
        let now = look(table, rules, seeds);
        let is_complete = table.is_complete(&found.open, seeds);
        found.knobs = match found.knobs.is_empty() {
            true => now.0,
            false => found.knobs.iter().zip(now.0).map(|(before, now)| now.with_decided(before)).collect(),
        };
        found.interactions = now.1;
        if !is_complete {
            return found;
        }
        found.open = open(table, rules, &found.knobs);
        if found.open.is_empty() {
            break;
        }
    }
    found.open.clear();
    found
}

impl Knob {
    /// What was decided at an earlier look stays.
    fn with_decided(mut self, before: &Knob) -> Knob {
        for difference in &mut self.differences {
            let earlier = before.differences.iter().find(|earlier| earlier.level == difference.level);
            if let Some(earlier) = earlier.filter(|earlier| earlier.verdict != Verdict::NotDecided) {
                *difference = *earlier;
            }
        }
        self.verdict = match before.verdict {
            Verdict::Effect => Verdict::Effect,
            _ => verdict_of_knob(self.test, self.uneven, &self.differences),
        };
        self
    }
}

/// The combinations that something undecided rests on.
fn open(table: &Table, rules: &Rules, knobs: &[Knob]) -> Vec<usize> {
    let undecided = |knob: usize, level: usize| {
        let difference = knobs[knob].differences.iter().find(|difference| difference.level == level);
        difference.is_some_and(|difference| difference.verdict == Verdict::NotDecided)
    };
    let any = knobs.iter().flat_map(|knob| &knob.differences).any(|d| d.verdict == Verdict::NotDecided);
    let is_open = |&point: &usize| {
        let levels = &table.points[point];
        !table.left_out[point]
            && match rules.design {
                Design::OneAtATime => {
                    table.is_base(point)
                        || levels.iter().enumerate().any(|(knob, &level)| undecided(knob, level))
                }
                Design::Grid | Design::Random(_) => true,
            }
    };
    if any { (0..table.points.len()).filter(is_open).collect() } else { Vec::new() }
}

/// What the first so many seeds say, with the correction for all looks.
fn look(table: &Table, rules: &Rules, seeds: usize) -> (Vec<Knob>, Vec<(usize, usize, Test)>) {
    let runs: Vec<Run> =
        table.runs.iter().filter(|run| run.seed < seeds && !table.left_out[run.point]).copied().collect();
    let views: Vec<View> = match rules.design {
        Design::OneAtATime => (0..table.knobs.len()).map(|knob| View::alone(table, &runs, knob)).collect(),
        Design::Grid => (0..table.knobs.len()).map(|knob| View::grid(table, &runs, knob)).collect(),
        Design::Random(_) => (0..table.knobs.len()).map(|knob| View::random(table, &runs, knob)).collect(),
    };
    let looks = rules.looks.len() as f64;
    let correct = |tests: &mut [&mut Test]| {
        let corrected = holm(&tests.iter().map(|test| test.probability).collect::<Vec<_>>());
        for (test, corrected) in tests.iter_mut().zip(corrected) {
            test.corrected = (corrected * looks).min(1.0);
        }
    };
    let mut tests: Vec<Option<Test>> = views.iter().map(View::test).collect();
    correct(&mut tests.iter_mut().flatten().collect::<Vec<_>>());
    let mut interactions = match rules.design {
        Design::Grid => interactions(table, &runs),
        _ => Vec::new(),
    };
    correct(&mut interactions.iter_mut().map(|(_, _, test)| test).collect::<Vec<_>>());
    let knobs = views.iter().zip(tests).map(|(view, test)| {
        let differences = view.differences(rules);
        let verdict = verdict_of_knob(test, view.uneven(), &differences);
        let deviation = view.noise.map(|noise| noise.variance.sqrt());
        Knob { test, deviation, uneven: view.uneven(), differences, verdict }
    });
    (knobs.collect(), interactions)
}

/// By the F test of all values together; where that assumes too much, by their differences.
fn verdict_of_knob(test: Option<Test>, uneven: bool, differences: &[Difference]) -> Verdict {
    let has = |verdict| differences.iter().any(|difference| difference.verdict == verdict);
    let is_clear =
        if uneven { has(Verdict::Effect) } else { test.is_some_and(|test| test.corrected < ERROR) };
    if has(Verdict::Negligible) && !has(Verdict::Effect) && !has(Verdict::NotDecided) {
        Verdict::Negligible
    } else if is_clear {
        Verdict::Effect
    } else {
        Verdict::NotDecided
    }
}

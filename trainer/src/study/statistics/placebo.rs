//! Simulated studies in which one knob does nothing: how often it is called an effect all the same.

use super::analysis::{Analysis, analyse};
use super::findings::{ERROR, Rules, Verdict};
use super::table::{Run, Table};
use crate::study::file::{Design, Random};
use distortions::Stream;

const STUDIES: u64 = 200;

/// Most calls of an effect that chance leaves likely (0.4 % for one more) where one in a hundred is nominal.
const MOST: usize = 6;

struct World {
    design: Design,
    /// Levels of each knob; the last is the placebo.
    levels: Vec<usize>,
    looks: Vec<usize>,
    /// What a level of the first knob adds, for each step of the level.
    slope: f64,
    /// What the first two knobs add together.
    interaction: f64,
    /// How much more the runs of the first knob's last level scatter.
    uneven: f64,
    matters: Option<f64>,
}

impl World {
    fn new(design: Design, levels: &[usize]) -> World {
        let levels = levels.to_vec();
        World { design, levels, looks: vec![3], slope: 0.5, interaction: 0.0, uneven: 1.0, matters: None }
    }

    fn points(&self, study: u64) -> Vec<Vec<usize>> {
        let knobs = self.levels.len();
        match &self.design {
            Design::OneAtATime => {
                let alone = (0..knobs).flat_map(|knob| {
                    (1..self.levels[knob]).map(move |level| {
                        let mut levels = vec![0; knobs];
                        levels[knob] = level;
                        levels
                    })
                });
                std::iter::once(vec![0; knobs]).chain(alone).collect()
            }
            Design::Grid => self.all(),
            Design::Random(random) => {
                let mut all = self.all();
                Stream::new(study, "draw", 0, 0).shuffle(&mut all);
                all.truncate(random.combinations);
                all
            }
        }
    }

    fn all(&self) -> Vec<Vec<usize>> {
        self.levels.iter().fold(vec![Vec::new()], |all, &count| {
            all.iter()
                .flat_map(|levels| (0..count).map(|level| [levels.as_slice(), &[level]].concat()))
                .collect()
        })
    }

    fn study(&self, number: u64) -> Analysis {
        let points = self.points(number);
        let seeds = *self.looks.last().unwrap();
        let mut stream = Stream::new(number, "study", 0, 0);
        let by_seed: Vec<f64> = (0..seeds).map(|_| 0.3 * f64::from(stream.normal())).collect();
        let mut runs = Vec::new();
        for (point, levels) in points.iter().enumerate() {
            let first = levels[0];
            let together = if levels.len() > 2 { first * levels[1] } else { 0 } as f64;
            let scatter = if first + 1 == self.levels[0] { 0.1 * self.uneven } else { 0.1 };
            for (seed, by_seed) in by_seed.iter().enumerate() {
                let mean = 98.0 + self.slope * first as f64 + self.interaction * together;
                // Counts of 5000 images.
                let value = ((mean + by_seed + scatter * f64::from(stream.normal())) / 0.02).round() * 0.02;
                runs.push(Run { point, seed, value });
            }
        }
        let table = Table {
            knobs: self.levels.iter().map(|&count| (count, 0)).collect(),
            left_out: vec![false; points.len()],
            points,
            runs,
            step: 0.02,
        };
        let rules = Rules { design: self.design.clone(), looks: self.looks.clone(), matters: self.matters };
        analyse(&table, &rules)
    }

    /// How often the first and the last knob are called an effect.
    fn calls(&self) -> (usize, usize) {
        let mut calls = (0, 0);
        for number in 0..STUDIES {
            let found = self.study(number);
            let is_effect = |knob: usize| usize::from(found.knobs[knob].verdict == Verdict::Effect);
            calls.0 += is_effect(0);
            calls.1 += is_effect(self.levels.len() - 1);
        }
        calls
    }

    fn check(&self, name: &str) {
        let (real, placebo) = self.calls();
        assert!(placebo <= MOST, "{name}: {placebo} of {STUDIES} placebos called an effect, at {ERROR}");
        assert!(real as u64 > STUDIES * 9 / 10, "{name}: only {real} of {STUDIES} effects found");
    }
}

#[test]
fn two_values_have_one_scatter_between_them() {
    for levels in [2, 3] {
        let world = World { looks: vec![5], uneven: 12.0, ..World::new(Design::OneAtATime, &[levels]) };
        let found = (0..STUDIES).filter(|&number| world.study(number).knobs[0].uneven).count();
        assert_eq!(found > 0, levels == 3, "{levels} values: {found} of {STUDIES}");
    }
}

fn random(combinations: usize) -> Design {
    Design::Random(Random { combinations, seed: 1, minutes: None })
}

#[test]
fn one_at_a_time() {
    World::new(Design::OneAtATime, &[3, 2]).check("two knobs");
    World { looks: vec![3, 5, 8], ..World::new(Design::OneAtATime, &[4, 3]) }.check("three looks");
    World { looks: vec![5], uneven: 12.0, slope: 1.5, ..World::new(Design::OneAtATime, &[3, 2]) }
        .check("uneven");
}

#[test]
fn grid() {
    World::new(Design::Grid, &[3, 2, 2]).check("three knobs");
    World { interaction: 0.3, ..World::new(Design::Grid, &[3, 3, 2]) }.check("an interaction");
    World { looks: vec![2, 4], ..World::new(Design::Grid, &[3, 2]) }.check("two looks");
}

#[test]
fn random_combinations() {
    World::new(random(16), &[3, 3, 2]).check("half of them");
    // What two knobs do together is no noise of the seeds: more seeds must not make it certainty.
    World { interaction: 0.15, looks: vec![6], slope: 0.8, ..World::new(random(20), &[3, 3, 2, 2]) }
        .check("an interaction and many seeds");
}

/// A knob that does nothing is decided to, with enough seeds.
#[test]
fn absence_is_decided() {
    let world = World { looks: vec![3, 5, 8], matters: Some(0.4), ..World::new(Design::OneAtATime, &[3, 2]) };
    let found: Vec<Analysis> = (0..STUDIES).map(|number| world.study(number)).collect();
    let negligible = found.iter().filter(|found| found.knobs[1].verdict == Verdict::Negligible).count();
    assert!(negligible as u64 > STUDIES * 9 / 10, "{negligible}");
    // Not all of them needed all seeds.
    assert!(found.iter().any(|found| found.seeds < 8) && found.iter().all(|found| found.open.is_empty()));
}

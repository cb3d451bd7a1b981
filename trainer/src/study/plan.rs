//! Which recipes a study trains.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use datasets::Description;
use serde_json::Value;

use super::edit;
use super::file::{Axis, Design, Random, Study, StudyFile, Variants};
use crate::error::{Error, Result};
use crate::recipe::RecipeFile;
use crate::run;
use crate::split::check_images;
use distortions::Stream;

/// Everything a study trains.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Combinations, the base first if it is one of them.
    pub points: Vec<Point>,
    /// For every axis its levels.
    pub(crate) knobs: Vec<Levels>,
}

/// The levels of a knob.
#[derive(Debug, Clone)]
pub(crate) struct Levels {
    /// The axis' values, and the base's if it has another.
    pub(crate) names: Vec<String>,
    /// The one that others are compared with: the base's, or the first where there is no base.
    pub(crate) reference: usize,
    /// Whether the reference is the base's.
    pub(crate) reference_is_base: bool,
}

/// A combination of values.
#[derive(Debug, Clone)]
pub struct Point {
    /// `(knob, value)` of every axis that this combination sets; none for the base.
    pub settings: Vec<(String, String)>,
    /// One run for each seed.
    pub trials: Vec<Trial>,
    /// The level of each knob.
    pub(crate) levels: Vec<usize>,
    /// The earlier combination that has the same recipes.
    pub(crate) same_as: Option<usize>,
    /// Why it cannot be trained.
    pub(crate) problem: Option<String>,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Its seed.
    pub seed: u64,
    /// Its recipe.
    pub recipe: RecipeFile,
    /// Its run folder.
    pub run: PathBuf,
}

impl Plan {
    /// Works out every recipe of a study; `path` is only for errors.
    ///
    /// # Errors
    /// [`Error::Recipe`] naming the field that cannot be set.
    pub fn new(file: &StudyFile, runs: &Path, path: &Path) -> Result<Plan> {
        let axes = &file.study.axes;
        let all = size(&file.study);
        let count = match &file.study.design {
            Design::Random(random) => random.combinations.min(all),
            Design::OneAtATime | Design::Grid => all,
        };
        let runs_in_all = count.saturating_mul(file.study.seeds().len());
        for (found, most, what) in
            [(count, MAX_COMBINATIONS, "combinations"), (runs_in_all, MAX_RUNS, "runs, one for each seed")]
        {
            if found > most {
                return Err(Error::Recipe {
                    path: path.to_owned(),
                    field: "axes".into(),
                    found: format!("{found} {what}"),
                    expected: format!("at most {most}"),
                });
            }
        }
        let combinations = match &file.study.design {
            Design::OneAtATime => one_at_a_time(axes),
            Design::Grid => (0..count).map(|number| numbered(axes, number)).collect(),
            Design::Random(random) => draw(axes, all, random),
        };
        let has_base = file.study.design == Design::OneAtATime;
        let knobs = axes.iter().map(|axis| levels(file, axis, has_base, path)).collect::<Result<Vec<_>>>()?;
        let mut points: Vec<Point> = Vec::new();
        let variants: Vec<Variants> = axes.iter().map(Axis::variants).collect();
        let mut first = HashMap::new();
        for combination in &combinations {
            let mut point = point(file, combination, &variants, &knobs, runs, path)?;
            if let Some(trial) = point.trials.first() {
                match first.entry(trial.run.clone()) {
                    Entry::Occupied(earlier) => point.same_as = Some(*earlier.get()),
                    Entry::Vacant(new) => _ = new.insert(points.len()),
                }
            }
            points.push(point);
        }
        Ok(Plan { points, knobs })
    }

    /// Finds what cannot be trained: networks that cannot be, splits that ask for more than `images` training images.
    ///
    /// # Errors
    /// [`Error::Study`] if that is the base, every value of a knob, or everything.
    pub fn examine(&mut self, description: &Description, images: usize) -> Result<()> {
        for point in &mut self.points {
            let problem = point.trials.iter().find_map(|trial| {
                let recipe = &trial.recipe.recipe;
                if recipe.split.validation == 0 {
                    return Some("no validation images, by which a study compares".to_owned());
                }
                let network = recipe.build_network(description);
                let checked = network.and_then(|network| check_images(recipe, &network, images));
                checked.err().map(|error| error.to_string())
            });
            point.problem = problem;
        }
        let refuse =
            |point: &Point, problem: &str| Err(Error::Study(format!("{}: {problem}", point.label())));
        if let Some((point, problem)) = self
            .points
            .iter()
            .find_map(|point| point.settings.is_empty().then_some(point).zip(point.problem.as_deref()))
        {
            return refuse(point, problem);
        }
        for knob in 0..self.knobs.len() {
            let mut others = self.points.iter().filter(|point| point.is_other_level(knob, self)).peekable();
            let first =
                others.peek().and_then(|point| point.problem.as_deref().map(|problem| (*point, problem)));
            if let Some((point, problem)) = first.filter(|_| others.all(|point| point.problem.is_some())) {
                return refuse(point, problem);
            }
        }
        Ok(())
    }

    /// Combinations that cannot be trained, and why.
    pub fn problems(&self) -> impl Iterator<Item = (String, &str)> {
        self.points.iter().filter_map(|point| Some((point.label(), point.problem.as_deref()?)))
    }

    /// Every run once, in the order in which to train; equal recipes of two points are one run.
    pub fn trials(&self) -> Vec<&Trial> {
        let (mut trials, mut known): (Vec<&Trial>, HashSet<&Path>) = Default::default();
        // All points with the first seed, then with the second: a report is useful early.
        let rounds = self.points.iter().map(|point| point.trials.len()).max().unwrap_or(0);
        let possible = || self.points.iter().filter(|point| point.problem.is_none());
        for round in 0..rounds {
            for trial in possible().filter_map(|point| point.trials.get(round)) {
                if known.insert(&trial.run) {
                    trials.push(trial);
                }
            }
        }
        trials
    }
}

impl Point {
    /// Whether it has another level of a knob than the reference.
    fn is_other_level(&self, knob: usize, plan: &Plan) -> bool {
        self.levels.get(knob).zip(plan.knobs.get(knob)).is_some_and(|(&level, knob)| level != knob.reference)
    }

    /// `kernel size 3, padding same`; `base` without settings.
    pub fn label(&self) -> String {
        let parts: Vec<String> =
            self.settings.iter().map(|(knob, value)| format!("{knob} {value}")).collect();
        if parts.is_empty() { "base".into() } else { parts.join(", ") }
    }
}

/// Largest number of combinations.
const MAX_COMBINATIONS: usize = 10_000;
/// Largest number of runs.
const MAX_RUNS: usize = 100_000;

/// For every axis that is set: its index and that of the value.
type Combination = Vec<(usize, usize)>;

fn one_at_a_time(axes: &[Axis]) -> Vec<Combination> {
    let alone = axes
        .iter()
        .enumerate()
        .flat_map(|(axis, values)| (0..values.len()).map(move |value| vec![(axis, value)]));
    std::iter::once(Vec::new()).chain(alone).collect()
}

/// How many combinations a design has, or can draw from.
fn size(study: &Study) -> usize {
    let lengths = study.axes.iter().map(Axis::len);
    match study.design {
        Design::OneAtATime => lengths.fold(1, usize::saturating_add),
        Design::Grid | Design::Random(_) => lengths.fold(1, usize::saturating_mul),
    }
}

/// A combination of a grid by its number, the last axis being the first to change.
fn numbered(axes: &[Axis], mut number: usize) -> Combination {
    let mut combination: Combination = Vec::new();
    for (axis, values) in axes.iter().enumerate().rev() {
        let count = values.len().max(1);
        combination.push((axis, number % count));
        number /= count;
    }
    combination.reverse();
    combination
}

/// Draws from a grid of `all` combinations without repetition.
fn draw(axes: &[Axis], all: usize, random: &Random) -> Vec<Combination> {
    let mut stream = Stream::new(random.seed, "study", 0, 0);
    if all <= MAX_COMBINATIONS {
        let mut numbers: Vec<usize> = (0..all).collect();
        stream.shuffle(&mut numbers);
        numbers.truncate(random.combinations);
        return numbers.into_iter().map(|number| numbered(axes, number)).collect();
    }
    // Too many to shuffle, and more than are drawn: each value by itself, and again what was drawn before.
    let (mut drawn, mut known) = (Vec::new(), HashSet::new());
    while drawn.len() < random.combinations.min(all) {
        let combination: Combination =
            axes.iter().enumerate().map(|(axis, values)| (axis, stream.below(values.len()))).collect();
        if known.insert(combination.clone()) {
            drawn.push(combination);
        }
    }
    drawn
}

/// The names of a knob's levels, and which of them the base has.
fn levels(file: &StudyFile, axis: &Axis, has_base: bool, path: &Path) -> Result<Levels> {
    let (mut names, changes): (Vec<String>, Vec<_>) = axis.variants().into_iter().unzip();
    let mut base = None;
    for (level, changes) in changes.iter().enumerate() {
        let changes: Vec<(&str, &Value)> =
            changes.iter().map(|(field, value)| (field.as_str(), value)).collect();
        if edit::apply(&file.base.recipe, &changes, path)?.recipe == file.base.recipe {
            base = base.or(Some(level));
        }
    }
    if base.is_none() && has_base {
        base = Some(names.len());
        names.push("base".into());
    }
    Ok(Levels { names, reference: base.unwrap_or(0), reference_is_base: base.is_some() })
}

fn point(
    file: &StudyFile,
    combination: &Combination,
    variants: &[Variants],
    knobs: &[Levels],
    runs: &Path,
    path: &Path,
) -> Result<Point> {
    let mut settings = Vec::new();
    let mut levels: Vec<usize> = knobs.iter().map(|knob| knob.reference).collect();
    let mut changes: Vec<(String, Value)> = Vec::new();
    for &(index, value) in combination {
        let (Some(axis), Some(variants)) = (file.study.axes.get(index), variants.get(index)) else {
            continue;
        };
        let Some((label, values)) = variants.get(value).cloned() else { continue };
        if let Some(level) = levels.get_mut(index) {
            *level = value;
        }
        settings.push((axis.knob.clone(), label));
        changes.extend(values);
    }
    let trial = |&seed: &u64| {
        let value = Value::from(seed);
        let changes = changes.iter().map(|(field, value)| (field.as_str(), value));
        let all: Vec<(&str, &Value)> = changes.chain([("seed", &value)]).collect();
        let recipe = edit::apply(&file.base.recipe, &all, path)?;
        let run = runs.join(run::folder_name(&recipe));
        Ok(Trial { seed, recipe, run })
    };
    let trials = file.study.seeds().iter().map(trial).collect::<Result<_>>()?;
    Ok(Point { settings, trials, levels, same_as: None, problem: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::file::{Seeds, Study, Values};
    use serde_json::json;

    fn study(design: Design) -> StudyFile {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/mnist-cnn.yaml");
        let axis = |knob: &str, field: &str, values: Vec<Value>| Axis {
            knob: knob.into(),
            field: Some(field.into()),
            values: Values::Plain(values),
        };
        let study = Study {
            name: "test".into(),
            title: "Test".into(),
            base: base.clone(),
            set: serde_json::Map::new(),
            design,
            seeds: Seeds::These(vec![1, 2]),
            matters: None,
            axes: vec![
                axis("batch size", "batch_size", vec![json!(64), json!(128), json!(256)]),
                axis("kernel size", "network.conv*.kernel_size", vec![json!(3), json!(5)]),
            ],
            halving: None,
        };
        StudyFile { study, base: RecipeFile::read(&base).unwrap() }
    }

    fn plan(design: Design) -> Plan {
        Plan::new(&study(design), Path::new("runs"), Path::new("study.yaml")).unwrap()
    }

    #[test]
    fn one_at_a_time_has_the_base_once() {
        let plan = plan(Design::OneAtATime);
        let labels: Vec<String> = plan.points.iter().map(Point::label).collect();
        assert_eq!(
            labels,
            ["base", "batch size 64", "batch size 128", "batch size 256", "kernel size 3", "kernel size 5"]
        );
        // Batch 128 and kernel 5 are the base: 4 recipes, 2 seeds.
        assert_eq!(plan.trials().len(), 8);
        assert_eq!(plan.trials().iter().map(|t| t.seed).collect::<Vec<_>>(), [1, 1, 1, 1, 2, 2, 2, 2]);
    }

    #[test]
    fn a_grid_has_all_and_a_draw_some_of_them() {
        let all = plan(Design::Grid);
        assert_eq!((all.points.len(), all.trials().len()), (6, 12));
        let some = |seed| {
            let plan = plan(Design::Random(Random { combinations: 4, seed, minutes: None }));
            plan.points.iter().map(Point::label).collect::<Vec<_>>()
        };
        assert_eq!((some(1).len(), some(1)), (4, some(1)));
        assert_ne!(some(1), some(2));
        assert!(some(1).iter().all(|label| all.points.iter().any(|p| p.label() == *label)));
    }

    /// A grid of millions: every knob is varied, nothing is made that is not drawn, and a draw is the same again.
    #[test]
    fn a_draw_from_a_large_grid_varies_every_knob() {
        let mut large = study(Design::Random(Random { combinations: 40, seed: 1, minutes: None }));
        let fields =
            ["batch_size", "label_smoothing", "split.validation", "schedule.one_cycle.peak", "ema", "epochs"];
        let values = |field: &str| match field {
            "batch_size" | "epochs" | "split.validation" => (1..=20).map(|n| json!(n * 8)).collect(),
            _ => (1..=20).map(|n| json!(f64::from(n) / 100.0)).collect(),
        };
        let axis = |field: &&str| Axis {
            knob: (*field).into(),
            field: Some((*field).into()),
            values: Values::Plain(values(field)),
        };
        large.study.axes = fields.iter().map(axis).collect();
        let labels = |file: &StudyFile| {
            let plan = Plan::new(file, Path::new("runs"), Path::new("study.yaml")).unwrap();
            plan.points.iter().map(|point| point.settings.clone()).collect::<Vec<_>>()
        };
        let drawn = labels(&large);
        assert_eq!((drawn.len(), &drawn), (40, &labels(&large)));
        for knob in 0..fields.len() {
            let different: HashSet<&String> = drawn.iter().map(|settings| &settings[knob].1).collect();
            assert!(different.len() > 8, "{}: {different:?}", fields[knob]);
        }
        large.study.design = Design::Grid;
        let refused = Plan::new(&large, Path::new("runs"), Path::new("study.yaml")).unwrap_err().to_string();
        assert!(refused.contains("found 64000000 combinations, expected at most 10000"), "{refused}");
        large.study.design = Design::Random(Random { combinations: 200, seed: 1, minutes: None });
        large.study.seeds = Seeds::These((1..=1000).collect());
        let refused = Plan::new(&large, Path::new("runs"), Path::new("study.yaml")).unwrap_err().to_string();
        assert!(refused.contains("200000 runs"), "{refused}");
    }
}

//! Which recipes a study trains.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::edit;
use super::file::{Axis, Design, Random, StudyFile};
use crate::error::{Error, Result};
use crate::recipe::RecipeFile;
use crate::run;
use distortions::Stream;

/// Everything a study trains.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Combinations, the base first if it is one of them.
    pub points: Vec<Point>,
}

/// A combination of values.
#[derive(Debug, Clone)]
pub struct Point {
    /// `(knob, value)` of every axis that this combination sets; none for the base.
    pub settings: Vec<(String, String)>,
    /// One run for each seed.
    pub trials: Vec<Trial>,
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
        let combinations = match &file.study.design {
            Design::OneAtATime => one_at_a_time(axes),
            Design::Grid => grid(axes),
            Design::Random(random) => draw(grid(axes), random),
        };
        if combinations.len() > MAX_COMBINATIONS {
            return Err(Error::Recipe {
                path: path.to_owned(),
                field: "axes".into(),
                found: format!("{} combinations", combinations.len()),
                expected: format!("at most {MAX_COMBINATIONS}"),
            });
        }
        let points = combinations.iter().map(|combination| point(file, combination, runs, path));
        Ok(Plan { points: points.collect::<Result<_>>()? })
    }

    /// Every run once, in the order in which to train; equal recipes of two points are one run.
    pub fn trials(&self) -> Vec<&Trial> {
        let mut trials: Vec<&Trial> = Vec::new();
        // All points with the first seed, then with the second: a report is useful early.
        let rounds = self.points.iter().map(|point| point.trials.len()).max().unwrap_or(0);
        for round in 0..rounds {
            for trial in self.points.iter().filter_map(|point| point.trials.get(round)) {
                if !trials.iter().any(|other| other.run == trial.run) {
                    trials.push(trial);
                }
            }
        }
        trials
    }
}

impl Point {
    /// `kernel size 3, padding same`; `base` without settings.
    pub fn label(&self) -> String {
        let parts: Vec<String> =
            self.settings.iter().map(|(knob, value)| format!("{knob} {value}")).collect();
        if parts.is_empty() { "base".into() } else { parts.join(", ") }
    }
}

/// Largest number of combinations.
const MAX_COMBINATIONS: usize = 10_000;

/// For every axis that is set: its index and that of the value.
type Combination = Vec<(usize, usize)>;

fn one_at_a_time(axes: &[Axis]) -> Vec<Combination> {
    let alone = axes
        .iter()
        .enumerate()
        .flat_map(|(axis, values)| (0..values.variants().len()).map(move |value| vec![(axis, value)]));
    std::iter::once(Vec::new()).chain(alone).collect()
}

fn grid(axes: &[Axis]) -> Vec<Combination> {
    let mut combinations: Vec<Combination> = vec![Vec::new()];
    for (axis, values) in axes.iter().enumerate() {
        let count = values.variants().len();
        let longer = |combination: &Combination, value| [combination.as_slice(), &[(axis, value)]].concat();
        combinations =
            combinations.iter().flat_map(|c| (0..count).map(move |value| longer(c, value))).collect();
        if combinations.len() > MAX_COMBINATIONS {
            break;
        }
    }
    combinations
}

fn draw(mut combinations: Vec<Combination>, random: &Random) -> Vec<Combination> {
    Stream::new(random.seed, "study", 0, 0).shuffle(&mut combinations);
    combinations.truncate(random.combinations);
    combinations
}

fn point(file: &StudyFile, combination: &Combination, runs: &Path, path: &Path) -> Result<Point> {
    let mut settings = Vec::new();
    let mut changes: Vec<(String, Value)> = Vec::new();
    for &(axis, value) in combination {
        let Some(axis) = file.study.axes.get(axis) else { continue };
        let Some((label, values)) = axis.variants().into_iter().nth(value) else { continue };
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
    let trials = file.study.seeds.iter().map(trial).collect::<Result<_>>()?;
    Ok(Point { settings, trials })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::file::{Study, Values};
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
            seeds: vec![1, 2],
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
            let plan = plan(Design::Random(Random { combinations: 4, seed }));
            plan.points.iter().map(Point::label).collect::<Vec<_>>()
        };
        assert_eq!((some(1).len(), some(1)), (4, some(1)));
        assert_ne!(some(1), some(2));
        assert!(some(1).iter().all(|label| all.points.iter().any(|p| p.label() == *label)));
    }
}

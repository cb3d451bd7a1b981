//! The study file.

use std::collections::HashSet;
use std::hash::Hash;
use std::path::{Path, PathBuf};

use datasets::yaml;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::edit;
use crate::error::{Error, Result};
use crate::recipe::RecipeFile;

/// Columns of the table of results after those of the knobs, which therefore must have other names.
pub(super) const COLUMNS: [&str; 9] = [
    "seed",
    "validation_accuracy",
    "parameters",
    "macs",
    "seconds",
    "epochs_trained",
    "finished",
    "recipe_sha256",
    "parameters_sha256",
];

/// The content of a study file. An unknown key is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Name of the study's folder.
    pub name: String,
    /// One line for people: what is asked.
    pub title: String,
    /// The recipe to start from, relative to the study file.
    pub base: PathBuf,
    /// Fields of the base recipe to change for every run, by path.
    #[serde(default)]
    pub set: Map<String, Value>,
    /// How values are combined.
    #[serde(default)]
    pub design: Design,
    /// Seeds; every combination is trained once with each.
    pub seeds: Seeds,
    /// Points of validation accuracy up to which a difference is too small to matter: without it, no knob can be found
    /// to do nothing.
    #[serde(default)]
    pub matters: Option<f64>,
    /// What is varied.
    pub axes: Vec<Axis>,
    /// Stops combinations early that are behind.
    #[serde(default)]
    pub halving: Option<Halving>,
}

/// Which seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(
    untagged,
    expecting = "seeds: expected a list of whole numbers from 0, or `looks`, a list of how many"
)]
pub enum Seeds {
    /// These, whatever comes out.
    These(Vec<u64>),
    /// From 1 on, until everything is decided.
    Looks(Looks),
}

/// Fields of `seeds`, where their number is not known beforehand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Looks {
    /// After so many seeds the study is looked at, ascending. What is decided then is trained no more; the correction
    /// for several looks (Bonferroni) is in all probabilities and intervals.
    pub looks: Vec<usize>,
}

/// How the values of several axes are combined.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Design {
    /// The base, and from it every value of every axis alone.
    #[default]
    OneAtATime,
    /// Every combination.
    Grid,
    /// So many combinations, drawn at random without repetition.
    Random(Random),
}

/// Fields of `random`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// Number of combinations, at most.
    pub combinations: usize,
    /// Minutes of training, of all runs together, after which no other combination begins.
    #[serde(default)]
    pub minutes: Option<f64>,
    /// Seed of the draw.
    pub seed: u64,
}

/// `(label, changes)` of each value of an axis; a change is a path and what is put there.
pub(crate) type Variants = Vec<(String, Vec<(String, Value)>)>;

/// One knob and the values it is turned to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// What people call it.
    pub knob: String,
    /// Path of the field, such as `batch_size`, `network.conv1.kernel_size` or, for all
    /// convolutions, `network.conv*.kernel_size`. Without it each value is a map from paths to values.
    #[serde(default)]
    pub field: Option<String>,
    /// The values, or names with values. `null` removes a layer.
    pub values: Values,
}

/// Values of an axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged, expecting = "expected a list of values, or values with names")]
pub enum Values {
    /// Named by themselves.
    Plain(Vec<Value>),
    /// With names of their own.
    Named(Map<String, Value>),
}

/// Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943): after each rung the
/// combinations with the lowest mean validation accuracy stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Halving {
    /// Epochs after which to compare, ascending.
    pub rungs: Vec<u32>,
    /// Share of the combinations that goes on, at least one.
    pub keep: f64,
}

/// A study with its base recipe.
#[derive(Debug, Clone)]
pub struct StudyFile {
    /// The parsed study.
    pub study: Study,
    /// The base recipe, with `set` applied.
    pub base: RecipeFile,
}

impl StudyFile {
    /// Reads and checks a study and its base recipe.
    ///
    /// # Errors
    /// [`Error::Data`] with line and column, or [`Error::Recipe`] naming the field.
    pub fn read(path: &Path) -> Result<StudyFile> {
        let text = yaml::read_text(path)?;
        yaml::check_values(&text, path)?;
        let study: Study = yaml::parse(&text, path)?;
        study.check(path)?;
        let base_path = path.parent().unwrap_or(Path::new("")).join(&study.base);
        let base = RecipeFile::read(&base_path)?;
        let changes: Vec<(&str, &Value)> = study.set.iter().map(|(field, v)| (field.as_str(), v)).collect();
        let base = edit::apply(&base.recipe, &changes, path)?;
        Ok(StudyFile { study, base })
    }

    /// The first rung at or after the last epoch, which stops nobody. Where epochs are a knob, there are several last ones.
    pub fn idle_rung(&self) -> Option<u32> {
        let mut fields = self.study.axes.iter().flat_map(Axis::variants).flat_map(|(_, changes)| changes);
        let mut rungs = self.study.halving.iter().flat_map(|halving| &halving.rungs);
        let rung = *rungs.find(|rung| **rung >= self.base.recipe.epochs)?;
        (!fields.any(|(field, _)| field == "epochs")).then_some(rung)
    }
}

/// Field, what was found in it, what was expected.
type Refusal = (String, String, String);

fn refuse(field: &str, found: String, expected: &str) -> std::result::Result<(), Refusal> {
    Err((field.to_owned(), found, expected.to_owned()))
}

impl Study {
    fn check(&self, path: &Path) -> Result<()> {
        let checked = zoo::check_name(&self.name)
            .map_err(|expected| ("name".into(), self.name.clone(), expected))
            .and_then(|()| self.check_seeds())
            .and_then(|()| self.check_axes())
            .and_then(|()| self.check_design());
        checked.map_err(|(field, found, expected)| Error::Recipe {
            path: path.to_owned(),
            field,
            found,
            expected,
        })
    }

    /// Seeds, looks, and what differences are held against.
    fn check_seeds(&self) -> std::result::Result<(), Refusal> {
        // Before they are made, or compared with each other.
        self.check_looks()?;
        if let Seeds::These(seeds) = &self.seeds {
            if seeds.len() > MAX_SEEDS {
                return refuse("seeds", format!("{} seeds", seeds.len()), "at most 1000 seeds");
            }
            if seeds.is_empty() || has_duplicates(seeds) {
                return refuse("seeds", format!("{seeds:?}"), "at least one, each once");
            }
        }
        if let Some(points) = self.matters.filter(|points| !(*points > 0.0 && *points < 100.0)) {
            return refuse("matters", points.to_string(), "points above 0 and below 100");
        }
        Ok(())
    }

    /// Knobs, their values, and the fields that they and `set` change.
    fn check_axes(&self) -> std::result::Result<(), Refusal> {
        let knobs: Vec<&String> = self.axes.iter().map(|axis| &axis.knob).collect();
        if knobs.is_empty() || has_duplicates(&knobs) {
            return refuse("axes", format!("{knobs:?}"), "at least one, each knob once");
        }
        if let Some(knob) = knobs.iter().find(|knob| COLUMNS.contains(&knob.as_str())) {
            let expected = "another name: a column of the results is called that";
            return refuse("axes", format!("knob {knob:?}"), expected);
        }
        let own = ["seed", "dataset"];
        let fields = self.axes.iter().flat_map(Axis::variants).flat_map(|(_, changes)| changes);
        let fields = fields.map(|(field, _)| field).chain(self.set.keys().cloned());
        if let Some(field) = fields.into_iter().find(|field| own.contains(&field.as_str())) {
            let expected = "other fields: seeds are the study's own, and its dataset is the base's";
            return refuse("axes", format!("{field:?}"), expected);
        }
        for axis in &self.axes {
            let labels: Vec<String> = axis.variants().into_iter().map(|(label, _)| label).collect();
            if labels.len() < 2 || has_duplicates(&labels) {
                let field = format!("axes.{}", axis.knob);
                return refuse(&field, format!("{labels:?}"), "two values or more, each once");
            }
        }
        Ok(())
    }

    /// How combinations are drawn, and stopped early.
    fn check_design(&self) -> std::result::Result<(), Refusal> {
        if let Design::Random(Random { combinations, minutes, .. }) = &self.design {
            if *combinations == 0 {
                return refuse("design.random.combinations", "0".into(), "at least 1");
            }
            if let Some(minutes) = minutes.filter(|minutes| !(*minutes > 0.0 && minutes.is_finite())) {
                return refuse("design.random.minutes", minutes.to_string(), "a number above 0");
            }
        }
        if let Some(Halving { rungs, keep }) = &self.halving {
            if rungs.is_empty() || rungs.first() == Some(&0) || !rungs.is_sorted_by(|a, b| a < b) {
                return refuse("halving.rungs", format!("{rungs:?}"), "epochs above 0, ascending");
            }
            if !(*keep > 0.0 && *keep < 1.0) {
                return refuse("halving.keep", keep.to_string(), "above 0 and below 1");
            }
        }
        Ok(())
    }
}

impl Study {
    /// All seeds that there may be, in the order in which they are trained.
    pub fn seeds(&self) -> Vec<u64> {
        match &self.seeds {
            Seeds::These(seeds) => seeds.clone(),
            Seeds::Looks(Looks { looks }) => (1..=looks.last().map_or(0, |&last| last as u64)).collect(),
        }
    }

    /// Numbers of seeds after which the study is looked at.
    pub(crate) fn looks(&self) -> Vec<usize> {
        match &self.seeds {
            Seeds::These(seeds) => vec![seeds.len()],
            Seeds::Looks(Looks { looks }) => looks.clone(),
        }
    }

    fn check_looks(&self) -> std::result::Result<(), Refusal> {
        let Seeds::Looks(Looks { looks }) = &self.seeds else { return Ok(()) };
        let found = format!("{looks:?}");
        if looks.first().is_none_or(|&first| first < 2) || !looks.is_sorted_by(|a, b| a < b) {
            return refuse("seeds.looks", found, "numbers of seeds from 2 on, ascending");
        }
        if looks.last().is_some_and(|&last| last > MAX_SEEDS) {
            return refuse("seeds.looks", found, "at most 1000 seeds");
        }
        if self.halving.is_some() {
            return refuse("halving", "together with seeds.looks".into(), "a list of seeds");
        }
        Ok(())
    }
}

/// Most seeds of a study.
const MAX_SEEDS: usize = 1000;

fn has_duplicates<T: Eq + Hash>(values: &[T]) -> bool {
    let mut known = HashSet::new();
    !values.iter().all(|value| known.insert(value))
}

impl Axis {
    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Values::Plain(values) => values.len(),
            Values::Named(values) => values.len(),
        }
    }

    /// What each value changes.
    pub(crate) fn variants(&self) -> Variants {
        let named: Vec<(String, &Value)> = match &self.values {
            Values::Plain(values) => values.iter().map(|value| (label(value), value)).collect(),
            Values::Named(values) => values.iter().map(|(name, value)| (name.clone(), value)).collect(),
        };
        let changes = |value: &Value| match (&self.field, value) {
            (Some(field), value) => vec![(field.clone(), value.clone())],
            (None, Value::Object(map)) => map.iter().map(|(path, v)| (path.clone(), v.clone())).collect(),
            // Refused by `edit::apply`, with its name.
            (None, other) => vec![(String::new(), other.clone())],
        };
        named.into_iter().map(|(label, value)| (label, changes(value))).collect()
    }
}

/// How a value is called: words and numbers as they are, the rest as JSON.
fn label(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".into(),
        other => other.to_string(),
    }
}

//! What combinations cost in time, measured side by side: seconds of runs that were trained on different days, or beside
//! other programs, cannot be compared.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::execute::write_recipe;
use super::plan::{Plan, Trial};
use crate::error::{Error, Result};
use crate::machine::Processor;

/// File name in a study's folder.
const FILE: &str = "timing.json";

/// Times of a study's combinations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// The processor.
    pub machine: String,
    /// How often all were measured in turn.
    pub alternations: usize,
    /// By combination.
    pub combinations: Vec<Seconds>,
}

/// Time of one combination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seconds {
    /// As people read it.
    pub combination: String,
    /// Median over the alternations of the seconds that 1000 training images take.
    pub per_1000_images: f64,
    /// The fastest and the slowest.
    pub range: [f64; 2],
}

impl Timing {
    /// The times in a study's folder, if they were measured.
    ///
    /// # Errors
    /// [`Error::Run`] if the file is damaged.
    pub fn read(dir: &Path) -> Result<Option<Timing>> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = datasets::yaml::read_text(&path)?;
        serde_json::from_str(&text).map(Some).map_err(|e| Error::run(&path, e.to_string()))
    }

    /// Seconds for 1000 images of a combination.
    pub(crate) fn seconds(&self, combination: &str) -> Option<f64> {
        let found = self.combinations.iter().find(|seconds| seconds.combination == combination);
        found.map(|seconds| seconds.per_1000_images)
    }
}

/// Measures every combination in turn, several times, and writes the times into the study's folder. `measure` trains a
/// recipe for a while in a process of its own and returns its images per second.
///
/// # Errors
/// What `measure` says, or if files cannot be written.
pub fn measure_all(
    plan: &Plan,
    dir: &Path,
    alternations: usize,
    measure: &mut dyn FnMut(&Path) -> Result<f64>,
) -> Result<Timing> {
    let points = plan.points.iter().filter(|point| point.problem.is_none() && point.same_as.is_none());
    let points: Vec<(String, &Trial)> =
        points.filter_map(|point| Some((point.label(), point.trials.first()?))).collect();
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); points.len()];
    for _ in 0..alternations {
        for ((_, trial), seconds) in points.iter().zip(&mut seconds) {
            seconds.push(1000.0 / measure(&write_recipe(dir, trial)?)?.max(1e-9));
        }
    }
    let combinations = points.into_iter().zip(seconds).map(|((combination, _), mut seconds)| {
        seconds.sort_by(f64::total_cmp);
        let rounded = |value: f64| (value * 1e5).round() / 1e5;
        let at = |index: usize| rounded(seconds.get(index).copied().unwrap_or(0.0));
        let range = [at(0), at(seconds.len().saturating_sub(1))];
        Seconds { combination, per_1000_images: at(seconds.len() / 2), range }
    });
    let machine = Processor::detect().to_string();
    let timing = Timing { machine, alternations, combinations: combinations.collect() };
    let text = serde_json::to_string_pretty(&timing).map_err(|e| Error::run(dir, e.to_string()))?;
    zoo::write_atomic(&dir.join(FILE), format!("{text}\n").as_bytes())?;
    Ok(timing)
}

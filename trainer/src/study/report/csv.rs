//! The table of runs.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{Error, Result};
use crate::study::file::{COLUMNS, Study};
use crate::study::plan::Plan;
use crate::study::results::Results;

/// One row for each run, a column for each knob before [`COLUMNS`].
pub(super) fn table(study: &Study, results: &Results) -> String {
    const IN_MEMORY: &str = "writing into memory cannot fail";
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let knobs: Vec<&str> = study.axes.iter().map(|axis| axis.knob.as_str()).collect();
    writer.write_record(knobs.iter().chain(&COLUMNS)).expect(IN_MEMORY);
    for point in &results.points {
        for run in &point.runs {
            let settings = knobs.iter().map(|knob| point.value(knob).unwrap_or("base").to_owned());
            let values = [
                run.seed.to_string(),
                run.accuracy.to_string(),
                point.parameters.to_string(),
                point.macs.to_string(),
                format!("{:.1}", run.seconds),
                run.history.len().to_string(),
                run.finished.to_string(),
                run.recipe_sha256.to_string(),
                run.parameters_sha256.to_string(),
            ];
            writer.write_record(settings.chain(values)).expect(IN_MEMORY);
        }
        for (seed, what) in &point.diverged {
            let settings = knobs.iter().map(|knob| point.value(knob).unwrap_or("base").to_owned());
            let costs = [point.parameters.to_string(), point.macs.to_string()];
            let values = [seed.to_string(), String::new()].into_iter().chain(costs);
            let values = values.chain([String::new(), String::new(), format!("diverged: {what}")]);
            let values = values.chain([String::new(), String::new()]);
            writer.write_record(settings.chain(values)).expect(IN_MEMORY);
        }
    }
    let bytes = writer.into_inner().expect(IN_MEMORY);
    String::from_utf8(bytes).expect("texts and numbers are UTF-8")
}

/// How many finished runs of this plan an earlier table at `path` has that are not among `results`: their folders are gone
/// or on another machine, and a report without them would say less than the one that is there.
///
/// # Errors
/// If the table cannot be read.
pub(super) fn missing(path: &Path, plan: &Plan, results: &Results) -> Result<usize> {
    if !path.exists() {
        return Ok(0);
    }
    let text = datasets::yaml::read_text(path)?;
    let runs = results.points.iter().flat_map(|point| &point.runs);
    let here: BTreeSet<String> =
        runs.filter(|run| run.finished).map(|run| run.recipe_sha256.to_string()).collect();
    let trials = plan.points.iter().flat_map(|point| &point.trials);
    let wanted: BTreeSet<String> = trials.map(|trial| trial.recipe.sha256().to_string()).collect();
    let damaged = |error: ::csv::Error| Error::run(path, error.to_string());
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().map_err(damaged)?.clone();
    let column = |name| headers.iter().position(|header| header == name);
    let (Some(finished), Some(recipe)) = (column("finished"), column("recipe_sha256")) else {
        return Err(Error::run(path, "no columns `finished` and `recipe_sha256`; expected a table of runs"));
    };
    let mut missing = BTreeSet::new();
    for row in reader.records() {
        let row = row.map_err(damaged)?;
        let recipe = row.get(recipe).unwrap_or_default();
        if row.get(finished) == Some("true") && wanted.contains(recipe) && !here.contains(recipe) {
            missing.insert(recipe.to_owned());
        }
    }
    Ok(missing.len())
}

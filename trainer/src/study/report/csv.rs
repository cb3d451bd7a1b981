//! The table of runs.

use crate::study::file::{COLUMNS, Study};
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

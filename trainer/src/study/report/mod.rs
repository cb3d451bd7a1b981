//! What a study says: as a page, as text with tables, and as a table of runs.

mod charts;
mod costs;
mod csv;
mod html;
mod json;
mod markdown;
mod model;
mod wording;

pub(crate) use charts::pareto_front;

use std::path::{Path, PathBuf};

use super::file::StudyFile;
use super::plan::Plan;
use super::results::Results;
use super::timing::Timing;
use crate::error::{Error, Result};

/// The page.
const HTML: &str = "report.html";
/// The same as text with tables.
const MARKDOWN: &str = "report.md";
/// The analysis for programs.
const JSON: &str = "report.json";
/// One row for each run.
const CSV: &str = "results.csv";

/// Writes `report.html`, `report.md`, `report.json` and `results.csv` into `dir`; returns the page's path and what is in
/// `report.json`.
///
/// # Errors
/// [`Error::Study`] without any result, or if the report that is there knows finished runs that these results lack; also if
/// files cannot be written.
pub fn write(
    file: &StudyFile,
    plan: &Plan,
    results: &Results,
    dir: &Path,
) -> Result<(PathBuf, serde_json::Value)> {
    if results.points.iter().all(|point| point.runs.is_empty() && point.diverged.is_empty()) {
        return Err(Error::Study("no run is finished yet; nothing to report".into()));
    }
    let missing = csv::missing(&dir.join(CSV), plan, results)?;
    if missing > 0 {
        let table = dir.join(CSV);
        let problem = format!("{}: has {missing} finished runs whose folders are not here", table.display());
        return Err(Error::Study(format!(
            "{problem}; the report stays as it is: train them again, or write to another folder with --out"
        )));
    }
    let timing = Timing::read(dir)?;
    let report = model::Report::new(file, plan, results, timing.as_ref());
    let json = json::value(&report);
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    zoo::write_atomic(&dir.join(CSV), csv::table(&file.study, results).as_bytes())?;
    zoo::write_atomic(&dir.join(MARKDOWN), markdown::text(&report).as_bytes())?;
    zoo::write_atomic(&dir.join(JSON), format!("{json:#}\n").as_bytes())?;
    let path = dir.join(HTML);
    zoo::write_atomic(&path, html::page(&report)?.as_bytes())?;
    Ok((path, json))
}

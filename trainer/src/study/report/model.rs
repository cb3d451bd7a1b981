//! What a study says: as HTML, Markdown and CSV.

use std::path::{Path, PathBuf};

use super::results::{PointResult, Results};
use super::statistics::{Noise, chance, mean_and_deviation, noise};
use super::{Design, Study, StudyFile, charts, html};
use crate::error::{Error, Result};

/// The page.
pub const HTML: &str = "report.html";
/// The same as text with tables.
pub const MARKDOWN: &str = "report.md";
/// One row for each run.
pub const CSV: &str = "results.csv";

/// Columns of the table after those of the knobs, which therefore must have other names.
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

/// Probability below which a difference is called clear, and likely.
const CLEAR: f64 = 0.01;
const LIKELY: f64 = 0.05;
/// Largest by smallest standard deviation from which a warning is given.
const UNEVEN: f64 = 5.0;

/// Everything that the page and the text have in common.
pub(super) struct Report<'a> {
    pub(super) study: &'a Study,
    pub(super) results: &'a Results,
    pub(super) knobs: Vec<Knob>,
    /// Validation images of a run.
    pub(super) validation: usize,
    pub(super) epochs: u32,
    pub(super) dataset: &'a str,
}

/// One knob's part.
pub(super) struct Knob {
    pub(super) name: String,
    pub(super) groups: Vec<Group>,
    pub(super) sentence: String,
}

/// The runs with one value of a knob.
pub(super) struct Group {
    pub(super) value: String,
    pub(super) is_base: bool,
    /// Validation accuracies, percent.
    pub(super) accuracies: Vec<f64>,
    /// Mean after each epoch, percent.
    pub(super) curve: Vec<(u32, f64)>,
}

impl Group {
    /// The value, marked if it is the base's.
    pub(super) fn name(&self) -> String {
        format!("{}{}", self.value, if self.is_base { " (base)" } else { "" })
    }
}

/// Writes `report.html`, `report.md` and `results.csv` into `dir`; returns the page's path.
///
/// # Errors
/// [`Error::Study`] without any result, or if files cannot be written.
pub fn write(file: &StudyFile, results: &Results, dir: &Path) -> Result<PathBuf> {
    if results.points.iter().all(|point| point.runs.is_empty()) {
        return Err(Error::Study("no run is finished yet; nothing to report".into()));
    }
    let report = Report::new(file, results);
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    zoo::write_atomic(&dir.join(CSV), csv(&file.study, results)?.as_bytes())?;
    zoo::write_atomic(&dir.join(MARKDOWN), report.markdown().as_bytes())?;
    let path = dir.join(HTML);
    zoo::write_atomic(&path, html::page(&report)?.as_bytes())?;
    Ok(path)
}

impl<'a> Report<'a> {
    fn new(file: &'a StudyFile, results: &'a Results) -> Report<'a> {
        let alone = file.study.design == Design::OneAtATime;
        let distinct: Vec<Vec<f64>> = distinct(results).into_iter().map(percent).collect();
        let noise = noise(&distinct);
        let knobs = file.study.axes.iter().map(|axis| knob(axis, results, alone, noise)).collect();
        let recipe = &file.base.recipe;
        Report {
            study: &file.study,
            results,
            knobs,
            validation: recipe.split.validation,
            epochs: recipe.epochs,
            dataset: &recipe.dataset,
        }
    }

    /// Points with results and their `(cost, accuracy in percent)`.
    pub(super) fn costs(&self, cost: impl Fn(&PointResult) -> f64) -> Vec<(f64, f64)> {
        self.with_runs().map(|point| (cost(point), mean_and_deviation(&percent(point)).0)).collect()
    }

    /// Every combination that has runs, once.
    pub(super) fn with_runs(&self) -> impl Iterator<Item = &PointResult> {
        distinct(self.results).into_iter()
    }

    /// What every run has in common, in a sentence.
    pub(super) fn setting(&self) -> String {
        let runs: usize = self.with_runs().map(|point| point.runs.len()).sum();
        format!(
            "{} with {} seeds, {runs} runs of {} epochs on {}, compared by {} validation images each, held out of \
             the training split by the seed. The test split was not read.",
            design(&self.study.design),
            self.study.seeds.len(),
            self.epochs,
            self.dataset,
            self.validation,
        )
    }

    fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n", self.study.title, self.setting());
        for knob in &self.knobs {
            text += &format!("\n## {}\n\n{}\n\n", knob.name, knob.sentence);
            text += "| value | validation accuracy, % | standard deviation | runs |\n|---|---|---|---|\n";
            for group in knob.groups.iter().filter(|group| !group.accuracies.is_empty()) {
                let (mean, deviation) = mean_and_deviation(&group.accuracies);
                let count = group.accuracies.len();
                text += &format!("| {} | {mean:.2} | {deviation:.2} | {count} |\n", group.name());
            }
        }
        text += "\n## All combinations\n\n";
        text += "| combination | validation accuracy, % | parameters | MACs | seconds | Pareto |\n|---|---|---|---|---|---|\n";
        let front = charts::pareto_front(&self.costs(|point| point.macs as f64));
        for (index, point) in self.with_runs().enumerate() {
            let (mean, deviation) = mean_and_deviation(&percent(point));
            let mark = if front.contains(&index) { "MACs" } else { "" };
            let parameters = zoo::grouped(point.parameters as u64);
            let (macs, seconds) = (zoo::grouped(point.macs), point.seconds());
            text += &format!(
                "| {}{} | {mean:.2} ± {deviation:.2} | {parameters} | {macs} | {seconds:.0} | {mark} |\n",
                point.label,
                stopped(point)
            );
        }
        text
    }
}

/// Points with runs, without those that are the runs of an earlier one under another name: the
/// base, and the values that it has already.
fn distinct(results: &Results) -> Vec<&PointResult> {
    let mut points: Vec<&PointResult> = Vec::new();
    let recipe = |point: &PointResult| point.runs.first().map(|run| run.recipe_sha256);
    for point in results.points.iter().filter(|point| !point.runs.is_empty()) {
        if !points.iter().any(|earlier| recipe(earlier) == recipe(point)) {
            points.push(point);
        }
    }
    points
}

/// Says so of a combination that was stopped early.
pub(super) fn stopped(point: &PointResult) -> String {
    match point.runs.iter().find(|run| !run.finished) {
        Some(run) => format!(" (stopped after {} epochs)", run.history.len()),
        None => String::new(),
    }
}

fn design(design: &Design) -> String {
    match design {
        Design::OneAtATime => "One knob at a time".into(),
        Design::Grid => "Every combination".into(),
        Design::Random(random) => format!("{} combinations drawn at random", random.combinations),
    }
}

/// Validation accuracies of a combination's runs, in percent.
pub(super) fn percent(point: &PointResult) -> Vec<f64> {
    point.accuracies().into_iter().map(|accuracy| 100.0 * accuracy).collect()
}

fn knob(axis: &super::Axis, results: &Results, alone: bool, noise: Option<Noise>) -> Knob {
    let base = results.points.iter().find(|point| point.settings.is_empty());
    let base = base.and_then(|point| point.runs.first()).map(|run| run.recipe_sha256);
    let group = |value: String| {
        let points = results
            .points
            .iter()
            .filter(|point| point.value(&axis.knob) == Some(&value) && (!alone || point.settings.len() == 1));
        let points: Vec<&PointResult> = points.collect();
        let first = points.first().and_then(|point| point.runs.first()).map(|run| run.recipe_sha256);
        Group {
            is_base: alone && first.is_some() && first == base,
            accuracies: points.iter().flat_map(|point| percent(point)).collect(),
            curve: mean_curve(&points),
            value,
        }
    };
    let groups: Vec<Group> = axis.variants().into_iter().map(|(value, _)| group(value)).collect();
    Knob { name: axis.knob.clone(), sentence: sentence(&axis.knob, &groups, noise), groups }
}

fn mean_curve(points: &[&PointResult]) -> Vec<(u32, f64)> {
    let curves: Vec<Vec<(u32, f64)>> = points.iter().map(|point| point.curve()).collect();
    let epochs = curves.iter().map(Vec::len).max().unwrap_or(0);
    let mean = |epoch: usize| {
        let values: Vec<f64> =
            curves.iter().filter_map(|curve| curve.get(epoch).map(|(_, y)| 100.0 * y)).collect();
        (epoch as u32 + 1, mean_and_deviation(&values).0)
    };
    (0..epochs).map(mean).collect()
}

/// Effect size and noise, honestly.
fn sentence(knob: &str, groups: &[Group], noise: Option<Noise>) -> String {
    let with_runs = groups.iter().filter(|group| !group.accuracies.is_empty());
    let mut means: Vec<(&str, f64)> =
        with_runs.map(|group| (group.value.as_str(), mean_and_deviation(&group.accuracies).0)).collect();
    means.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (Some((worst, low)), Some((best, high))) = (means.first(), means.last()) else {
        return "No run yet.".into();
    };
    if means.len() < 2 {
        return "Only one value has runs yet.".into();
    }
    let effect = format!(
        "Turning {knob} moves validation accuracy by {:.2} points, from {low:.2} % ({worst}) to {high:.2} % ({best}).",
        high - low
    );
    let accuracies: Vec<Vec<f64>> = groups.iter().map(|group| group.accuracies.clone()).collect();
    let accuracies: Vec<Vec<f64>> = accuracies.into_iter().filter(|values| !values.is_empty()).collect();
    let Some((noise, chance)) = noise.zip(chance(&accuracies, noise)) else {
        return format!("{effect} With one seed each, how much of that is chance is not known.");
    };
    let verdict = match chance {
        p if p < CLEAR => "a clear effect",
        p if p < LIKELY => "probably an effect",
        _ => "not to be told from chance with so few runs",
    };
    let probability = if chance < 0.0001 { "less than 0.0001".into() } else { format!("{chance:.4}") };
    let uneven = if uneven(&accuracies) {
        " The scatter differs much between the values, so that this probability is a rough guide only."
    } else {
        ""
    };
    format!(
        "{effect} Runs that differ only in the seed scatter by {:.2} points (standard deviation); if the knob did \
         nothing, means would lie this far apart with probability {probability} (F test): {verdict}.{uneven}",
        noise.deviation
    )
}

/// Whether the F test's assumption of equal scatter is far from true.
fn uneven(groups: &[Vec<f64>]) -> bool {
    let deviations = groups.iter().filter(|group| group.len() > 1).map(|group| mean_and_deviation(group).1);
    let (low, high) = deviations.fold((f64::MAX, 0f64), |(low, high), d| (low.min(d), high.max(d)));
    high > UNEVEN * low.max(0.05)
}

fn csv(study: &Study, results: &Results) -> Result<String> {
    let wrong = |e: String| Error::Study(format!("{CSV}: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let knobs: Vec<&str> = study.axes.iter().map(|axis| axis.knob.as_str()).collect();
    writer.write_record(knobs.iter().chain(&COLUMNS)).map_err(|e| wrong(e.to_string()))?;
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
            writer.write_record(settings.chain(values)).map_err(|e| wrong(e.to_string()))?;
        }
    }
    let bytes = writer.into_inner().map_err(|e| wrong(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| wrong(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(groups: &[(&str, &[f64])]) -> String {
        let groups: Vec<Group> = groups
            .iter()
            .map(|(value, accuracies)| Group {
                value: (*value).into(),
                is_base: false,
                accuracies: accuracies.to_vec(),
                curve: Vec::new(),
            })
            .collect();
        let accuracies: Vec<Vec<f64>> = groups.iter().map(|group| group.accuracies.clone()).collect();
        sentence("stride", &groups, noise(&accuracies))
    }

    #[test]
    fn effect_and_noise_are_told_apart() {
        let clear = said(&[("1", &[98.0, 98.1, 98.2]), ("2", &[95.0, 95.1, 95.2])]);
        let effect =
            "Turning stride moves validation accuracy by 3.00 points, from 95.10 % (2) to 98.10 % (1).";
        assert!(clear.starts_with(effect) && clear.ends_with("(F test): a clear effect."), "{clear}");
        let nothing = said(&[("1", &[98.0, 98.1, 98.2]), ("2", &[97.9, 98.1, 98.4])]);
        assert!(nothing.ends_with("not to be told from chance with so few runs."), "{nothing}");
        let alone = said(&[("1", &[98.0]), ("2", &[95.0])]);
        assert!(alone.ends_with("With one seed each, how much of that is chance is not known."), "{alone}");
        let uneven = said(&[("1", &[98.0, 98.1, 98.2]), ("2", &[10.0, 50.0, 98.0])]);
        assert!(uneven.ends_with("a rough guide only."), "{uneven}");
        assert_eq!(said(&[("1", &[]), ("2", &[])]), "No run yet.");
        assert_eq!(said(&[("1", &[98.0]), ("2", &[])]), "Only one value has runs yet.");
    }
}

//! Progress bars on stderr.

use std::collections::BTreeSet;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use trainer::history::EpochRow;
use trainer::network::Network;
use trainer::study::results::Results;
use trainer::study::{self, Plan};
use trainer::table::table;
use trainer::train::Observer;

/// A bar for a run, a line for each epoch.
#[derive(Default)]
pub(crate) struct TrainingBar {
    bar: Option<ProgressBar>,
    epochs: u32,
}

impl Observer for TrainingBar {
    fn warn(&mut self, problem: &str) {
        terminal::log(format_args!("warning: {problem}"));
    }

    fn begin(&mut self, network: &Network, first_epoch: u32, epochs: u32, images_per_epoch: usize) {
        terminal::log(table(network).trim_end());
        let total = u64::from(epochs + 1 - first_epoch.min(epochs + 1)) * images_per_epoch as u64;
        let template = "{bar:30} {pos}/{len} images  {per_sec}  ETA {eta}  {msg}";
        let bar = ProgressBar::new(total);
        bar.set_style(style(template));
        self.bar = Some(bar);
        self.epochs = epochs;
    }

    fn step(&mut self, images: usize, loss: f64) {
        if let Some(bar) = &self.bar {
            bar.inc(images as u64);
            bar.set_message(format!("loss {loss:.4}"));
        }
    }

    fn epoch(&mut self, row: &EpochRow) {
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        let validation =
            row.validation_accuracy.map_or(String::new(), |a| format!("  validation {}", percent(a)));
        let train = percent(row.train_accuracy);
        let line = format!(
            "epoch {}/{}  loss {:.4}  train {train}{validation}",
            row.epoch, self.epochs, row.train_loss
        );
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.println(line),
            _ => terminal::log(line),
        }
    }
}

/// A line for each combination of a study, redrawn as runs finish.
pub(crate) struct StudyTable {
    lines: Vec<ProgressBar>,
    runs: usize,
    _all: MultiProgress,
}

impl StudyTable {
    /// A table with nothing done yet.
    pub(crate) fn new(plan: &Plan) -> StudyTable {
        let all = MultiProgress::new();
        let width = plan
            .points
            .iter()
            .map(|point| terminal::escaped(&point.label()).chars().count())
            .max()
            .unwrap_or(0);
        let style = style("{prefix} {bar:12} {pos}/{len}  {msg}");
        let lines = plan.points.iter().map(|point| {
            let line = all.add(ProgressBar::new(point.trials.len() as u64));
            line.set_style(style.clone());
            line.set_prefix(terminal::padded(&terminal::escaped(&point.label()), width));
            line
        });
        StudyTable { lines: lines.collect(), runs: plan.trials().len(), _all: all }
    }
}

impl study::Observer for StudyTable {
    fn progress(&mut self, results: &Results) {
        for (line, point) in self.lines.iter().zip(&results.points) {
            let finished = point.runs.iter().filter(|run| run.finished).count();
            line.set_position(finished as u64);
            let values = point.accuracies();
            if !values.is_empty() {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                line.set_message(format!("validation {:.2} %", 100.0 * mean));
            }
            line.tick();
        }
        if self.lines.first().is_some_and(ProgressBar::is_hidden) {
            // A value that equals the base is the same runs under another name.
            let finished = results.points.iter().flat_map(|point| &point.runs).filter(|run| run.finished);
            let done = finished.map(|run| run.recipe_sha256.to_string()).collect::<BTreeSet<_>>().len();
            let all = self.runs;
            terminal::log(format_args!("{done} of {all} runs finished"));
        }
    }
}

/// A bar for each file that is fetched.
#[derive(Default)]
pub(crate) struct DownloadBar(Option<ProgressBar>);

impl datasets::Progress for DownloadBar {
    fn start(&mut self, file: &str, total: Option<u64>) {
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        bar.set_style(style("{msg} {bar:30} {bytes}/{total_bytes}  ETA {eta}"));
        bar.set_message(terminal::escaped(file));
        self.0 = Some(bar);
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish();
        }
    }
}

fn style(template: &'static str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates here are right")
}

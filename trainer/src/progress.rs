//! Progress bars on stderr.

use indicatif::{ProgressBar, ProgressStyle};
use trainer::history::EpochRow;
use trainer::network::{Network, table};
use trainer::train::Observer;

/// A bar for a run, a line for each epoch.
#[derive(Default)]
pub struct TrainingBar {
    bar: Option<ProgressBar>,
    epochs: u32,
}

impl Observer for TrainingBar {
    fn begin(&mut self, network: &Network, first_epoch: u32, epochs: u32, images_per_epoch: usize) {
        eprint!("{}", table(network));
        let total = u64::from(epochs + 1 - first_epoch.min(epochs + 1)) * images_per_epoch as u64;
        let style = "{bar:30} {pos}/{len} images  {per_sec}  ETA {eta}  {msg}";
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
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
            _ => eprintln!("{line}"),
        }
    }
}

/// A bar for each file that is fetched.
#[derive(Default)]
pub struct DownloadBar(Option<ProgressBar>);

impl datasets::Progress for DownloadBar {
    fn start(&mut self, file: &str, total: Option<u64>) {
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}  ETA {eta}") {
            bar.set_style(style);
        }
        bar.set_message(file.to_owned());
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

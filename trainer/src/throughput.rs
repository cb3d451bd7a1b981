//! How fast a recipe trains here.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datasets::Dataset;
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::error::{Error, Result};
use crate::history::EpochRow;
use crate::network::Network;
use crate::recipe::RecipeFile;
use crate::run::RunDir;
use crate::train::{Observer, Options, train};

/// Steps that are not measured: caches and threads are cold.
const WARM_UP: usize = 5;

/// How fast a recipe trains on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Training images per second, without validation and checkpoints.
    pub images_per_second: f64,
    /// That all epochs take at this speed.
    pub seconds: f64,
    /// Hours of one core that they take, with the recipe's threads.
    pub core_hours: f64,
}

/// Measures about `time` of steps on the CPU; nothing of the training is kept. A teacher is looked for in `zoo`.
///
/// # Errors
/// What is wrong with the recipe or the data, or [`Error::Recipe`] if it has no more than a few steps.
pub fn measure(recipe: &RecipeFile, dataset: &Dataset, zoo: &Path, time: Duration) -> Result<Throughput> {
    let folder = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
    let run = RunDir::open(folder.path(), recipe, false)?;
    let stop = AtomicBool::new(false);
    let mut clock = Clock {
        stop: &stop,
        time,
        warm_up: WARM_UP,
        last: None,
        is_single: false,
        images_per_epoch: 0,
        images: 0,
        spent: Duration::ZERO,
        all: 0.0,
    };
    let options = Options { device: Device::Cpu, resume: false, interrupted: &stop, stop_after: None, zoo };
    match train(recipe, dataset, &run, &options, &mut clock) {
        Ok(_) | Err(Error::Interrupted { .. }) => {}
        Err(error) => return Err(error),
    }
    if clock.images == 0 {
        return Err(Error::Recipe {
            path: recipe.path.clone(),
            field: "batch_size".into(),
            found: recipe.recipe.batch_size.to_string(),
            expected: format!(
                "so few images that there are more than {WARM_UP} steps in all, to measure them"
            ),
        });
    }
    let images_per_second = clock.images as f64 / clock.spent.as_secs_f64();
    let seconds = clock.all / images_per_second;
    let core_hours = seconds * f64::from(recipe.recipe.numeric_profile.threads) / 3600.0;
    Ok(Throughput { images_per_second, seconds, core_hours })
}

/// Adds up the time of steps, without validation and checkpoints.
struct Clock<'a> {
    stop: &'a AtomicBool,
    time: Duration,
    /// Steps to pass over.
    warm_up: usize,
    last: Option<Instant>,
    /// Whether an epoch is one step: from one to the next, its checkpoint is counted too.
    is_single: bool,
    images_per_epoch: usize,
    images: usize,
    spent: Duration,
    /// Images of all epochs.
    all: f64,
}

impl Observer for Clock<'_> {
    fn warn(&mut self, _: &str) {}

    fn begin(&mut self, _: &Network, _: u32, epochs: u32, images_per_epoch: usize) {
        self.all = f64::from(epochs) * images_per_epoch as f64;
        self.images_per_epoch = images_per_epoch;
    }

    fn step(&mut self, images: usize, _: f64) {
        let now = Instant::now();
        self.is_single = images == self.images_per_epoch;
        if self.warm_up > 0 {
            self.warm_up -= 1;
        } else if let Some(last) = self.last {
            self.images += images;
            self.spent += now - last;
        }
        self.last = Some(now);
        if self.images > 0 && self.spent >= self.time {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn epoch(&mut self, _: &EpochRow) {
        self.last = self.is_single.then(Instant::now);
    }
}

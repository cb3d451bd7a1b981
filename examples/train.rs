//! Trains a small network that is written down here, on the first digits of MNIST, and tells how it went:
//! `cargo run -p trainer --example train`. The program `trainer` does the same from a file, under a
//! numeric profile, which makes the bytes the same again.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use datasets::Dataset;
use trainer::history::EpochRow;
use trainer::network::Network;
use trainer::recipe::RecipeFile;
use trainer::run::RunDir;
use trainer::train::{Observer, Options, train};

const RECIPE: &str = "
name: example
description: A small network for an example.
dataset: mnist
seed: 1
split: {validation: 1000, train: 2000}
network:
- conv2d: {features: 8, kernel_size: 5, stride: 2}
- hard_swish
- max_pool: {kernel_size: 2, stride: 2}
- flatten
- dense: {features: 10}
- softmax
optimizer: adam
schedule: {one_cycle: {peak: 0.01}}
epochs: 2
batch_size: 50
";

/// Prints a line for each epoch.
struct Lines;

impl Observer for Lines {
    fn warn(&mut self, problem: &str) {
        println!("warning: {problem}");
    }

    fn begin(&mut self, network: &Network, _: u32, epochs: u32, images_per_epoch: usize) {
        let parameters = network.parameter_count();
        println!("{parameters} parameters, {epochs} epochs of {images_per_epoch} images");
    }

    fn step(&mut self, _: usize, _: f64) {}

    fn epoch(&mut self, row: &EpochRow) {
        let validation = 100.0 * row.validation_accuracy.unwrap_or(f64::NAN);
        println!("epoch {}: loss {:.3}, validation {validation:.1} %", row.epoch, row.train_loss);
    }
}

fn main() -> trainer::Result<()> {
    let recipe = RecipeFile::parse(RECIPE.into(), Path::new("example.yaml"))?;
    let dataset = Dataset::find(Path::new("datasets"), "mnist")?;
    let folder = std::env::temp_dir().join(format!("example-{}", std::process::id()));
    let run = RunDir::open(&folder, &recipe, false)?;
    let options = Options {
        device: tch::Device::Cpu,
        resume: false,
        interrupted: &AtomicBool::new(false),
        stop_after: None,
        zoo: Path::new("zoo"),
    };
    train(&recipe, &dataset, &run, &options, &mut Lines)?;
    println!("weights, history and summary are in {}", folder.display());
    Ok(())
}

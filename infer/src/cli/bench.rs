//! `infer bench`.

use std::time::Duration;

use serde_json::json;
use terminal::ExitStatus;

use super::args::ZooArgs;
use super::render;
use crate::Predictor;
use crate::error::{Error, Result};
use crate::speed::{check as check_speed, speed};

#[derive(clap::Args)]
pub(super) struct BenchArgs {
    /// NAME or NAME@VERSION.
    #[arg(default_value = "mnist-cnn")]
    models: Vec<String>,
    /// Images to a call.
    #[arg(long, value_delimiter = ',', default_value = "1,32,256")]
    batch: Vec<usize>,
    /// Threads that classify independently of each other.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// About how long to measure each combination.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    seconds: f64,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// Prints how fast models run here.
pub(super) fn bench(args: &BenchArgs) -> Result<ExitStatus> {
    let duration = Duration::try_from_secs_f64(args.seconds)
        .map_err(|problem| Error::Usage(format!("--seconds {}: {problem}", args.seconds)))?;
    // All that can be wrong is found before anything is measured.
    let open = |model: &String| Predictor::open(args.zoo.path(), model);
    let predictors = args.models.iter().map(open).collect::<Result<Vec<_>>>()?;
    for (&threads, &batch) in
        args.threads.iter().flat_map(|threads| args.batch.iter().map(move |batch| (threads, batch)))
    {
        check_speed(batch, threads)?;
    }
    let mut results = Vec::new();
    for predictor in &predictors {
        let manifest = predictor.manifest();
        let name = format!("{}@{}", manifest.name, manifest.version);
        for &threads in &args.threads {
            for &batch in &args.batch {
                results.push((name.clone(), speed(predictor.session(), batch, threads, duration)?));
            }
        }
    }
    if args.zoo.json {
        let results = results.iter().map(|(model, speed)| json!({ "model": model, "speed": speed }));
        terminal::json(&results.collect::<Vec<_>>());
    } else {
        terminal::print(render::speeds(&results));
    }
    Ok(ExitStatus::Success)
}

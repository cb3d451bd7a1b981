//! `trainer init`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use datasets::Split;
use serde::Serialize;
use trainer::recipe::RecipeFile;
use trainer::{Error, Result, starter, throughput};

use super::common::whole_dataset;
use super::numeric_profile::enter_profile;

/// How long training is tried to tell how long it takes.
const TRIED: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(super) struct InitArgs {
    /// Name of the dataset.
    dataset: String,
    /// About how long training may take, on two cores.
    #[arg(long, default_value_t = 1.0, value_parser = minutes)]
    minutes: f64,
    /// File of the recipe [default: <dataset>-cnn.yaml].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder of the datasets.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn minutes(text: &str) -> std::result::Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes| (0.05..=10_000.0).contains(minutes));
    minutes.ok_or("expected 0.05 to 10000".into())
}

#[derive(Serialize)]
struct Written {
    recipe: String,
    epochs: u32,
    images: usize,
    /// Absent where there are too few steps to measure.
    images_per_second: Option<f64>,
    estimated_seconds: Option<f64>,
}

pub(super) fn command(args: &InitArgs) -> Result<()> {
    let dataset = whole_dataset(&args.datasets, &args.dataset)?;
    let samples = dataset.load(Split::Train)?;
    let description = datasets::Description { name: args.dataset.clone(), ..dataset.description.clone() };
    let text = starter::recipe(&description, &samples, args.minutes);
    let name = format!("{}.yaml", starter::model_name(&args.dataset));
    let path = args.out.clone().unwrap_or_else(|| name.into());
    if path.exists() {
        return Err(Error::run(&path, "is there already; choose another --out"));
    }
    zoo::refuse_published(&path)?;
    let recipe = RecipeFile::parse(text, &path)?;
    enter_profile(&recipe.recipe.numeric_profile)?;
    let images = trainer::split::split(&recipe, &samples)?.0.len();
    zoo::write_atomic(&path, recipe.text.as_bytes())?;
    // The recipe is good without: of few images there are too few steps.
    let throughput = throughput::measure(&recipe, &dataset, Path::new("zoo"), TRIED)
        .inspect_err(|error| terminal::log(format_args!("its time was not measured: {error}")))
        .ok();
    let written = Written {
        recipe: path.display().to_string(),
        epochs: recipe.recipe.epochs(),
        images,
        images_per_second: throughput.map(|throughput| throughput.images_per_second),
        estimated_seconds: throughput.map(|throughput| throughput.seconds),
    };
    if args.json {
        terminal::json(&written);
        return Ok(());
    }
    terminal::line(format_args!(
        "{}: {} epochs of {} images{}\nnext: trainer publish {}",
        written.recipe,
        written.epochs,
        written.images,
        written.estimated_seconds.map_or(String::new(), |seconds| format!(", about {seconds:.0} s here")),
        written.recipe
    ));
    Ok(())
}

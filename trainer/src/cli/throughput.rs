//! `trainer throughput`.

use std::path::PathBuf;
use std::time::Duration;

use datasets::Dataset;
use trainer::Result;
use trainer::recipe::RecipeFile;
use trainer::throughput;

use super::numeric_profile::enter_profile;

#[derive(clap::Args)]
pub(super) struct ThroughputArgs {
    /// The recipe.
    recipe: PathBuf,
    /// Folder of the datasets.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// The zoo that a teacher is in.
    #[arg(long, default_value = "zoo")]
    zoo: PathBuf,
    /// Seconds of steps.
    #[arg(long, default_value_t = 2.0, value_parser = super::common::seconds)]
    seconds: f64,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn command(args: &ThroughputArgs) -> Result<()> {
    let recipe = RecipeFile::read(&args.recipe)?;
    enter_profile(&recipe.recipe.numeric_profile)?;
    let dataset = Dataset::find(&args.datasets, &recipe.recipe.dataset)?;
    let time = Duration::from_secs_f64(args.seconds);
    let measured = throughput::measure(&recipe, &dataset, &args.zoo, time)?;
    if args.json {
        terminal::json(&measured);
        return Ok(());
    }
    terminal::line(format_args!(
        "{:.0} images/s, {} epochs in {:.0} s, {:.2} core-hours",
        measured.images_per_second,
        recipe.recipe.epochs(),
        measured.seconds,
        measured.core_hours
    ));
    Ok(())
}

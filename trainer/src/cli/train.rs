//! `trainer train`.

use std::path::{Path, PathBuf};

use datasets::Dataset;
use trainer::Result;
use trainer::publish::refusal;
use trainer::recipe::RecipeFile;
use trainer::run::{self, RunDir, RunSummary};
use trainer::train::{Options, train};

use super::common::{Common, options, whole_dataset};
use super::numeric_profile::enter_profile;
use crate::progress::TrainingBar;

#[derive(clap::Args)]
pub(super) struct TrainArgs {
    /// The recipe.
    recipe: PathBuf,
    /// Folder of the run [default: runs/<name>-<recipe hash>].
    #[arg(long)]
    run: Option<PathBuf>,
    /// Go on from the checkpoint in the run folder.
    #[arg(long)]
    resume: bool,
    /// Stop after so many epochs of the recipe's, leaving a checkpoint.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    stop_after: Option<u32>,
    /// The zoo that a teacher is in, if the recipe names one.
    #[arg(long, default_value = "zoo")]
    zoo: PathBuf,
    #[command(flatten)]
    common: Common,
}

pub(super) fn train_command(args: &TrainArgs) -> Result<()> {
    let recipe = RecipeFile::read(&args.recipe)?;
    enter_profile(&recipe.recipe.numeric_profile)?;
    let dataset = Dataset::find(&args.common.datasets, &recipe.recipe.dataset)?;
    if let Some(refusal) = refusal(&recipe, &dataset)? {
        terminal::log(format_args!("warning: the network cannot be published: {refusal}"));
    }
    let path = args.run.clone().unwrap_or_else(|| run::default_path(&recipe));
    match train_recipe(&recipe, &path, args.resume, args.stop_after, (&args.common, &args.zoo))? {
        Some(summary) => print_summary(&summary, &path, args.common.json),
        None => {
            let epoch =
                args.stop_after.expect("nothing else ends a training before its last epoch without an error");
            match args.common.json {
                true => terminal::json(
                    &serde_json::json!({ "stopped_after": epoch, "run": path.display().to_string() }),
                ),
                false => terminal::line(format_args!("stopped after epoch {epoch}, in {}", path.display())),
            }
            Ok(())
        }
    }
}

/// `None` if it stopped before the recipe's last epoch.
pub(super) fn train_recipe(
    recipe: &RecipeFile,
    path: &Path,
    resume: bool,
    stop_after: Option<u32>,
    (common, zoo): (&Common, &Path),
) -> Result<Option<RunSummary>> {
    let dataset = whole_dataset(&common.datasets, &recipe.recipe.dataset)?;
    let options = Options { stop_after, ..options(resume, common, zoo)? };
    recipe.build_network(&dataset.description)?;
    let run = RunDir::open(path, recipe, resume)?;
    train(recipe, &dataset, &run, &options, &mut TrainingBar::default())
}

fn print_summary(summary: &RunSummary, path: &Path, json: bool) -> Result<()> {
    if json {
        terminal::json(summary);
        return Ok(());
    }
    let validation = summary.validation.map_or(String::new(), |count| {
        format!(", validation {}/{} = {:.2} %", count.correct, count.total, 100.0 * count.share())
    });
    terminal::line(format_args!(
        "{}: epoch {} of {}{validation}, {:.0} s, in {}",
        summary.name,
        summary.selected_epoch,
        summary.epochs,
        summary.seconds,
        path.display()
    ));
    Ok(())
}

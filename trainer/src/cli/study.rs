//! `trainer study`.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Subcommand, ValueEnum};
use datasets::{Dataset, Split};
use trainer::recipe::RecipeFile;
use trainer::study::results::{self, Results};
use trainer::study::{self, Plan, StudyFile, Workers, execute};
use trainer::train::check_images;
use trainer::{Error, Result};

use super::common::{INTERRUPTED, handle_interrupts};
use crate::progress::{DownloadBar, StudyTable};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct StudyArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    study: StudyFolders,
    /// Write a job for a cluster instead of training here.
    #[arg(long, value_enum)]
    plan: Option<Cluster>,
    /// Runs at a time [default: processors / threads of the base recipe].
    #[arg(long)]
    workers: Option<usize>,
}

#[derive(Subcommand)]
enum Action {
    /// Writes the report of the runs that are there, without training.
    Collect(StudyFolders),
}

#[derive(clap::Args)]
struct StudyFolders {
    /// The study.
    #[arg(required = true)]
    study: Option<PathBuf>,
    /// Folder of the report [default: beside the study, named like it].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder of the runs; finished ones are found there and not trained again.
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// Folder of the datasets.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Cluster {
    /// A job array for `sbatch`.
    Slurm,
}

/// A study and everything it needs, read and checked.
struct Opened {
    file: StudyFile,
    plan: Plan,
    dataset: Dataset,
    out: PathBuf,
}

pub(super) fn command(args: &StudyArgs) -> Result<()> {
    let folders = match &args.action {
        Some(Action::Collect(folders)) => folders,
        None => &args.study,
    };
    let opened = open(folders)?;
    match (&args.action, args.plan) {
        (Some(Action::Collect(_)), _) => report(&opened, folders),
        (None, Some(Cluster::Slurm)) => {
            let trainer = std::env::current_exe().map_err(Error::io(Path::new("trainer")))?;
            let Opened { file, plan, out, dataset } = &opened;
            datasets::download_missing(dataset, &mut DownloadBar::default())?;
            check(plan, dataset)?;
            let job = study::write_job(file, plan, out, &trainer, &folders.datasets)?;
            terminal::line(format_args!("{}", job.display()));
            terminal::log("submit it with sbatch from this folder, then: trainer study collect STUDY");
            Ok(())
        }
        (None, None) => {
            train(&opened, folders, args.workers)?;
            report(&opened, folders)
        }
    }
}

fn open(folders: &StudyFolders) -> Result<Opened> {
    let path = folders.study.as_deref().unwrap_or(Path::new("study.yaml"));
    let file = StudyFile::read(path)?;
    let plan = Plan::new(&file, &folders.runs, path)?;
    let dataset = Dataset::find(&folders.datasets, &file.base.recipe.dataset)?;
    let out = folders.out.clone().unwrap_or_else(|| path.with_file_name(&file.study.name));
    Ok(Opened { file, plan, dataset, out })
}

fn train(opened: &Opened, folders: &StudyFolders, workers: Option<usize>) -> Result<()> {
    let Opened { file, plan, dataset, out } = opened;
    datasets::download_missing(dataset, &mut DownloadBar::default())?;
    check(plan, dataset)?;
    handle_interrupts()?;
    let trainer = std::env::current_exe().map_err(Error::io(Path::new("trainer")))?;
    let command = |recipe: &Path, run: &Path, epochs: Option<u32>| {
        let mut command = Command::new(&trainer);
        command.arg("train").arg(recipe).arg("--run").arg(run).args(["--resume", "--json"]);
        command.arg("--datasets").arg(&folders.datasets);
        if let Some(epochs) = epochs {
            command.args(["--stop-after", &epochs.to_string()]);
        }
        command
    };
    let count = workers.unwrap_or_else(|| default_workers(&file.base));
    let workers = Workers { count, command: &command, dir: out, interrupted: &INTERRUPTED };
    execute(&file.study, plan, dataset, &workers, &mut StudyTable::new(plan))
}

/// A network that cannot be, or too few images for a batch, are found before the first run, not after
/// the tenth.
fn check(plan: &Plan, dataset: &Dataset) -> Result<()> {
    let images = dataset.load(Split::Train)?.len();
    for point in &plan.points {
        for trial in &point.trials {
            let recipe = &trial.recipe.recipe;
            let network = recipe.build_network(&dataset.description);
            network
                .and_then(|network| check_images(recipe, &network, images))
                .map_err(|error| Error::Study(format!("{}: {error}", point.label())))?;
        }
    }
    Ok(())
}

/// As many runs as the processors can take with the threads that each uses.
fn default_workers(base: &RecipeFile) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / base.recipe.numeric_profile.threads.max(1) as usize).max(1)
}

fn report(opened: &Opened, folders: &StudyFolders) -> Result<()> {
    let results = results::collect(&opened.plan, &opened.dataset)?;
    let page = study::report::write(&opened.file, &results, &opened.out)?;
    if folders.json {
        terminal::line(format_args!("{:#}", json(&results, &page)));
    } else {
        terminal::line(format_args!("{}", page.display()));
    }
    Ok(())
}

fn json(results: &Results, page: &Path) -> serde_json::Value {
    let points = results.points.iter().map(|point| {
        let runs = point.runs.iter().map(|run| {
            serde_json::json!({
                "seed": run.seed,
                "validation_accuracy": run.accuracy,
                "finished": run.finished,
                "recipe_sha256": run.recipe_sha256,
                "parameters_sha256": run.parameters_sha256,
            })
        });
        serde_json::json!({ "combination": point.label, "runs": runs.collect::<Vec<_>>() })
    });
    serde_json::json!({ "report": page.display().to_string(), "combinations": points.collect::<Vec<_>>() })
}

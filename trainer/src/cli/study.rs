//! `trainer study`.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Subcommand, ValueEnum};
use datasets::{Dataset, Split};
use trainer::recipe::RecipeFile;
use trainer::study::results::{self, Results};
use trainer::study::{self, Plan, StudyFile, Workers, execute};
use trainer::throughput::Throughput;
use trainer::{Error, Result};

use super::common::{INTERRUPTED, handle_interrupts, seconds};
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
    #[arg(long, conflicts_with = "plan", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
}

#[derive(Subcommand)]
enum Action {
    /// Writes the report of the runs that are there, without training.
    Collect(StudyFolders),
    /// Measures what each combination costs in time, side by side, and writes the report with it.
    ///
    /// Nothing else should compute meanwhile.
    Time(TimeArgs),
}

#[derive(clap::Args)]
struct TimeArgs {
    #[command(flatten)]
    study: StudyFolders,
    /// How often all combinations are measured in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..1000))]
    alternations: u16,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
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
    /// The zoo that a teacher is in, if the base recipe names one.
    #[arg(long, default_value = "zoo")]
    zoo: PathBuf,
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
        Some(Action::Time(time)) => &time.study,
        None => &args.study,
    };
    let opened = open(folders)?;
    match (&args.action, args.plan) {
        (Some(Action::Collect(_)), _) => report(&opened, folders),
        (Some(Action::Time(time)), _) => {
            let mut measure = |recipe: &Path| measure(recipe, folders, time.seconds);
            study::timing::measure_all(&opened.plan, &opened.out, time.alternations.into(), &mut measure)?;
            report(&opened, folders)
        }
        (None, Some(Cluster::Slurm)) => plan_for_slurm(&opened, folders),
        (None, None) => {
            let trained = train(&opened, folders, args.workers.map(usize::from));
            if let Err(error) = &trained {
                // What is there is worth a report all the same.
                if report(&opened, folders).is_ok() {
                    terminal::log(format_args!("the report has what was trained before: {error}"));
                }
                return trained;
            }
            report(&opened, folders)
        }
    }
}

/// Reads a study and finds out which of its combinations cannot be.
fn open(folders: &StudyFolders) -> Result<Opened> {
    let path = folders.study.as_deref().unwrap_or(Path::new("study.yaml"));
    let file = StudyFile::read(path)?;
    let mut plan = Plan::new(&file, &folders.runs, path)?;
    let dataset = Dataset::find(&folders.datasets, &file.base.recipe.dataset)?;
    datasets::download_missing(&dataset, &mut DownloadBar::default())?;
    plan.examine(&dataset.description, dataset.load(Split::Train)?.len())?;
    for (label, problem) in plan.problems() {
        terminal::log(format_args!("warning: {label} cannot be: {problem}"));
    }
    if let Some(rung) = file.idle_rung() {
        let epochs = file.base.recipe.epochs();
        terminal::log(format_args!(
            "warning: halving.rungs: found {rung}, which stops nobody: a run has {epochs} epochs"
        ));
    }
    let out = folders.out.clone().unwrap_or_else(|| path.with_file_name(&file.study.name));
    zoo::refuse_published(&out)?;
    // Before hours of training are.
    std::fs::create_dir_all(&out).map_err(Error::io(&out))?;
    Ok(Opened { file, plan, dataset, out })
}

fn plan_for_slurm(opened: &Opened, folders: &StudyFolders) -> Result<()> {
    let trainer = this_program()?;
    let words = |action: &[&str], options: &[&str]| -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let study = folders.study.as_deref().map_or_else(|| "study.yaml".into(), path);
        let folders = [
            ("--out", &opened.out),
            ("--runs", &folders.runs),
            ("--datasets", &folders.datasets),
            ("--zoo", &folders.zoo),
        ];
        let mut words = vec!["study".to_owned()];
        words.extend(action.iter().map(|word| (*word).to_owned()));
        words.push(study);
        words.extend(folders.into_iter().flat_map(|(option, folder)| [option.to_owned(), path(folder)]));
        words.extend(options.iter().map(|word| (*word).to_owned()));
        words
    };
    let commands = study::Commands {
        trainer: &trainer,
        datasets: &folders.datasets,
        zoo: &folders.zoo,
        plan: &words(&[], &["--plan", "slurm"]),
        collect: &words(&["collect"], &[]),
    };
    match study::write_job(&opened.file, &opened.plan, &opened.dataset, &opened.out, &commands)? {
        Some(job) => {
            match folders.json {
                true => terminal::json(&serde_json::json!({ "job": job.display().to_string() })),
                false => terminal::line(format_args!("{}", job.display())),
            }
            terminal::log("submit it with sbatch from this folder, then: trainer study collect STUDY");
        }
        None => {
            if folders.json {
                terminal::json(&serde_json::json!({ "job": null }));
            }
            terminal::log("every run is finished; nothing to plan");
        }
    }
    Ok(())
}

fn this_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(Error::io(Path::new("trainer")))
}

/// Images per second of a recipe, in a process of its own: libtorch takes its threads once for a process.
fn measure(recipe: &Path, folders: &StudyFolders, seconds: f64) -> Result<f64> {
    let mut command = Command::new(this_program()?);
    command.arg("throughput").arg(recipe);
    command.arg("--datasets").arg(&folders.datasets).arg("--zoo").arg(&folders.zoo);
    let output =
        command.args(["--json", "--seconds", &seconds.to_string()]).output().map_err(Error::io(recipe))?;
    let measured: Option<Throughput> = serde_json::from_slice(&output.stdout).ok();
    measured.map(|throughput| throughput.images_per_second).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        let problem = said.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or(said.trim());
        Error::run(recipe, format!("not measured: {problem}"))
    })
}

fn train(opened: &Opened, folders: &StudyFolders, workers: Option<usize>) -> Result<()> {
    let Opened { file, plan, dataset, out } = opened;
    // Longer than the runs are given to save.
    handle_interrupts(2 * study::GRACE)?;
    let trainer = this_program()?;
    let command = |recipe: &Path, run: &Path, epochs: Option<u32>| {
        let mut command = Command::new(&trainer);
        command.arg("train").arg(recipe).arg("--run").arg(run).args(["--resume", "--json"]);
        command.arg("--datasets").arg(&folders.datasets).arg("--zoo").arg(&folders.zoo);
        if let Some(epochs) = epochs {
            command.args(["--stop-after", &epochs.to_string()]);
        }
        command
    };
    let count = workers.unwrap_or_else(|| default_workers(&file.base));
    announce(opened, folders, count)?;
    let workers = Workers { count, command: &command, dir: out, interrupted: &INTERRUPTED };
    execute(file, plan, dataset, &workers, &mut StudyTable::new(plan))
}

/// Says how long it will take, before it begins.
fn announce(opened: &Opened, folders: &StudyFolders, workers: usize) -> Result<()> {
    let Opened { file, plan, dataset, out } = opened;
    let Some(stage) = study::next(file, plan, dataset)? else { return Ok(()) };
    let images = dataset.load(Split::Train)?.len();
    let mut measure =
        |trial: &study::Trial| measure(&study::write_recipe(out, trial)?, folders, ESTIMATE_SECONDS);
    let runs = stage.trials.len();
    let more =
        if stage.is_first_of_several(&file.study) { "; what comes out says whether more follow" } else { "" };
    // A run of a few steps is over before it is measured.
    match stage.estimate(&dataset.description, images, &mut measure) {
        Ok(time) => {
            let minutes = time.as_secs_f64() / 60.0 / workers.clamp(1, runs.max(1)) as f64;
            terminal::log(format_args!("{runs} runs, about {minutes:.1} minutes{more}"));
        }
        Err(error) => terminal::log(format_args!("{runs} runs{more} ({error})")),
    }
    Ok(())
}

/// Of training, to estimate the time of a study.
const ESTIMATE_SECONDS: f64 = 1.0;

/// As many runs as the processors can take with the threads that each uses.
fn default_workers(base: &RecipeFile) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / base.recipe.numeric_profile.threads.max(1) as usize).max(1)
}

fn report(opened: &Opened, folders: &StudyFolders) -> Result<()> {
    let results = results::collect(&opened.plan, &opened.dataset)?;
    let (page, analysis) = study::report::write(&opened.file, &opened.plan, &results, &opened.out)?;
    if folders.json {
        terminal::line(format_args!("{:#}", json(&results, &page, analysis)));
    } else {
        terminal::line(format_args!("{}", page.display()));
    }
    Ok(())
}

fn json(results: &Results, page: &Path, analysis: serde_json::Value) -> serde_json::Value {
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
        let diverged =
            point.diverged.iter().map(|(seed, what)| serde_json::json!({ "seed": seed, "what": what }));
        serde_json::json!({
            "combination": point.label,
            "runs": runs.collect::<Vec<_>>(),
            "diverged": diverged.collect::<Vec<_>>(),
            "problem": point.problem,
        })
    });
    serde_json::json!({
        "report": page.display().to_string(),
        "combinations": points.collect::<Vec<_>>(),
        "analysis": analysis,
    })
}

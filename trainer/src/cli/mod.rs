//! Arguments and what they call.

mod import;
mod look;
mod reproduce;
mod study;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand, ValueEnum};
use datasets::Dataset;
use terminal::ExitStatus;
use trainer::profile::NumericProfile;
use trainer::publish;
use trainer::recipe::RecipeFile;
use trainer::run::{self, RunDir, RunSummary};
use trainer::train::{Options, train};
use trainer::{Error, Result};
use zoo::signature::PrivateKey;
use zoo::{Spec, VersionDir, Zoo};

use crate::progress::{DownloadBar, TrainingBar};

/// Set by Ctrl-C; the training loop saves and stops.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Marks a process that has executed itself again for its numeric profile.
const PROFILE_MARK: &str = "TRAINER_NUMERIC_PROFILE";

/// Trains convolutional networks and publishes them into a zoo.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fits a recipe's network; leaves model, history and checkpoint in a run folder.
    Train(TrainArgs),
    /// Trains what is not trained yet and adds the result to a zoo as a new version.
    Publish(PublishArgs),
    /// Prints the JSON schema of a file format.
    Schema {
        /// Which one.
        #[arg(value_enum)]
        format: Format,
    },
    /// Makes a dataset of your own images: folders, CSV or IDX.
    Import(import::ImportArgs),
    /// Shows a recipe's network: shapes, receptive fields, counts, memory.
    Inspect(look::InspectArgs),
    /// Draws what a published model does: feature maps, and validation images it gets wrong.
    Pictures(look::PicturesArgs),
    /// Draws what training sees: images and their augmented copies, as PNG.
    Preview(look::PreviewArgs),
    /// Trains variations of a recipe and reports what each knob does.
    Study(study::StudyArgs),
    /// Retrains a published model and compares it with what was published.
    Reproduce(reproduce::ReproduceArgs),
}

#[derive(clap::Args)]
struct PublishArgs {
    /// Recipes. One whose newest version was made by the same recipe from the same data is skipped.
    #[arg(required_unless_present = "run")]
    recipes: Vec<PathBuf>,
    /// Publish this finished run instead of training.
    #[arg(long, conflicts_with = "recipes")]
    run: Option<PathBuf>,
    /// Publish a new version even if the newest one is by the same recipe.
    #[arg(long)]
    again: bool,
    /// The zoo.
    #[arg(long, default_value = "zoo")]
    zoo: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct TrainArgs {
    /// The recipe.
    recipe: PathBuf,
    /// Folder of the run [default: runs/<name>-<recipe hash>].
    #[arg(long)]
    run: Option<PathBuf>,
    /// Go on from the checkpoint in the run folder.
    #[arg(long)]
    resume: bool,
    /// Stop after so many epochs of the recipe's, leaving a checkpoint.
    #[arg(long)]
    stop_after: Option<u32>,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct Common {
    /// Folder of the datasets.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Manifest,
    Recipe,
    Study,
}

impl Format {
    fn schema(self) -> String {
        let schema = match self {
            Format::Manifest => trainer::schema::manifest(),
            Format::Recipe => trainer::schema::recipe(),
            Format::Study => trainer::schema::study(),
        };
        format!("{schema:#}")
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Device {
    Cpu,
    Cuda,
}

impl Device {
    fn open(self) -> Result<tch::Device> {
        match self {
            Device::Cpu => Ok(tch::Device::Cpu),
            Device::Cuda if tch::Cuda::is_available() => Ok(tch::Device::Cuda(0)),
            Device::Cuda => Err(Error::Device("cuda".into())),
        }
    }
}

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    terminal::run("trainer", || match terminal::moved("trainer", &[("sign", "zoo sign")]) {
        Some(status) => status,
        None => run(Cli::parse().command).unwrap_or_else(|error| report(&error)),
    })
}

fn run(command: Command) -> Result<ExitStatus> {
    match command {
        Command::Reproduce(args) => return reproduce::command(&args),
        Command::Train(args) => train_command(&args)?,
        Command::Publish(args) => publish_command(&args)?,
        Command::Import(args) => import::command(&args)?,
        Command::Inspect(args) => look::inspect_command(&args)?,
        Command::Pictures(args) => look::pictures_command(&args)?,
        Command::Preview(args) => look::preview_command(&args)?,
        Command::Study(args) => study::command(&args)?,
        Command::Schema { format } => terminal::line(format.schema()),
    }
    Ok(ExitStatus::Success)
}

fn report(error: &Error) -> ExitStatus {
    terminal::error(error, hint(error));
    match error {
        Error::SelfCheck { .. } => ExitStatus::CheckFailed,
        _ => ExitStatus::Usage,
    }
}

fn hint(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Data(datasets::Error::Missing { .. }) => "name the folder of the datasets with --datasets",
        Error::Interrupted { .. } => "the same command with --resume goes on from there",
        Error::Study(_) => "runs that are finished are kept; the same command goes on with the rest",
        Error::Device(_) => "set LIBTORCH to a CUDA libtorch and build again, or use --device cpu",
        _ => return None,
    })
}

fn train_command(args: &TrainArgs) -> Result<()> {
    let recipe = RecipeFile::read(&args.recipe)?;
    enter_profile(&recipe.recipe.numeric_profile)?;
    let path = args.run.clone().unwrap_or_else(|| run::default_path(&recipe));
    match train_recipe(&recipe, &path, args.resume, args.stop_after, &args.common)? {
        Some(summary) => print_summary(&summary, &path, args.common.json),
        None => Ok(()),
    }
}

/// `None` if it stopped before the recipe's last epoch.
fn train_recipe(
    recipe: &RecipeFile,
    path: &Path,
    resume: bool,
    stop_after: Option<u32>,
    common: &Common,
) -> Result<Option<RunSummary>> {
    let dataset = whole_dataset(&common.datasets, &recipe.recipe.dataset)?;
    let options = Options { stop_after, ..options(resume, common)? };
    recipe.recipe.build_network(&dataset.description)?;
    let run = RunDir::open(path, recipe, resume)?;
    train(recipe, &dataset, &run, &options, &mut TrainingBar::default())
}

/// How to train, with Ctrl-C set up to save and stop.
fn options(resume: bool, common: &Common) -> Result<Options<'static>> {
    handle_interrupts()?;
    Ok(Options { device: common.device.open()?, resume, interrupted: &INTERRUPTED, stop_after: None })
}

fn handle_interrupts() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .or_else(|e| if matches!(e, ctrlc::Error::MultipleHandlers) { Ok(()) } else { Err(e) })
        .map_err(|e| Error::run(Path::new("Ctrl-C"), e.to_string()))
}

/// A dataset, with the files that were missing fetched from its mirrors.
fn whole_dataset(root: &Path, name: &str) -> Result<Dataset> {
    let dataset = Dataset::find(root, name)?;
    datasets::download_missing(&dataset, &mut DownloadBar::default())?;
    Ok(dataset)
}

/// A zoo and the version in it that `model` names.
fn open_version(zoo: &Path, model: &str) -> Result<(Zoo, VersionDir)> {
    let spec: Spec = model.parse().map_err(|e| Error::run(Path::new(model), e))?;
    let zoo = Zoo::open(zoo)?;
    let version = zoo.version(&spec)?;
    Ok((zoo, version))
}

fn read_key(path: &Path) -> Result<PrivateKey> {
    let text = datasets::yaml::read_text(path)?;
    PrivateKey::from_pem(&text).map_err(|problem| Error::run(path, problem))
}

fn publish_command(args: &PublishArgs) -> Result<()> {
    let runs: Vec<PathBuf> = args.run.iter().cloned().collect();
    let from_runs = runs.iter().map(|run| (run.join(run::RECIPE), Some(run.clone())));
    let from_recipes = args.recipes.iter().map(|recipe| (recipe.clone(), None));
    let jobs = from_runs
        .chain(from_recipes)
        .map(|(path, run)| Ok((RecipeFile::read(&path)?, run)))
        .collect::<Result<Vec<_>>>()?;
    let profiles: Vec<&NumericProfile> =
        jobs.iter().map(|(recipe, _)| &recipe.recipe.numeric_profile).collect();
    if let Some(profile) = profiles.first() {
        if profiles.iter().any(|other| other != profile) {
            let problem = "the recipes have different numeric profiles; publish them one by one";
            return Err(Error::run(Path::new("numeric_profile"), problem));
        }
        enter_profile(profile)?;
    }
    let zoo = Zoo::create(&args.zoo)?;
    let mut published = Vec::new();
    for (recipe, run) in &jobs {
        let dataset = Dataset::find(&args.common.datasets, &recipe.recipe.dataset)?;
        let existing =
            publish::already_published(&zoo, recipe, &dataset)?.filter(|_| !args.again && run.is_none());
        let new = existing.is_none();
        let version = match existing {
            Some(version) => version,
            None => publish_recipe(recipe, run.as_deref(), &dataset, &zoo, &args.common)?,
        };
        if !args.common.json {
            let manifest = &version.manifest;
            let share = 100.0 * manifest.test.correct.share();
            let verb = if new { "published" } else { "already published by this recipe:" };
            terminal::line(format_args!(
                "{verb} {}@{}  test {} = {share:.2} %  {}",
                manifest.name,
                manifest.version,
                manifest.test.correct,
                version.path.display()
            ));
        }
        published.push(serde_json::json!({ "new": new, "path": version.path, "manifest": version.manifest }));
    }
    if args.common.json {
        terminal::json(&published);
    }
    Ok(())
}

fn publish_recipe(
    recipe: &RecipeFile,
    run: Option<&Path>,
    dataset: &Dataset,
    zoo: &Zoo,
    common: &Common,
) -> Result<VersionDir> {
    let path = run.map_or_else(|| run::default_path(recipe), Path::to_owned);
    if run.is_none() {
        train_recipe(recipe, &path, true, None, common)?;
    }
    publish::publish(&path, dataset, zoo)
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

/// Executes this program again under the profile's environment, unless it is in force.
fn enter_profile(profile: &NumericProfile) -> Result<()> {
    if let Some(obstacle) = profile.obstacle() {
        terminal::log(format_args!(
            "warning: numeric profile {:?}: {obstacle}; the bytes will differ from those of a machine that has it",
            profile.isa
        ));
    }
    if profile.is_active() {
        return Ok(());
    }
    if std::env::var_os(PROFILE_MARK).is_some() {
        return Err(Error::run(Path::new("numeric profile"), "could not be set for this process"));
    }
    let program = std::env::current_exe().map_err(Error::io(Path::new("trainer")))?;
    let mut command = std::process::Command::new(&program);
    command.args(std::env::args_os().skip(1)).envs(profile.environment()).env(PROFILE_MARK, "1");
    Err(replace_process(command, &program))
}

#[cfg(unix)]
fn replace_process(mut command: std::process::Command, program: &Path) -> Error {
    use std::os::unix::process::CommandExt;
    Error::io(program)(command.exec())
}

#[cfg(not(unix))]
fn replace_process(mut command: std::process::Command, program: &Path) -> Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(2)),
        Err(error) => Error::io(program)(error),
    }
}

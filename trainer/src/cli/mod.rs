//! Arguments and what they call.

mod audit;
mod common;
mod doctor;
mod import;
mod init;
mod look;
mod numeric_profile;
mod publish;
mod reproduce;
mod study;
mod throughput;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use terminal::ExitStatus;
use trainer::{Error, Result};

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
    Train(train::TrainArgs),
    /// Trains what is not trained yet and adds the result to a zoo as a new version.
    Publish(publish::PublishArgs),
    /// Prints the JSON schema of a file format.
    Schema {
        /// Which one.
        #[arg(value_enum)]
        format: Format,
    },
    /// Makes a dataset of your own images: folders, archives, lists, tables, arrays.
    Import(Box<import::ImportArgs>),
    /// Writes a first recipe for a dataset, and says how long it takes.
    Init(init::InitArgs),
    /// Finds labels of a dataset that are probably wrong.
    Audit(audit::AuditArgs),
    /// Shows a recipe's network: shapes, receptive fields, counts, memory.
    Inspect(look::InspectArgs),
    /// Draws what a published model does: feature maps, and validation images it gets wrong.
    Pictures(look::PicturesArgs),
    /// Draws accuracy against cost for the versions of a zoo, a picture for each dataset.
    Front(look::FrontArgs),
    /// Draws what training sees: images and their augmented copies, as PNG.
    Preview(look::PreviewArgs),
    /// Trains variations of a recipe and reports what each knob does.
    Study(study::StudyArgs),
    /// Retrains a published model and compares it with what was published.
    Reproduce(reproduce::ReproduceArgs),
    /// Measures how fast a recipe trains here, and says how long it takes.
    Throughput(throughput::ThroughputArgs),
    /// Says what this machine is, and whether it trains to the same bytes as others.
    Doctor(doctor::DoctorArgs),
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

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    terminal::run("trainer", || match terminal::moved("trainer", &[("sign", "zoo sign")]) {
        Some(status) => status,
        None => terminal::command_line(|cli: Cli| run(cli.command).unwrap_or_else(|error| report(&error))),
    })
}

fn run(command: Command) -> Result<ExitStatus> {
    match command {
        Command::Reproduce(args) => return reproduce::command(&args),
        Command::Doctor(args) => return doctor::command(&args),
        Command::Front(args) => return look::front_command(&args),
        Command::Train(args) => train::train_command(&args)?,
        Command::Publish(args) => publish::publish_command(&args)?,
        Command::Import(args) => import::command(&args)?,
        Command::Init(args) => init::command(&args)?,
        Command::Audit(args) => audit::command(&args)?,
        Command::Inspect(args) => look::inspect_command(&args)?,
        Command::Pictures(args) => look::pictures_command(&args)?,
        Command::Preview(args) => look::preview_command(&args)?,
        Command::Study(args) => study::command(&args)?,
        Command::Throughput(args) => throughput::command(&args)?,
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
        Error::Interrupted { .. } => {
            "the same command goes on from there; train, and reproduce with --run, want --resume"
        }
        Error::Study(_) => "runs that are finished are kept; the same command goes on with the rest",
        Error::Device(_) => "set LIBTORCH to a CUDA libtorch and build again, or use --device cpu",
        _ => return None,
    })
}

//! The command line of `zoo`.

mod adopt;
mod aliases;
mod diff;
mod export;
mod index;
mod lint;
mod registry;
mod serve;
mod sign;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use infer::cli::{ShowArgs, VerifyArgs, ZooArgs};
use terminal::ExitStatus;

use crate::error::{Error, Result};

/// Keeps and serves a model zoo.
#[derive(Parser)]
#[command(name = "zoo", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the models of a zoo.
    List(ZooArgs),
    /// Prints a model's card.
    Show(ShowArgs),
    /// Re-checks files, golden outputs and the exact test accuracy of published models.
    Verify(VerifyArgs),
    /// Serves models over HTTP (Open Inference Protocol v2), with a page to draw on.
    Serve(serve::ServeArgs),
    /// Brings an ONNX file from elsewhere into the zoo: checked, measured, published with its origin.
    Adopt(adopt::AdoptArgs),
    /// Copies a version into an OCI registry, as a CNCF ModelPack.
    Push(registry::PushArgs),
    /// Copies a version from an OCI registry into the zoo, which is made if it is not there.
    Pull(registry::PullArgs),
    /// Writes models in the form of other hubs.
    Export(export::ExportArgs),
    /// Checks that Triton, KServe and OpenVINO Model Server can load the zoo as it is.
    Lint(ZooArgs),
    /// Writes index.json from the manifests, and prints the table of results.
    Index(index::IndexArgs),
    /// Compares two versions: recipe, data, graph, weights, answers and speed.
    Diff(diff::DiffArgs),
    /// Lets an alias such as `stable` point to a version, or lists a model's aliases with their history.
    Alias(aliases::AliasArgs),
    /// Signs a published version in the OpenSSF Model Signing format, with provenance and test result.
    Sign(sign::SignArgs),
}

/// Runs the command line of this process as the program `zoo`.
pub fn main() -> ExitCode {
    terminal::run("zoo", || {
        terminal::command_line(|cli: Cli| run(cli.command).unwrap_or_else(|error| report(&error)))
    })
}

fn run(command: Command) -> Result<ExitStatus> {
    match command {
        Command::List(args) => Ok(infer::cli::list(&args)?),
        Command::Show(args) => Ok(infer::cli::show(&args)?),
        Command::Verify(args) => Ok(infer::cli::verify(&args)?),
        Command::Serve(args) => serve::serve(args),
        Command::Adopt(args) => adopt::adopt(&args),
        Command::Push(args) => registry::push(&args),
        Command::Pull(args) => registry::pull(&args),
        Command::Export(args) => export::export(&args),
        Command::Lint(args) => lint::lint(&args),
        Command::Index(args) => index::index(&args),
        Command::Diff(args) => diff::diff(&args),
        Command::Alias(args) => aliases::alias(&args),
        Command::Sign(args) => sign::sign(&args),
    }
}

fn report(error: &Error) -> ExitStatus {
    let hint = match error {
        Error::Zoo(error) | Error::Infer(infer::Error::Zoo(error)) => match error {
            zoo::Error::NotFound { .. } => Some("name the zoo with --zoo DIR; `zoo list` shows its models"),
            zoo::Error::Damaged { .. } => {
                Some("restore the file, for example with git checkout; `zoo verify` checks all")
            }
            zoo::Error::Busy { .. } => Some("wait until it is done, or end it; `fuser` on the file names it"),
            zoo::Error::Data(_)
            | zoo::Error::Io { .. }
            | zoo::Error::Manifest { .. }
            | zoo::Error::Published { .. }
            | zoo::Error::Same { .. } => None,
        },
        Error::Infer(error) => infer::cli::hint(error),
        Error::Data(_) | Error::Io { .. } | Error::System { .. } => None,
        Error::Policy(_) => Some("the zoo is as it was"),
        Error::Rollback(_) => Some("the zoo is as it was; --allow-rollback takes older versions"),
        Error::Registry { .. } | Error::Usage(_) => None,
    };
    terminal::error(error, hint);
    match error {
        Error::Policy(_) | Error::Rollback(_) => ExitStatus::CheckFailed,
        _ => ExitStatus::Usage,
    }
}

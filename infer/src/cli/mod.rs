//! The command line of `infer`, and the commands that the program `zoo` has too.

mod ahead;
mod args;
mod bench;
mod models;
mod predict;
mod read;
mod render;
#[cfg(feature = "adopted")]
mod run;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use terminal::ExitStatus;

pub use args::{ZooArgs, hint, read_public_key, report};
pub use models::{ShowArgs, list, show};
pub use verify::{VerifyArgs, verify};

use crate::error::Result;

/// Classifies images with published models and re-checks what they claim.
#[derive(Parser)]
#[command(name = "infer", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Says what is on images: files, folders of files, or `-` for standard input.
    Predict(predict::PredictArgs),
    /// Reads all digits on images, a line of text for each line of writing.
    Read(read::ReadArgs),
    /// Lists the models of a zoo.
    List(ZooArgs),
    /// Prints a model's card.
    Show(ShowArgs),
    /// Re-checks files, golden outputs and the exact test accuracy of published models.
    Verify(VerifyArgs),
    /// Runs any ONNX file on tensors from files.
    #[cfg(feature = "adopted")]
    Run(run::RunArgs),
    /// Measures how fast models run on this machine.
    Bench(bench::BenchArgs),
}

/// Commands that this program had and `zoo` has now.
const MOVED: [(&str, &str); 7] = [
    ("serve", "zoo serve"),
    ("push", "zoo push"),
    ("pull", "zoo pull"),
    ("export", "zoo export"),
    ("lint", "zoo lint"),
    ("index", "zoo index"),
    ("alias", "zoo alias"),
];

/// Runs the command line of this process as the program `infer`.
pub fn main() -> ExitCode {
    keep_freed_memory();
    terminal::run("infer", || match terminal::moved("infer", &MOVED) {
        Some(status) => status,
        None => terminal::command_line(|cli: Cli| run(cli.command).unwrap_or_else(|error| report(&error))),
    })
}

/// Raises the sizes from which the C library gives freed memory back to the system, 128 KiB at first: a photo's planes are
/// larger, and each that is given back takes its pages away from both threads and costs new ones. glibc sets the sizes to
/// that of the largest block freed so far, up to 32 MiB (mallopt(3), `M_MMAP_THRESHOLD`); elsewhere this does nothing.
fn keep_freed_memory() {
    const LARGER_THAN_A_PLANE: usize = 16 << 20;
    // Nothing is written, so that no page of it is ever there.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGER_THAN_A_PLANE)));
}

fn run(command: Command) -> Result<ExitStatus> {
    match command {
        Command::Predict(args) => predict::predict(&args),
        Command::Read(args) => read::read(&args),
        Command::List(args) => list(&args),
        Command::Show(args) => show(&args),
        Command::Verify(args) => verify(&args),
        #[cfg(feature = "adopted")]
        Command::Run(args) => run::run_file(&args),
        Command::Bench(args) => bench::bench(&args),
    }
}

//! Command line of the trainer: parses, calls the library, prints, sets the exit code.

mod cli;
mod progress;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

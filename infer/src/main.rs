//! Command line of `infer`: parses, calls the library, prints, sets the exit code.

mod cli;
mod render;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}

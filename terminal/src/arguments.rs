//! The command line.

use std::io::ErrorKind;

use crate::exit::ExitStatus;
use crate::output::{failed, log};

/// Reads the command line of this process and does what it says. Help and the version are printed here, as is what is wrong: clap would write
/// arguments as they are, and a file may be called anything that a terminal obeys.
pub fn command_line<C: clap::Parser>(run: impl FnOnce(C) -> ExitStatus) -> ExitStatus {
    let error = match C::try_parse() {
        Ok(arguments) => return run(arguments),
        Err(error) => error,
    };
    if error.use_stderr() {
        log(error.render().to_string().trim_end());
        return ExitStatus::Usage;
    }
    match error.print() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => failed(&error),
        _ => {}
    }
    ExitStatus::Success
}

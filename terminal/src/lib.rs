//! What `trainer`, `zoo` and `infer` share at the terminal: exit codes, printing that survives a
//! reader who leaves, and what happens when a program finds a fault of its own.
//!
//! Results go to standard output ([`print`](fn@print), [`line`](fn@line), [`json`]), everything else to standard
//! error ([`log`], [`error`]). Rust's `println!` panics when nobody reads any more; these do not:
//! `infer list | head -1` ends quietly, with the exit code that the work deserves. Names of files and models come from
//! anywhere; what could move the cursor, colour the screen or turn the direction of writing is shown, not done.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     terminal::run("my-program", || {
//!         terminal::line("a result");
//!         terminal::ExitStatus::Success
//!     })
//! }
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "clap")]
mod arguments;
mod escape;
mod exit;
mod output;

#[cfg(feature = "clap")]
pub use arguments::command_line;
pub use escape::{escaped, one_line, padded};
pub use exit::{ExitStatus, catch_panic, log_panics, moved, run};
pub use output::{error, json, line, log, print};

//! A program for `terminal/tests/programs.rs`: does what its first argument says.

#![allow(clippy::panic)]

use terminal::ExitStatus;

fn main() -> std::process::ExitCode {
    terminal::run("probe", || match std::env::args().nth(1).as_deref() {
        Some("panic") => panic!("an invariant does not hold"),
        Some("worker") => {
            let worker = std::thread::spawn(|| panic!("a worker's invariant does not hold"));
            // The hook ends the program before the worker can be joined.
            let _ = worker.join();
            ExitStatus::Success
        }
        Some("lines") => {
            (0..100_000).for_each(terminal::line);
            terminal::log("written to the end");
            ExitStatus::CheckFailed
        }
        Some("line") => {
            terminal::line("a result");
            ExitStatus::Success
        }
        _ => ExitStatus::Usage,
    })
}

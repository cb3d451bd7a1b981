//! A program for `terminal/tests/programs.rs`: does what its first argument says.

#![allow(clippy::panic)]

use terminal::ExitStatus;

/// Something that is tidied up when a function ends, or unwinds.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        terminal::log("tidied up");
    }
}

/// Something that cannot be tidied up.
struct Worse;

impl Drop for Worse {
    fn drop(&mut self) {
        panic!("the second of two");
    }
}

fn main() -> std::process::ExitCode {
    terminal::run("probe", || match std::env::args().nth(1).as_deref() {
        Some("panic") => {
            let _guard = Guard;
            panic!("an invariant does not hold")
        }
        Some("caught") => {
            let _ = std::panic::catch_unwind(|| panic!("a caught invariant does not hold"));
            ExitStatus::Success
        }
        Some("expected") => match terminal::catch_panic(|| panic!("a library's word on bad input")) {
            Ok(()) => ExitStatus::Success,
            Err(message) => {
                terminal::line(message);
                ExitStatus::Usage
            }
        },
        Some("twice") => {
            let _guard = Worse;
            panic!("the first of two")
        }
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

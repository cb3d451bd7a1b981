//! How a program ends.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::output::{self, error, log};

/// Whether anything panicked while a panic is a fault.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// The exit codes of every program here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: everything that was asked for was done, and everything checked holds.
    Success,
    /// 1: the program worked, and something that it checked does not hold.
    CheckFailed,
    /// 2: what was asked for cannot be done: wrong usage, or input that is missing or bad.
    Usage,
    /// 3: a fault of the program itself; the input may be good.
    Internal,
}

impl ExitStatus {
    /// The number that the system sees.
    pub fn code(self) -> u8 {
        match self {
            ExitStatus::Success => 0,
            ExitStatus::CheckFailed => 1,
            ExitStatus::Usage => 2,
            ExitStatus::Internal => 3,
        }
    }

    /// The status of a check that held, or did not.
    pub fn of_check(held: bool) -> ExitStatus {
        if held { ExitStatus::Success } else { ExitStatus::CheckFailed }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> ExitCode {
        ExitCode::from(status.code())
    }
}

thread_local! {
    /// Whether a panic of this thread is what code of others says of bad input.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a library that panics where its input is bad, and gives the panic's message as the error: only for libraries in
/// which that cannot be told otherwise. The programs here pass over such a panic; where panics abort, it ends them.
///
/// # Errors
/// The message of the panic.
pub fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let before = EXPECTED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    EXPECTED.set(before);
    outcome.map_err(|payload| message(&*payload).to_owned())
}

fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

/// Runs the command line of `program`. A panic of any thread is told as a fault of the program and
/// ends it with [`ExitStatus::Internal`], whether the program unwinds or aborts.
pub fn run(program: &'static str, main: impl FnOnce() -> ExitStatus) -> ExitCode {
    let own = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        if EXPECTED.get() && !cfg!(panic = "abort") {
            return;
        }
        describe(program, info);
        // This thread unwinds, so that what it holds is tidied up: temporary files, locks. Another
        // thread's panic might never reach it, and one while unwinding would abort.
        let again = PANICKED.swap(true, Ordering::SeqCst);
        if again || cfg!(panic = "abort") || std::thread::current().id() != own {
            std::process::exit(ExitStatus::Internal.code().into());
        }
    }));
    let mut status = catch_unwind(AssertUnwindSafe(main)).unwrap_or(ExitStatus::Internal);
    // A library may have caught it.
    if PANICKED.load(Ordering::SeqCst) {
        status = ExitStatus::Internal;
    }
    let Some(problem) = output::failure() else { return status.into() };
    // Something was not written that somebody waits for.
    error(&format_args!("standard output: {problem}"), None);
    if status == ExitStatus::Success { ExitStatus::Usage.into() } else { status.into() }
}

/// From here on a panic is only logged: for a server, in which it ends one request.
pub fn log_panics(program: &'static str) {
    std::panic::set_hook(Box::new(move |info| {
        if !EXPECTED.get() {
            describe(program, info);
        }
    }));
}

/// Tells a panic: its message, place and thread, and the calls that led to it where `RUST_BACKTRACE` asks for them.
fn describe(program: &str, info: &PanicHookInfo<'_>) {
    let what = message(info.payload());
    let place =
        info.location().map_or(String::new(), |place| format!(" ({}:{})", place.file(), place.line()));
    let thread = std::thread::current();
    let thread = thread.name().filter(|&name| name != "main");
    let thread = thread.map_or(String::new(), |name| format!(", thread {name:?}"));
    log(format_args!("internal error: {what}{place}{thread}"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        log(backtrace);
    }
    log(format_args!("hint: this is a fault of {program}, not of what it was given; please report it"));
}

/// The error for a command that another program has now: `commands` are pairs of the old name and
/// what to type instead. `None` if the first argument of this process is none of them.
pub fn moved(program: &str, commands: &[(&str, &str)]) -> Option<ExitStatus> {
    let first = std::env::args_os().nth(1)?;
    let (old, new) = commands.iter().find(|(old, _)| first == *old)?;
    error(
        &format_args!("`{program} {old}` is now `{new}`"),
        Some("`cargo build -p hub` builds the program `zoo`"),
    );
    Some(ExitStatus::Usage)
}

//! Writing to standard output and standard error.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

use serde::Serialize;

use crate::escape::{one_line, shown, shown_in_json};

/// Why standard output could not be written, the first time it could not.
static FAILURE: OnceLock<String> = OnceLock::new();

/// Writes a result; characters that a terminal would obey are written out. Nothing happens if nobody reads any more; another failure, such as a
/// full disk, is told when the program ends.
pub fn print(text: impl Display) {
    write_out(&shown(&text.to_string()));
}

fn write_out(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = write!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        failed(&error);
    }
}

/// Notes why standard output could not be written.
pub(crate) fn failed(error: &std::io::Error) {
    FAILURE.get_or_init(|| error.to_string());
}

/// Writes a line of a result.
pub fn line(text: impl Display) {
    print(format_args!("{text}\n"));
}

/// Writes a result as JSON, for programs.
///
/// # Panics
/// If `value` has a map with keys that are no strings, or fails to serialise itself: a fault of the
/// program.
pub fn json(value: &impl Serialize) {
    let text =
        serde_json::to_string_pretty(value).expect("results are made of plain structs, lists and maps");
    write_out(&format!("{}\n", shown_in_json(&text)));
}

/// Writes a line that is no result, for people, to standard error.
pub fn log(text: impl Display) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stderr().lock(), "{}", shown(&text.to_string()));
}

/// Longest error that is told whole, in characters: some tell a value, which may be as long as a file.
const MOST: usize = 4000;

/// Tells an error, and what to do about it.
pub fn error(problem: &dyn Display, hint: Option<&str>) {
    let text = problem.to_string();
    let rest = text.char_indices().nth(MOST).map_or("", |(at, _)| &text[at..]);
    let shown = one_line(&text[..text.len() - rest.len()]).into_owned();
    match rest.chars().count() {
        0 => log(format_args!("error: {shown}")),
        more => log(format_args!("error: {shown}... ({more} characters more)")),
    }
    if let Some(hint) = hint {
        log(format_args!("hint: {}", one_line(hint)));
    }
}

/// Why standard output could not be written, if it could not.
pub(crate) fn failure() -> Option<&'static str> {
    FAILURE.get().map(String::as_str)
}

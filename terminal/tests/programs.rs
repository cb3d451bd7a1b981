//! How a program ends, seen from outside.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output, Stdio};

fn probe(what: &str) -> Command {
    let deps = std::env::current_exe().unwrap();
    let mut command = Command::new(deps.parent().unwrap().parent().unwrap().join("examples/probe"));
    command.arg(what);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_panic_is_an_internal_error_with_its_own_exit_code() {
    for (what, message) in [
        ("panic", "an invariant does not hold"),
        ("worker", "a worker's invariant"),
        ("caught", "a caught invariant"),
        ("twice", "the second of two"),
    ] {
        let output = probe(what).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let text = stderr(&output);
        assert!(
            text.contains("internal error: ") && text.contains(message) && text.contains("probe.rs:"),
            "{text}"
        );
        assert!(text.contains("hint: this is a fault of probe"), "{text}");
        assert_eq!(text.contains("tidied up"), what == "panic", "{text}");
    }
}

#[test]
fn a_panic_of_others_that_is_expected_is_an_error_and_no_fault() {
    let output = probe("expected").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(output.stdout, b"a library's word on bad input\n");
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_closed_pipe_changes_nothing_but_what_is_printed() {
    let mut child = probe("lines").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), "written to the end\n"));
}

#[test]
fn both_outputs_closed() {
    let mut child = probe("lines").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        probe("line").stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).starts_with("error: standard output: No space left on device"),
        "{}",
        stderr(&output)
    );
}

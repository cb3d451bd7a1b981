//! A reader who leaves early, and nobody who reads at all.

use std::io::Read;
use std::process::Stdio;

use tests::{command, root};

/// What every command that reports prints on its way, as text and as JSON.
const COMMANDS: [(&str, &[&str]); 9] = [
    ("infer", &["list"]),
    ("infer", &["list", "--json"]),
    ("infer", &["show", "mnist-lite"]),
    ("infer", &["show", "mnist-lite", "--json"]),
    ("infer", &["verify", "mnist-lite"]),
    ("infer", &["predict", "docs/seven.png", "docs/seven.png", "--show"]),
    ("infer", &["predict", "docs/seven.png", "--json"]),
    ("zoo", &["lint", "--json"]),
    ("zoo", &["index", "--check"]),
];

#[test]
fn a_reader_that_leaves_ends_nothing_in_a_panic() {
    for (program, arguments) in COMMANDS {
        for keep in [0, 1] {
            let mut command = command(program, &root());
            let mut child =
                command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut stdout = child.stdout.take().unwrap();
            // As `head -c 1` or `head -0` do.
            stdout.read_exact(&mut vec![0; keep]).unwrap();
            drop(stdout);
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{program} {arguments:?}: {stderr}");
            assert!(!stderr.contains("panicked") && !stderr.contains("internal error"), "{stderr}");
        }
    }
}

#[test]
fn a_failed_check_is_told_by_the_exit_code_though_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let version = dir.path().join("zoo/models/mnist-lite/1");
    tests::copy_dir(&root().join("zoo/models/mnist-lite/1"), &version).unwrap();
    std::fs::write(version.join("extra"), "").unwrap();
    for arguments in [["verify", "--json"], ["verify", "mnist-lite"]] {
        let mut command = command("infer", dir.path());
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}

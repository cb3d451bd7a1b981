//! The examples do what they say.

use std::process::Command;

use tests::{Server, command, root};

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn predict_from_a_library() {
    let text = output(command("examples/predict", &root()).arg("docs/seven.png"));
    assert!(text.starts_with("docs/seven.png: 7 (9"), "{text}");
}

#[cfg(feature = "trainer")]
#[test]
fn train_a_network_that_is_written_down_in_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let text = output(command("examples/train", &root()).env("TMPDIR", dir.path()));
    let last = text.lines().find(|line| line.starts_with("epoch 2: ")).unwrap();
    let accuracy: f64 = last.split_whitespace().rev().nth(1).unwrap().parse().unwrap();
    assert!(accuracy > 80.0, "{text}");
}

#[test]
fn a_client_with_nothing_but_python() {
    let server = Server::start(&root().join("zoo"), &[]);
    let mut python = Command::new("python3");
    let text = output(python.args(["examples/client.py", "docs/seven.png", &server.url]).current_dir(root()));
    assert!(text.contains("docs/seven.png: 7 (9") && text.contains("by mnist-cnn@1"), "{text}");
    assert!(text.contains("probabilities [2, 10] from the network with sha256 e74c63a074af7db2"), "{text}");
}

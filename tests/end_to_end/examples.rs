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
    let index = zoo::Zoo::open(&root().join("zoo")).unwrap().index().unwrap();
    let newest =
        index.models.iter().find(|model| model.name == "mnist-cnn").unwrap().versions.last().unwrap();
    let by = format!("by mnist-cnn@{}", newest.version);
    assert!(text.contains("docs/seven.png: 7 (9") && text.contains(&by), "{text}");
    let network = newest.onnx_sha256.unwrap().to_string();
    let from = format!("probabilities [2, 10] from the network with sha256 {}", &network[..16]);
    assert!(text.contains(&from), "{text}");
}

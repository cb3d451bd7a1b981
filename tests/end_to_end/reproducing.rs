//! `trainer reproduce`: what it proves, and what it refuses to.

use std::path::Path;

use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use serde_json::Value;
use tests::{assert_refused, copy_dir, run, succeed, tiny_dataset};
use zoo::signature::PublicKey;

const RECIPE: &str = include_str!("../data/tiny.yaml");

/// A folder with a tiny dataset, a recipe of three epochs, and its model in `zoo`.
fn published() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny_dataset(dir.path(), 600, 200).unwrap();
    let recipe = RECIPE.replace("epochs: 2", "epochs: 3").replace("validation: 10", "validation: 100");
    std::fs::write(dir.path().join("recipe.yaml"), recipe).unwrap();
    succeed("trainer", dir.path(), ["publish", "recipe.yaml"]);
    dir
}

/// Exit code and report.
fn reproduce(dir: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let outcome = run("trainer", dir, [&["reproduce", "tiny@1", "--json"], arguments].concat());
    let report = serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {outcome:?}"));
    (outcome.code, report)
}

fn summary(report: &Value) -> (&str, &str, u64) {
    let word = |field: &str| report[field].as_str().unwrap();
    (word("verdict"), word("claim"), report["epochs_retrained"].as_u64().unwrap())
}

/// Writes a manifest whose hashes are those of the files, whatever they are.
fn adjust_hashes(version: &Path) {
    let path = version.join("manifest.yaml");
    let mut manifest: zoo::Manifest = datasets::yaml::read(&path).unwrap();
    for (name, record) in &mut manifest.files {
        let (sha256, bytes) = datasets::Digest::of_file(&version.join(name)).unwrap();
        *record = zoo::FileRecord { bytes, sha256 };
    }
    std::fs::write(path, datasets::yaml::to_string(&manifest).unwrap()).unwrap();
}

#[test]
fn a_published_model_is_reproduced_and_the_claim_says_how_far() {
    let dir = published();
    let dir = dir.path();
    let (code, whole) = reproduce(dir, &[]);
    assert_eq!((code, summary(&whole)), (Some(0), ("bit-identical", "whole", 3)));
    assert_eq!(whole["numeric_profile_in_force"], true, "{whole}");
    let files = whole["files"].as_array().unwrap();
    assert!(files.len() == 5 && files.iter().all(|file| file["identical"] == true), "{whole}");
    let (code, first) = reproduce(dir, &["--epochs", "1"]);
    assert_eq!((code, summary(&first)), (Some(0), ("bit-identical", "first-epochs", 1)));

    // From a checkpoint only what comes after it is proved, and the report says so.
    let secret = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    std::fs::write(dir.join("key.pem"), secret.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap();
    reproduce(dir, &["--run", "segment", "--epochs", "2"]);
    let (code, segment) = reproduce(dir, &["--run", "segment", "--resume", "--key", "key.pem"]);
    assert_eq!((code, summary(&segment)), (Some(0), ("bit-identical", "segment", 1)));
    assert_eq!(
        (&segment["start"]["run"], &segment["start"]["finished_epochs"]),
        (&"segment".into(), &2.into())
    );
    reproduce(dir, &["--key", "key.pem"]);
    let public = secret.public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let public = PublicKey::from_pem(&public).unwrap();
    let reports = std::fs::read_dir(dir.join("zoo/signatures/tiny/1")).unwrap();
    let mut signed: Vec<(String, Value)> = reports
        .map(|entry| {
            let bundle = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let statement: Value = serde_json::from_slice(&public.open(&bundle).unwrap()).unwrap();
            let predicate = &statement["predicate"];
            assert_eq!(predicate["result"], "PASSED");
            (predicate["passedTests"][0].as_str().unwrap().to_owned(), predicate["annotations"].clone())
        })
        .collect();
    signed.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(signed, [("bit-identical/segment".into(), segment), ("bit-identical/whole".into(), whole)]);
    let card = succeed("infer", dir, ["show", "tiny"]);
    assert!(card.contains("bit for bit on 1 kind of processor"), "{card}");
    assert!(card.contains("| bit-identical/segment | 1 | "), "{card}");
}

#[test]
fn what_proves_nothing_is_refused() {
    let dir = published();
    let dir = dir.path();
    let secret = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    std::fs::write(dir.join("key.pem"), secret.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap();
    let reproduce = ["reproduce", "tiny@1", "--key", "key.pem"];
    let outcome = run("trainer", dir, [&reproduce[..], &["--epochs", "0"]].concat());
    assert_refused("no epochs", &outcome, &["--epochs"]);
    // The publisher's own run, which is finished.
    let own = std::fs::read_dir(dir.join("runs")).unwrap().next().unwrap().unwrap().path();
    let own = own.to_str().unwrap();
    for more in [&[][..], &["--epochs", "2"]] {
        let outcome = run("trainer", dir, [&reproduce[..], &["--run", own, "--resume"], more].concat());
        assert_refused("a finished run", &outcome, &["nothing is left to retrain"]);
    }
    assert!(!dir.join("zoo/signatures").exists());
}

#[test]
fn a_forged_version_is_caught_before_training() {
    let dir = published();
    let dir = dir.path();
    // Another seed's network, weights and golden data, and the hashes adjusted.
    let recipe = std::fs::read_to_string(dir.join("recipe.yaml")).unwrap();
    std::fs::write(dir.join("other.yaml"), recipe.replace("seed: 7", "seed: 8")).unwrap();
    succeed("trainer", dir, ["publish", "other.yaml", "--zoo", "other"]);
    let version = dir.join("zoo/models/tiny/1");
    let other = dir.join("other/models/tiny/1");
    let restore = dir.join("restore");
    copy_dir(&version, &restore).unwrap();
    let golden = "test_data_set_0/output_0.pb";
    let forgeries: [(&[&str], &str); 5] = [
        (
            &["model.onnx", "model.safetensors", "first_layer.safetensors", golden],
            "model.safetensors: its weights are not the manifest's parameters_sha256",
        ),
        (&["model.onnx"], "model.onnx: is not what the weights in model.safetensors give"),
        (&["first_layer.safetensors"], "first_layer.safetensors: is not what the weights"),
        (&[golden], "test_data_set_0/output_0.pb: is not what the weights"),
        (&["history.csv"], "manifest: epochs_sha256 is not the chain of history.csv"),
    ];
    for (files, expected) in forgeries {
        for file in files {
            std::fs::copy(other.join(file), version.join(file)).unwrap();
        }
        adjust_hashes(&version);
        let (code, report) = reproduce(dir, &["--epochs", "1"]);
        assert_eq!((code, summary(&report)), (Some(1), ("inconsistent", "nothing", 0)), "{files:?}");
        let problems = report["problems"].to_string();
        assert!(problems.contains(expected), "{files:?}: {problems}");
        copy_dir(&restore, &version).unwrap();
    }
    // All of it, the history and the manifest's hashes too, under this recipe: only training tells.
    for entry in ["model.safetensors", "first_layer.safetensors", golden, "history.csv"] {
        std::fs::copy(other.join(entry), version.join(entry)).unwrap();
    }
    let from: zoo::Manifest = datasets::yaml::read(&other.join("manifest.yaml")).unwrap();
    let path = version.join("manifest.yaml");
    let mut manifest: zoo::Manifest = datasets::yaml::read(&path).unwrap();
    let (training, from) = (manifest.training.as_mut().unwrap(), from.training.unwrap());
    training.epochs_sha256 = from.epochs_sha256;
    training.parameters_sha256 = from.parameters_sha256;
    training.selected_epoch = from.selected_epoch;
    std::fs::write(path, datasets::yaml::to_string(&manifest).unwrap()).unwrap();
    let onnx = std::fs::read(other.join("model.onnx")).unwrap();
    let hash = |recipe: &str| {
        datasets::Digest::of(std::fs::read_to_string(dir.join(recipe)).unwrap().as_bytes()).to_string()
    };
    let (old, new) = (hash("other.yaml"), hash("recipe.yaml"));
    let at = onnx.windows(old.len()).position(|window| window == old.as_bytes()).unwrap();
    let onnx = [&onnx[..at], new.as_bytes(), &onnx[at + old.len()..]].concat();
    std::fs::write(version.join("model.onnx"), onnx).unwrap();
    adjust_hashes(&version);
    let (code, report) = reproduce(dir, &[]);
    assert_eq!(
        (code, report["claim"].as_str()),
        (if report["verdict"] == "equivalent" { Some(0) } else { Some(1) }, Some("whole"))
    );
    assert_ne!(report["verdict"], "bit-identical");
    assert_eq!(report["first_different_epoch"], 1, "{report}");
}

#[test]
fn a_machine_with_other_arithmetic_says_so_at_once() {
    let dir = published();
    let dir = dir.path();
    // As if the version came from a machine that computes otherwise.
    let version = dir.join("zoo/models/tiny/1");
    let path = version.join("manifest.yaml");
    let mut manifest: zoo::Manifest = datasets::yaml::read(&path).unwrap();
    let training = manifest.training.as_mut().unwrap();
    assert!(training.fingerprint.is_some() && training.numeric_profile.in_force);
    training.fingerprint = Some(datasets::Digest::of(b"other"));
    std::fs::write(&path, datasets::yaml::to_string(&manifest).unwrap()).unwrap();
    let (code, report) = reproduce(dir, &[]);
    assert_eq!((code, summary(&report)), (Some(1), ("other-arithmetic", "nothing", 0)));
    assert!(report["problems"].to_string().contains("fingerprint of the recipe"), "{report}");

    // With lesser processor features other sums come out, where that is asked for.
    let (code, other) = reproduce(dir, &["--isa", "baseline"]);
    assert_eq!(other["numeric_profile_in_force"], false);
    assert_eq!(other["first_different_epoch"], 1, "{other}");
    assert!(other["difference"]["max_delta"].as_f64().unwrap() > 0.0);
    assert_eq!(code, if other["verdict"] == "equivalent" { Some(0) } else { Some(1) }, "{other}");
    let (code, short) = reproduce(dir, &["--isa", "baseline", "--epochs", "1"]);
    assert_eq!((code, summary(&short)), (Some(1), ("different", "first-epochs", 1)));
}

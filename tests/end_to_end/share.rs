//! `zoo lint`, `export`, `push` and `pull` as a user runs them. What a real registry and the hubs'
//! own tools say to it: `scripts/check_registry.sh` and `scripts/check_exports.py`.

use serde_json::Value;
use tests::{assert_refused, copy_dir, root, run, succeed};

/// A zoo with one version of one model.
fn small_zoo(dir: &std::path::Path) {
    copy_dir(&root().join("zoo/models/mnist-lite/1"), &dir.join("zoo/models/mnist-lite/1")).unwrap();
}

#[test]
fn lint_names_what_other_engines_would_not_load() {
    let dir = tempfile::tempdir().unwrap();
    small_zoo(dir.path());
    assert_eq!(succeed("zoo", dir.path(), ["lint"]), "");
    std::fs::create_dir(dir.path().join("zoo/models/mnist-lite/latest")).unwrap();
    let outcome = run("zoo", dir.path(), ["lint"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stdout.contains("models/mnist-lite/latest: not a version"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("(Triton, OpenVino)"), "{}", outcome.stdout);
    // A name that is no UTF-8 is seen, too.
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"caf\xe9");
    std::fs::create_dir(dir.path().join("zoo/models").join(name)).unwrap();
    let outcome = run("zoo", dir.path(), ["lint"]);
    assert!(
        outcome.code == Some(1) && outcome.stdout.contains("every folder here is a model"),
        "{outcome:?}"
    );
    std::fs::remove_dir(dir.path().join("zoo/models").join(name)).unwrap();
    let found: Value = serde_json::from_str(&run("zoo", dir.path(), ["lint", "--json"]).stdout).unwrap();
    assert_eq!(found[0]["engines"], serde_json::json!(["triton", "open_vino"]));
}

#[test]
fn exports_name_their_files_and_refuse_what_they_cannot_do() {
    let dir = tempfile::tempdir().unwrap();
    small_zoo(dir.path());
    let written: Value =
        serde_json::from_str(&succeed("zoo", dir.path(), ["export", "hf", "hub", "--json"])).unwrap();
    let files: Vec<&str> = written["files"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(
        files.contains(&"hub/mnist-lite/README.md") && files.contains(&"hub/mnist-lite/model.safetensors")
    );
    assert!(files.iter().all(|file| dir.path().join(file).is_file()), "{files:?}");
    let card = std::fs::read_to_string(dir.path().join("hub/mnist-lite/README.md")).unwrap();
    assert!(card.contains("- reproducible") && card.contains("- safetensors"), "{card}");
    let twice = run("zoo", dir.path(), ["export", "hf", "hub", "mnist-lite@1", "mnist-lite"]);
    assert_refused("one folder, two versions", &twice, &["mnist-lite: named twice"]);
    std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
    let outside = run("zoo", dir.path(), ["export", "onnx-hub", "elsewhere"]);
    assert_refused("no path from there", &outside, &["not below"]);
    let twice = run("zoo", dir.path(), ["export", "onnx-hub", ".", "mnist-lite@1", "mnist-lite"]);
    assert_refused("one version twice", &twice, &["mnist-lite@1: named twice"]);
    let onnx = dir.path().join("zoo/models/mnist-lite/1/model.safetensors");
    std::fs::write(onnx, "x").unwrap();
    for form in ["hf", "torch", "bom", "onnx-hub"] {
        let damaged = run("zoo", dir.path(), ["export", form, "."]);
        assert_refused("a damaged file", &damaged, &["model.safetensors: changed"]);
    }
}

/// A folder of another version gets this one's files and loses only that one's.
#[test]
fn an_export_replaces_what_an_earlier_one_wrote_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_zoo(dir);
    std::os::unix::fs::symlink(root().join("datasets"), dir.join("datasets")).unwrap();
    let adopted =
        ["adopt", "zoo/models/mnist-lite/1/model.onnx", "--name", "mnist-lite", "--dataset", "mnist"];
    succeed("zoo", dir, adopted);
    let folder = dir.join("hub/mnist-lite");
    std::fs::create_dir_all(folder.join(".zoo-export/left")).unwrap();
    std::fs::create_dir_all(folder.join(".export-mine")).unwrap();
    succeed("zoo", dir, ["export", "hf", "hub", "mnist-lite@1"]);
    assert!(!folder.join(".zoo-export").exists() && folder.join(".export-mine").exists(), "swept");
    assert!(folder.join("recipe.yaml").exists());
    // Somebody's own beside it, one under a name that is ours.
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    std::fs::write(folder.join("recipe.yaml"), "mine").unwrap();
    succeed("zoo", dir, ["export", "hf", "hub", "mnist-lite@2"]);
    let is_there = |name: &str| folder.join(name).exists();
    assert!(is_there("notes.txt") && is_there("recipe.yaml") && !is_there("model.safetensors"));
    let manifest = std::fs::read(folder.join("manifest.yaml")).unwrap();
    assert_eq!(manifest, std::fs::read(dir.join("zoo/models/mnist-lite/2/manifest.yaml")).unwrap());

    // A folder where a file is to go: nothing is changed.
    let before = std::fs::read(folder.join("config.json")).unwrap();
    std::fs::remove_file(folder.join("README.md")).unwrap();
    std::fs::create_dir(folder.join("README.md")).unwrap();
    let refused = run("zoo", dir, ["export", "hf", "hub", "mnist-lite@1"]);
    assert_refused("a folder", &refused, &["hub/mnist-lite/README.md"]);
    assert_eq!(std::fs::read(folder.join("config.json")).unwrap(), before);

    // Of all models those that have a recipe; one that has none is refused where it is named.
    let outcome = run("zoo", dir, ["export", "torch", "torch"]);
    assert!(outcome.code == Some(0) && outcome.stderr.contains("mnist-lite@2 left out"), "{outcome:?}");
    assert_refused(
        "no recipe",
        &run("zoo", dir, ["export", "torch", "torch", "mnist-lite@2"]),
        &["no recipe"],
    );
}

/// The licence of a dataset is that of the files a version was made of.
#[test]
fn a_bill_names_the_licence_of_its_own_data() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_zoo(dir);
    let folder = tests::tiny_dataset(dir, 20, 10).unwrap();
    let other = dir.join("datasets/mnist");
    std::fs::rename(folder, &other).unwrap();
    let text = std::fs::read_to_string(other.join("dataset.yaml")).unwrap();
    std::fs::write(other.join("dataset.yaml"), text.replace("name: tiny\n", "name: mnist\n")).unwrap();
    let outcome = run("zoo", dir, ["export", "bom", "bills"]);
    assert!(outcome.code == Some(0) && outcome.stderr.contains("other hashes"), "{outcome:?}");
}

#[test]
fn registries_that_are_not_there_or_not_named() {
    let dir = tempfile::tempdir().unwrap();
    small_zoo(dir.path());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = format!("{closed}/zoo/mnist-lite");
    let push = run("zoo", dir.path(), ["push", "mnist-lite", &place, "--plain-http"]);
    assert_refused("push to nobody", &push, &[&place]);
    let other = run("zoo", dir.path(), ["push", "mnist-lite", &format!("{place}:7"), "--plain-http"]);
    assert_refused("a tag of another version", &other, &["version 1, expected 7, as the tag says"]);
    // What programs of containers would take to Docker's registry.
    for reference in ["zoo/mnist-lite:1", "mnist-lite"] {
        for command in [vec!["push", "mnist-lite", reference], vec!["pull", reference, "--zoo", "new"]] {
            assert_refused("no host", &run("zoo", dir.path(), command), &["without a host"]);
        }
    }
    let pull = run("zoo", dir.path(), ["pull", &format!("{place}:1"), "--plain-http", "--zoo", "new"]);
    assert_refused("pull from nobody", &pull, &[&place]);
    // An empty zoo would hide the built-in model.
    assert!(!dir.path().join("new").exists());
    let user = ["pull", &place, "--user", "me", "--password-variable", "NOT_SET_HERE"];
    assert_refused("no password", &run("zoo", dir.path(), user), &["NOT_SET_HERE"]);
    assert_refused("no name", &run("zoo", dir.path(), ["pull", "///"]), &["expected HOST/REPOSITORY:TAG"]);
    let nobody = run("zoo", dir.path(), ["push", "nobody", &place, "--plain-http"]);
    assert_refused("no such model", &nobody, &["models here: mnist-lite"]);
}

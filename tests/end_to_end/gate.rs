//! The gate: every published model is what its manifest claims, to the last image.

use serde_json::Value;
use tests::{root, run, succeed};

#[test]
fn every_published_model_verifies() {
    let outcome = run("infer", &root(), ["verify", "--json"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let reports: Vec<Value> = serde_json::from_str(&outcome.stdout).unwrap();
    let published = zoo::Zoo::open(&root().join("zoo")).unwrap().models().unwrap();
    let (zoo, reports) = reports.split_last().unwrap();
    assert_eq!(zoo["model"], "(zoo)");
    assert_eq!(reports.len(), published.iter().map(|(_, versions)| versions.len()).sum::<usize>());
    for name in ["mnist-cnn", "fashion-cnn"] {
        assert!(published.iter().any(|(published, _)| published == name), "{name} is not published");
    }
    for report in reports {
        let findings = report["findings"].as_array().unwrap();
        let checks: Vec<&str> = findings.iter().filter_map(|f| f["check"].as_str()).collect();
        let mut expected =
            vec!["manifest", "index", "files", "recipe", "history", "network", "weights", "golden"];
        expected.extend(["dataset", "accuracy", "predictions"]);
        if report["model"].as_str().unwrap().contains("-robust@") {
            expected.push("confidence");
        }
        assert_eq!(checks, expected, "{report}");
        assert!(findings.iter().all(|finding| finding["ok"] == true), "{report}");
    }
}

/// Clean accuracy no less than the first `mnist-cnn`'s, damaged images as promised, probabilities that can be
/// believed. What `verify` counts again is what stands in the manifest.
#[test]
fn the_robust_models_are_good_enough() {
    for (name, clean, damaged) in [("mnist-robust", 9949, 0.95), ("fashion-robust", 9344, 0.78)] {
        check_robust(name, clean, damaged);
    }
}

fn check_robust(name: &str, clean: u64, damaged: f64) {
    let manifest: zoo::Manifest =
        serde_json::from_str(&succeed("infer", &root(), ["show", name, "--json"])).unwrap();
    assert!(manifest.test.correct.correct >= clean, "{name}: {}", manifest.test.correct);
    assert!(manifest.network.parameters <= 2_000_000);
    let corruptions = manifest.corruptions.unwrap();
    let mean = infer::corruptions::mean(&corruptions);
    assert!(corruptions.len() == 20 && mean >= damaged, "{name}: {mean}");
    let confidence = manifest.confidence.unwrap();
    assert!(confidence.calibration_error <= 0.01, "{name}: {}", confidence.calibration_error);
    let sure = confidence.coverage.iter().find(|coverage| coverage.promised == 0.99).unwrap();
    assert!((sure.covered.share() - 0.99).abs() <= 0.005, "{name}: {}", sure.covered);
    assert!(confidence.unlike.accepted.share() >= 0.98, "{name}: {}", confidence.unlike.accepted);
}

/// `mnist-cnn` without padding, `fashion-cnn` with; else the same network.
#[test]
fn the_cnn_models_are_the_network_everyone_starts_from_and_good_enough() {
    for (name, minimum, parameters, macs) in
        [("mnist-cnn@1", 9940, 1_111_946, 4_796_416), ("fashion-cnn@1", 9300, 3_274_634, 13_883_904)]
    {
        let text = succeed("infer", &root(), ["show", name, "--json"]);
        let manifest: zoo::Manifest = serde_json::from_str(&text).unwrap();
        assert_eq!((manifest.network.parameters, manifest.network.macs), (parameters, macs), "{name}");
        let correct = manifest.test.correct;
        assert!(correct.correct >= minimum && correct.total == 10_000, "{name}: {correct}");
    }
}

#[test]
fn a_published_recipe_is_the_one_in_recipes() {
    for (name, versions) in zoo::Zoo::open(&root().join("zoo")).unwrap().models().unwrap() {
        let newest = versions.last().unwrap();
        let recipe = std::fs::read_to_string(root().join(format!("recipes/{name}.yaml"))).unwrap();
        let published = root().join(format!("zoo/models/{name}/{newest}/recipe.yaml"));
        let published = std::fs::read_to_string(published).unwrap();
        // Versions from before the portable profile have no other difference.
        assert_eq!(recipe, published.replace("isa: avx2", "isa: portable"), "{name}");
    }
}

#[test]
fn index_and_results_are_those_of_the_manifests() {
    succeed("zoo", &root(), ["index", "--check"]);
    let zoo = zoo::Zoo::open(&root().join("zoo")).unwrap();
    let table = zoo.index().unwrap().to_markdown(&zoo.costs().unwrap());
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(&table), "the README's table is not:\n{table}");
}

#[test]
fn other_engines_and_hubs_find_what_is_published() {
    assert_eq!(zoo::Zoo::open(&root().join("zoo")).unwrap().layout_violations().unwrap(), []);
    let dir = tempfile::tempdir().unwrap();
    tests::copy_dir(&root().join("zoo/models"), &dir.path().join("zoo/models")).unwrap();
    succeed("zoo", dir.path(), ["export", "onnx-hub", "."]);
    let read = |dir: &std::path::Path| std::fs::read_to_string(dir.join("ONNX_HUB_MANIFEST.json")).unwrap();
    assert_eq!(read(&root()), read(dir.path()), "`zoo export onnx-hub .` writes it anew");
}

#[cfg(feature = "trainer")]
#[test]
fn the_pictures_of_results_are_those_of_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display().to_string();
    let written = succeed("trainer", &root(), ["front", "--out", &out]);
    assert_eq!(written.lines().count(), 2, "{written}");
    for name in ["mnist.svg", "fashion-mnist.svg"] {
        let fresh = std::fs::read_to_string(dir.path().join(name)).unwrap();
        let committed = std::fs::read_to_string(root().join("docs/models").join(name)).unwrap();
        assert!(committed == fresh, "docs/models/{name}: `trainer front --out docs/models` writes it anew");
    }
}

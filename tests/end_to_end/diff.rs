//! `zoo diff`, and `zoo alias --not-worse-than`.

use std::path::Path;

use prost::Message;
use serde_json::Value;
use tests::{assert_refused, copy_dir, root, run, succeed};
use tract_onnx::pb::ModelProto;

/// A zoo with `mnist-fast` 1, and a version 2 that hardly ever says 4, adopted from the first.
fn planted() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&root().join("zoo/models/mnist-fast"), &dir.path().join("zoo/models/mnist-fast")).unwrap();
    copy_dir(&root().join("zoo/models/mnist-lite"), &dir.path().join("zoo/models/mnist-lite")).unwrap();
    copy_dir(&root().join("zoo/models/fashion-lite"), &dir.path().join("zoo/models/fashion-lite")).unwrap();
    std::os::unix::fs::symlink(root().join("datasets"), dir.path().join("datasets")).unwrap();
    zoo::Zoo::open(&dir.path().join("zoo")).unwrap().write_index().unwrap();
    let onnx = std::fs::read(dir.path().join("zoo/models/mnist-fast/1/model.onnx")).unwrap();
    let mut model = ModelProto::decode(onnx.as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let last = graph.node.iter().rev().find(|node| node.op_type == "Gemm").unwrap();
    let bias = last.input[2].clone();
    let bias = graph.initializer.iter_mut().find(|tensor| tensor.name == bias).unwrap();
    let old = f32::from_le_bytes(bias.raw_data[16..20].try_into().unwrap());
    bias.raw_data[16..20].copy_from_slice(&(old - 8.0).to_le_bytes());
    std::fs::write(dir.path().join("worse.onnx"), model.encode_to_vec()).unwrap();
    succeed("zoo", dir.path(), ["adopt", "worse.onnx", "--name", "mnist-fast", "--dataset", "mnist"]);
    dir
}

fn diff(dir: &Path, arguments: &[&str]) -> Value {
    let text = succeed("zoo", dir, [&["diff", "--json"], arguments].concat());
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_planted_regression_is_found_explained_and_kept_from_an_alias() {
    let dir = planted();
    let dir = dir.path();
    let found = diff(dir, &["mnist-fast@1", "mnist-fast@2", "--html", "page.html", "--picture", "sheet.png"]);
    let test = &found["mcnemar"];
    let counts = ["only_a", "only_b"].map(|side| test[side].as_u64().unwrap());
    assert!(counts[0] > 20 + counts[1] && test["probability"].as_f64().unwrap() < 1e-6, "{test}");
    // Four is what it lost; the weights differ in one constant.
    let four = found["classes"].as_array().unwrap().iter().find(|class| class[0] == "4").unwrap();
    assert_ne!(four[1][0], four[1][1], "{four}");
    let weights = found["weights"].as_array().unwrap();
    let changed: Vec<&str> = weights
        .iter()
        .filter(|change| change["b"].as_str().is_some_and(|b| b.contains("differs by")))
        .map(|change| change["what"].as_str().unwrap())
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].ends_with(".bias"), "{changed:?}");
    assert!(found["same_weights"].as_u64().unwrap() > 5 && found["recipe"].is_null());
    let disagreements = found["disagreements"].as_array().unwrap();
    assert!(disagreements.len() as u64 >= counts[0] + counts[1]);
    for speed in found["speed"].as_array().unwrap() {
        let ratio = speed["ratio"][1].as_f64().unwrap();
        assert!((0.05..20.0).contains(&ratio), "{speed}");
    }
    let page = std::fs::read_to_string(dir.join("page.html")).unwrap();
    assert!(page.contains("mnist-fast@1 is better") && page.contains("data:image/png;base64,"), "{page}");
    assert!(!page.contains("<script") && !page.contains("http"), "not self-contained");
    assert!(std::fs::read(dir.join("sheet.png")).unwrap().starts_with(b"\x89PNG"));
    let text = succeed("zoo", dir, ["diff", "mnist-fast@1", "mnist-fast@2"]);
    assert!(text.contains("mnist-fast@1 is better (exact McNemar test, p below 0.0001)"), "{text}");

    // A file in a version's form, too.
    let file = diff(dir, &["mnist-fast@1", "zoo/models/mnist-fast/2/model.onnx"]);
    assert_eq!(file["mcnemar"], *test);
    // A file says nothing of its data; by the same kernels it is as fast.
    let own = diff(dir, &["mnist-fast@1", "zoo/models/mnist-fast/1/model.onnx"]);
    let nothing = Value::Array(Vec::new());
    let fields = ["data", "sizes", "operators", "disagreements"].map(|field| &own[field]);
    assert!(fields.into_iter().all(|field| *field == nothing), "{own}");

    // Another dataset of that name says nothing of them: of other images, of other classes.
    let folder = tests::tiny_dataset(&dir.join("other"), 20, 10).unwrap();
    let description = folder.join("dataset.yaml");
    let text = std::fs::read_to_string(&description).unwrap();
    std::fs::write(&description, text.replace("name: tiny\n", "name: mnist\n")).unwrap();
    std::fs::rename(&folder, folder.with_file_name("mnist")).unwrap();
    let other = run("zoo", dir, ["diff", "mnist-fast@1", "mnist-fast@2", "--datasets", "other/datasets"]);
    assert_refused("another dataset", &other, &["sha256", "of mnist-fast@1"]);
    for (outputs, other) in [
        (["--html", "a", "--picture", "./a"], "mnist-fast@2"),
        (["--html", "worse.onnx", "--picture", "p"], "worse.onnx"),
    ] {
        let same = run("zoo", dir, [&["diff", "mnist-fast@1", other], &outputs[..]].concat());
        assert_refused(other, &same, &["is the same file as"]);
    }

    succeed("zoo", dir, ["alias", "mnist-fast@1", "stable"]);
    // Nor is a version judged by it.
    let real = dir.join("datasets");
    std::fs::rename(&real, dir.join("real")).unwrap();
    std::os::unix::fs::symlink("other/datasets", &real).unwrap();
    let other = run("zoo", dir, ["alias", "mnist-fast@2", "stable", "--not-worse-than", "stable"]);
    assert_refused("another dataset", &other, &["sha256", "of mnist-fast@1"]);
    std::fs::remove_file(&real).unwrap();
    std::fs::rename(dir.join("real"), &real).unwrap();
    let refused = run("zoo", dir, ["alias", "mnist-fast@2", "stable", "--not-worse-than", "stable"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("mnist-fast@2 is worse than mnist-fast@1"), "{refused:?}");
    tests::assert_refused("no such model", &run("zoo", dir, ["alias", "mnist-fats"]), &["mnist-fats"]);
    let aliases = succeed("zoo", dir, ["alias", "mnist-fast"]);
    assert!(aliases.contains("mnist-fast@1") && !aliases.contains("mnist-fast@2"), "{aliases}");
    // What is as good passes, and so does what is better.
    succeed("zoo", dir, ["alias", "mnist-fast@1", "stable", "--not-worse-than", "stable"]);
    succeed("zoo", dir, ["alias", "mnist-fast@1", "stable", "--not-worse-than", "2"]);
}

#[test]
fn two_trainings_of_one_recipe_differ_in_profile_and_weights_alone() {
    let dir = planted();
    let found = diff(dir.path(), &["mnist-lite@1", "mnist-lite@2"]);
    let recipe: Vec<&str> =
        found["recipe"].as_array().unwrap().iter().map(|change| change["what"].as_str().unwrap()).collect();
    assert!(
        !recipe.is_empty() && recipe.iter().all(|field| field.starts_with("numeric_profile")),
        "{recipe:?}"
    );
    assert_eq!((&found["data"], &found["operators"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    assert_eq!(found["accuracy"][1], "9958/10000");
    // A version beside itself.
    let same = diff(dir.path(), &["mnist-lite@2", "mnist-lite@2"]);
    assert_eq!(
        (same["mcnemar"]["probability"].as_f64(), same["disagreements"].as_array().unwrap().len()),
        (Some(1.0), 0)
    );
    assert_eq!(same["weights"], Value::Array(vec![]));
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let dir = planted();
    let dir = dir.path();
    for (row, arguments, expected) in [
        ("other data", ["diff", "mnist-lite", "fashion-lite"], "datasets mnist and fashion-mnist"),
        ("no such model", ["diff", "mnist-lite", "mnist-none"], "mnist-none"),
        ("two files", ["diff", "a.onnx", "b.onnx"], "one version at least"),
        ("no such file", ["diff", "mnist-lite", "a.onnx"], "a.onnx"),
    ] {
        assert_refused(row, &run("zoo", dir, arguments), &[expected]);
    }
    std::fs::write(dir.join("a.onnx"), b"no model").unwrap();
    assert_refused("no model", &run("zoo", dir, ["diff", "mnist-lite", "a.onnx"]), &["a.onnx"]);
}

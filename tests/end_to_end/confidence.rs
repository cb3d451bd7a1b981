//! Calibration, coverage and damage: published, and counted again by `infer verify`.

use tests::{root, run, succeed, tiny_dataset};

#[test]
fn what_a_version_promises_is_counted_again() {
    let dir = tempfile::tempdir().unwrap();
    tiny_dataset(dir.path(), 300, 100).unwrap();
    let recipe = std::fs::read_to_string(root().join("tests/data/tiny.yaml")).unwrap();
    let recipe = recipe
        .replace("validation: 10", "validation: 100")
        .replace("{select: best_validation}", "{select: last, confidence: true, corruptions: true}")
        .replace("ema: 0.9", "ema: 0.9\noutliers: {share: 0.2, mirrored: [7]}");
    std::fs::write(dir.path().join("recipe.yaml"), recipe).unwrap();
    succeed("trainer", dir.path(), ["publish", "recipe.yaml"]);
    let verify = || run("infer", dir.path(), ["verify", "--corruptions"]);
    let outcome = verify();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for check in ["confidence", "corruptions"] {
        let line = outcome.stdout.lines().find(|line| line.contains(check)).unwrap();
        assert!(line.contains(" ok "), "{line}");
    }
    let version = dir.path().join("zoo/models/tiny/1");
    let card = std::fs::read_to_string(version.join("README.md")).unwrap();
    for part in ["## How far to believe it", "![reliability](reliability.svg)", "## Damaged images"] {
        assert!(card.contains(part), "no `{part}` in {card}");
    }
    // The temperature is a node of the graph.
    let onnx = std::fs::read(version.join("model.onnx")).unwrap();
    assert!(onnx.windows(20).any(|bytes| bytes == b"temperature.constant"));

    let path = version.join("manifest.yaml");
    let original = std::fs::read_to_string(&path).unwrap();
    let manifest: zoo::Manifest = datasets::yaml::parse(&original, &path).unwrap();
    let change = |change: &dyn Fn(&mut zoo::Manifest)| {
        let mut other = manifest.clone();
        change(&mut other);
        std::fs::write(&path, datasets::yaml::to_string(&other).unwrap()).unwrap();
        let outcome = verify();
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        outcome.stdout
    };
    let confidence = |manifest: &mut zoo::Manifest, change: &dyn Fn(&mut zoo::Confidence)| {
        change(manifest.confidence.as_mut().unwrap());
    };
    let fewer = |count: &mut zoo::Count| {
        count.correct = count.correct.saturating_sub(1).max(1) + 2 * u64::from(count.correct < 2)
    };
    let tampered = [
        change(&|m| confidence(m, &|c| c.calibration_error += 0.01)),
        change(&|m| confidence(m, &|c| c.coverage[3].threshold = 0.999_999)),
        change(&|m| confidence(m, &|c| fewer(&mut c.coverage[0].covered))),
        change(&|m| confidence(m, &|c| c.unlike.threshold = 100.0)),
    ];
    for stdout in tampered {
        assert!(
            stdout.lines().any(|line| line.contains("confidence") && line.contains("FAILED")),
            "{stdout}"
        );
    }
    let stdout = change(&|m| fewer(&mut m.corruptions.as_mut().unwrap().get_mut("fog").unwrap()[2]));
    assert!(
        stdout.lines().any(|line| line.contains("FAILED") && line.contains("claimed for fog")),
        "{stdout}"
    );

    std::fs::write(&path, original).unwrap();
    let reproduced = succeed("trainer", dir.path(), ["reproduce", "tiny"]);
    assert!(reproduced.contains("bit-identical"), "{reproduced}");
}

#[test]
fn confidence_needs_validation_images() {
    let dir = tempfile::tempdir().unwrap();
    tiny_dataset(dir.path(), 100, 20).unwrap();
    let recipe = std::fs::read_to_string(root().join("tests/data/tiny.yaml")).unwrap();
    let recipe = recipe
        .replace("validation: 10", "validation: 0")
        .replace("{select: best_validation}", "{select: last, confidence: true}");
    std::fs::write(dir.path().join("recipe.yaml"), recipe).unwrap();
    let outcome = run("trainer", dir.path(), ["train", "recipe.yaml"]);
    tests::assert_refused("no validation images", &outcome, &["split.validation", "output.confidence"]);
}

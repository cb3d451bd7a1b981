//! Train, resume, publish, predict: the whole way, on real images.

use std::io::BufRead;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tests::{command, run, succeed, tiny_dataset};

const RECIPE: &str = include_str!("../data/tiny.yaml");

/// A folder with a tiny dataset and a recipe for it.
fn workspace(train: usize, epochs: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny_dataset(dir.path(), train, 200).unwrap();
    let recipe = RECIPE
        .replace("epochs: 2", &format!("epochs: {epochs}"))
        .replace("validation: 10", "validation: 100");
    std::fs::write(dir.path().join("recipe.yaml"), recipe).unwrap();
    dir
}

fn read(dir: &Path, file: &str) -> Vec<u8> {
    std::fs::read(dir.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

#[test]
fn train_publish_predict_and_refuse_a_corrupted_byte() {
    let dir = workspace(2000, 4);
    let dir = dir.path();
    let published: Value =
        serde_json::from_str(&succeed("trainer", dir, ["publish", "recipe.yaml", "--json"])).unwrap();
    assert_eq!(published[0]["new"], true);
    let manifest: zoo::Manifest = serde_json::from_value(published[0]["manifest"].clone()).unwrap();
    assert!(manifest.test.correct.share() > 0.8, "{}", manifest.test.correct);
    let verify = ["verify", "--json"];
    succeed("infer", dir, verify);

    let again: Value =
        serde_json::from_str(&succeed("trainer", dir, ["publish", "recipe.yaml", "--json"])).unwrap();
    assert_eq!((&again[0]["new"], &again[0]["manifest"]["version"]), (&false.into(), &1.into()));

    let samples =
        datasets::Dataset::find(&dir.join("datasets"), "tiny").unwrap().load(datasets::Split::Test).unwrap();
    let image = image::GrayImage::from_raw(28, 28, samples.image(0).to_vec()).unwrap();
    image.save(dir.join("seven.png")).unwrap();
    let outcome = run("infer", dir, ["predict", "seven.png", "--model", "tiny"]);
    assert!(outcome.code == Some(0) && outcome.stdout.starts_with("seven.png: "), "{outcome:?}");

    let onnx = dir.join("zoo/models/tiny/1/model.onnx");
    let mut bytes = std::fs::read(&onnx).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&onnx, bytes).unwrap();
    let outcome = run("infer", dir, ["predict", "seven.png", "--model", "tiny"]);
    tests::assert_refused("a corrupted byte", &outcome, &["model.onnx: changed: sha256"]);
    assert_eq!(run("infer", dir, verify).code, Some(1));
}

/// `infer` reads at most 2,000 operators. A long training is not what tells so.
#[test]
fn a_network_that_cannot_be_published_is_told_before_it_is_trained() {
    let dir = workspace(200, 1);
    let path = dir.path().join("recipe.yaml");
    let recipe = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, recipe.replace("- silu\n", &"- silu\n".repeat(1000))).unwrap();

    let problem = "model.onnx: not a usable ONNX model: 2012 nodes, at most 2000 expected";
    let trained = run("trainer", dir.path(), ["train", "recipe.yaml"]);
    let warning = format!("warning: the network cannot be published: {problem}");
    assert!(trained.code == Some(0) && trained.stderr.contains(&warning), "{trained:?}");

    std::fs::remove_dir_all(dir.path().join("runs")).unwrap();
    let published = run("trainer", dir.path(), ["publish", "recipe.yaml"]);
    tests::assert_refused("publish", &published, &[problem]);
    std::fs::write(&path, recipe).unwrap();
    for (option, value) in [("--zoo", "recipe.yaml"), ("--zoo", "/proc/zoo"), ("--chosen-by", "nowhere")] {
        let published = run("trainer", dir.path(), ["publish", "recipe.yaml", option, value]);
        tests::assert_refused(option, &published, &[value]);
    }
    assert!(!dir.path().join("runs").exists(), "nothing was trained");
}

#[test]
fn a_second_run_and_a_second_export_give_the_same_bytes() {
    let dirs = [workspace(600, 2), workspace(600, 2)];
    for dir in &dirs {
        succeed("trainer", dir.path(), ["publish", "recipe.yaml"]);
    }
    let manifests = dirs.each_ref().map(|dir| read(dir.path(), "zoo/models/tiny/1/manifest.yaml"));
    assert_eq!(String::from_utf8_lossy(&manifests[0]), String::from_utf8_lossy(&manifests[1]));

    // The same run published into an empty zoo: every byte again.
    let dir = dirs[0].path();
    let run_dir = std::fs::read_dir(dir.join("runs")).unwrap().next().unwrap().unwrap().path();
    succeed("trainer", dir, ["publish", "--run", run_dir.to_str().unwrap(), "--zoo", "other"]);
    assert_eq!(read(dir, "other/models/tiny/1/manifest.yaml"), manifests[0]);

    // And as the next version of the same zoo: the first is untouched.
    succeed("trainer", dir, ["publish", "recipe.yaml", "--again"]);
    assert_eq!(read(dir, "zoo/models/tiny/1/manifest.yaml"), manifests[0]);
    let second: zoo::Manifest = datasets::yaml::read(&dir.join("zoo/models/tiny/2/manifest.yaml")).unwrap();
    assert_eq!(second.version, 2);
    assert_eq!(
        read(dir, "zoo/models/tiny/2/model.safetensors"),
        read(dir, "zoo/models/tiny/1/model.safetensors")
    );
    succeed("infer", dir, ["verify"]);
}

/// A recipe that was chosen by runs with images held out, trained again on all of them; and the answer is the mean over two
/// views.
#[test]
fn a_chosen_recipe_is_trained_on_all_images_and_names_its_runs() {
    let dir = workspace(600, 2);
    let dir = dir.path();
    let chosen = std::fs::read_to_string(dir.join("recipe.yaml")).unwrap();
    let chosen =
        chosen.replace("output: {select: best_validation}", "output: {select: last, average: [left, right]}");
    assert!(chosen.contains("average"), "{chosen}");
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    for seed in [2, 1] {
        write("trial.yaml", &chosen.replace("seed: 7", &format!("seed: {seed}")));
        succeed("trainer", dir, ["train", "trial.yaml"]);
    }
    // Another recipe, one that is not finished, and what is no run.
    write("other.yaml", &chosen.replace("epochs: 2", "epochs: 3"));
    succeed("trainer", dir, ["train", "other.yaml"]);
    write("started.yaml", &chosen.replace("seed: 7", "seed: 9"));
    succeed("trainer", dir, ["train", "started.yaml", "--stop-after", "1"]);
    std::fs::create_dir(dir.join("runs/empty")).unwrap();
    write("final.yaml", &chosen.replace("validation: 100", "validation: 0"));
    succeed("trainer", dir, ["publish", "final.yaml", "--chosen-by", "runs"]);

    let manifest: zoo::Manifest = datasets::yaml::read(&dir.join("zoo/models/tiny/1/manifest.yaml")).unwrap();
    let training = manifest.training.unwrap();
    let runs: Vec<(u64, u64)> =
        training.chosen_by.iter().map(|run| (run.seed, run.validation.total)).collect();
    assert_eq!((runs, manifest.validation), (vec![(1, 100), (2, 100)], None));
    let card = String::from_utf8(read(dir, "zoo/models/tiny/1/README.md")).unwrap();
    assert!(card.contains("runs with 100 images held out") && card.contains("seeds 1, 2"), "{card}");
    succeed("infer", dir, ["verify"]);

    let none = dir.join("none");
    std::fs::create_dir(&none).unwrap();
    let refused = run("trainer", dir, ["publish", "final.yaml", "--again", "--chosen-by", "none"]);
    tests::assert_refused("no runs", &refused, &["no finished run of this recipe with validation images"]);

    // A run that came out badly is not left out by damaging it.
    let recipe_of = |seed: u64| {
        let recipes = std::fs::read_dir(dir.join("runs"))
            .unwrap()
            .map(|entry| entry.unwrap().path().join("recipe.yaml"));
        let of_seed = format!("seed: {seed}\n");
        let is_its = |text: &str| text.contains(&of_seed) && text.contains("validation: 100");
        recipes
            .into_iter()
            .find(|path| std::fs::read_to_string(path).is_ok_and(|text| is_its(&text)))
            .unwrap()
    };
    let path = recipe_of(2);
    let text = std::fs::read_to_string(&path).unwrap();
    for (damaged, problem) in [
        (None, "recipe.yaml"),
        (Some(text.clone() + "x\n"), "recipe.yaml"),
        (Some(text.replace("epochs: 2", "epochs: 3")), "recipe sha256"),
    ] {
        match &damaged {
            Some(damaged) => std::fs::write(&path, damaged).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let refused = run("trainer", dir, ["publish", "final.yaml", "--again", "--chosen-by", "runs"]);
        tests::assert_refused("a damaged run", &refused, &[problem]);
    }

    // One run alone has no range.
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    succeed("trainer", dir, ["publish", "final.yaml", "--again", "--chosen-by", "runs"]);
    let card = String::from_utf8(read(dir, "zoo/models/tiny/2/README.md")).unwrap();
    assert!(card.contains("a run with 100 images held out") && card.contains("(seed 1)"), "{card}");
}

#[test]
fn a_student_learns_from_a_published_teacher() {
    let dir = workspace(600, 2);
    let dir = dir.path();
    succeed("trainer", dir, ["publish", "recipe.yaml"]);
    let manifest: zoo::Manifest = datasets::yaml::read(&dir.join("zoo/models/tiny/1/manifest.yaml")).unwrap();
    let hash = manifest.parameters_sha256().unwrap().to_string();
    let recipe = std::fs::read_to_string(dir.join("recipe.yaml")).unwrap();
    let student = |teacher: &str, hash: &str| {
        let lesson =
            format!("distillation: {{teacher: {teacher}, parameters_sha256: {hash}, weight: 0.9}}\n");
        std::fs::write(dir.join("student.yaml"), recipe.replace("name: tiny", "name: student") + &lesson)
            .unwrap();
    };
    student("tiny@1", &hash);
    succeed("trainer", dir, ["publish", "student.yaml"]);
    succeed("infer", dir, ["verify"]);
    let report = succeed("trainer", dir, ["reproduce", "student"]);
    assert!(report.contains("bit-identical"), "{report}");
    let weights = |model: &str| read(dir, &format!("zoo/models/{model}/1/model.safetensors"));
    assert_ne!(weights("student"), weights("tiny"), "the teacher changes nothing");

    // libtorch's own arithmetic has the loss written another way: the same, but for rounding. Dropout draws otherwise.
    let losses = ["portable", "avx2"].map(|isa| {
        let recipe = std::fs::read_to_string(dir.join("student.yaml")).unwrap();
        let recipe = recipe.replace("- dropout: {rate: 0.2}\n", "");
        assert!(recipe.contains("isa: portable") && !recipe.contains("dropout"));
        std::fs::write(dir.join("other.yaml"), recipe.replace("isa: portable", &format!("isa: {isa}")))
            .unwrap();
        succeed("trainer", dir, ["train", "other.yaml", "--run", isa]);
        let history = String::from_utf8(read(dir, &format!("{isa}/history.csv"))).unwrap();
        history.lines().nth(1).unwrap().split(',').nth(2).unwrap().parse::<f64>().unwrap()
    });
    let [portable, libtorch] = losses;
    assert!((portable - libtorch).abs() < 1e-3 * portable, "{losses:?}");

    for (teacher, hash, problem) in [
        ("tiny@1", "0".repeat(64).as_str(), "the parameters of tiny@1"),
        ("tiny@2", hash.as_str(), "tiny"),
        ("Tiny@", hash.as_str(), "distillation.teacher"),
    ] {
        student(teacher, hash);
        tests::assert_refused(teacher, &run("trainer", dir, ["train", "student.yaml"]), &[problem]);
    }
    student("tiny@1", &hash);
    let refused = run("trainer", dir, ["audit", "tiny", "--recipe", "student.yaml"]);
    tests::assert_refused("an audit", &refused, &["it has seen the images that are judged"]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_resumes_to_the_same_bytes() {
    let dir = workspace(1000, 6);
    let dir = dir.path();
    let straight = ["train", "recipe.yaml", "--run", "straight"];
    succeed("trainer", dir, straight);
    let resumed = ["train", "recipe.yaml", "--run", "resumed", "--resume"];
    let mut interruptions = 0;
    // Interrupted at different moments until it gets through.
    for _ in 0..20 {
        let mut child = command("trainer", dir)
            .args(resumed)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let epoch_done = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("epoch "));
        if epoch_done && interruptions < 3 {
            let kill =
                std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
            assert!(kill.success());
        }
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        match child.wait().unwrap().code() {
            Some(0) => break,
            Some(2) => assert!(rest.iter().any(|line| line.contains("interrupted in epoch")), "{rest:?}"),
            other => panic!("{other:?} {rest:?}"),
        }
        interruptions += 1;
    }
    assert!(interruptions > 0, "the run was never interrupted");
    for file in ["model.safetensors", "first_layer.safetensors", "history.csv"] {
        assert_eq!(read(dir, &format!("resumed/{file}")), read(dir, &format!("straight/{file}")), "{file}");
    }
    let outcome = run("trainer", dir, straight);
    tests::assert_refused("a run that exists", &outcome, &["holds a run already; add --resume"]);
}

#[test]
fn a_run_whose_weights_are_lost_is_neither_finished_nor_published() {
    let dir = workspace(600, 1);
    let dir = dir.path();
    // So high a rate, with no normalisation, that weights overflow in the very first steps.
    let recipe = std::fs::read_to_string(dir.join("recipe.yaml")).unwrap();
    let recipe = recipe.replace("adam: {}", "sgd: {}").replace("peak: 0.01", "peak: 10, start_divisor: 1");
    let recipe = recipe.replace("    - batch_norm\n", "").replace("- batch_norm\n", "");
    std::fs::write(dir.join("lost.yaml"), recipe).unwrap();
    let outcome = run("trainer", dir, ["train", "lost.yaml", "--run", "lost"]);
    tests::assert_refused("lost weights", &outcome, &["the learning rate is probably too high"]);
    assert!(!dir.join("lost/run.json").exists());
    let refused = run("trainer", dir, ["publish", "--run", "lost"]);
    tests::assert_refused("not finished", &refused, &["expected a finished run"]);
}

#[test]
fn state_dict_names_and_shapes() {
    let dir = workspace(300, 1);
    succeed("trainer", dir.path(), ["train", "recipe.yaml", "--run", "run"]);
    let list = |file: &str| {
        let bytes = read(dir.path(), &format!("run/{file}"));
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut list: Vec<String> = tensors
            .tensors()
            .iter()
            .map(|(name, view)| format!("{name} {:?} {:?}", view.dtype(), view.shape()))
            .collect();
        list.sort();
        list
    };
    insta::assert_snapshot!(list("model.safetensors").join("\n"));
    assert_eq!(list("first_layer.safetensors"), ["conv1.bias F32 [8]", "conv1.weight F32 [8, 1, 3, 3]"]);
}

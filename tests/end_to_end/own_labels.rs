//! From a user's images to a first recipe, and what is wrong with their labels; runs that end early, classes of unequal size.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{assert_refused, command, run, succeed};

use crate::own_data::{CLASSES, RECIPE, folder, picture};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_first_recipe_for_any_images() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folder(dir, 60);
    // One class has a quarter of the images of the others.
    for index in 15..60 {
        std::fs::remove_file(dir.join(format!("pictures/dots/{index:03}.png"))).unwrap();
    }
    succeed("trainer", dir, ["import", "pictures", "--name", "stripes"]);
    let written = json(&succeed("trainer", dir, ["init", "stripes", "--minutes", "0.2", "--json"]));
    assert_eq!(written["recipe"], "stripes-cnn.yaml");
    let text = std::fs::read_to_string(dir.join("stripes-cnn.yaml")).unwrap();
    assert!(text.contains("sampling: balanced  # the largest class has 4 times"), "{text}");
    assert!(text.contains("colour: {probability: 0.5"), "{text}");
    assert_eq!(written["images"], 88);
    let seconds = written["estimated_seconds"].as_f64().unwrap();
    assert!(seconds > 0.0 && seconds < 600.0, "{written}");
    assert_refused(
        "a recipe that is there",
        &run("trainer", dir, ["init", "stripes"]),
        &["is there already"],
    );
    let published = json(&succeed("trainer", dir, ["publish", "stripes-cnn.yaml", "--json"]));
    let manifest: zoo::Manifest = serde_json::from_value(published[0]["manifest"].clone()).unwrap();
    assert!(manifest.test.correct.share() > 0.9, "{}", manifest.test.correct);
    succeed("infer", dir, ["verify"]);
    let reproduced = json(&succeed("trainer", dir, ["reproduce", "stripes-cnn", "--json"]));
    assert_eq!(reproduced["verdict"], "bit-identical", "{reproduced}");
}

#[test]
fn a_run_ends_early_and_is_reproduced_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // Labels by chance: after a while, more training does not help.
    for (class, name) in CLASSES.iter().enumerate() {
        let folder = dir.join("pictures").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for index in 0..30u32 {
            let chance = (30 * class as u32 + index).wrapping_mul(2_654_435_761) >> 13;
            let image = picture(chance as usize % 3, chance % 1000, 12);
            image.save(folder.join(format!("{index}.png"))).unwrap();
        }
    }
    succeed("trainer", dir, ["import", "pictures", "--name", "stripes"]);
    let recipe = RECIPE.replace(
        "epochs: 12",
        "epochs: 60\nearly_stopping: {patience: 3}\noutput: {select: best_validation}",
    );
    std::fs::write(dir.join("recipe.yaml"), &recipe).unwrap();
    let published = json(&succeed("trainer", dir, ["publish", "recipe.yaml", "--json"]));
    let training = &published[0]["manifest"]["training"];
    let (epochs, selected) =
        (training["epochs"].as_u64().unwrap(), training["selected_epoch"].as_u64().unwrap());
    assert!(epochs < 60 && epochs == selected + 3, "{epochs} epochs, the {selected}th selected");
    succeed("infer", dir, ["verify"]);
    let reproduced = json(&succeed("trainer", dir, ["reproduce", "stripes", "--json"]));
    assert_eq!((&reproduced["verdict"], &reproduced["claim"]), (&"bit-identical".into(), &"whole".into()));
    // What is over is over.
    let run_folder = std::fs::read_dir(dir.join("runs")).unwrap().next().unwrap().unwrap().path();
    let again = ["train", "recipe.yaml", "--resume", "--json", "--run", run_folder.to_str().unwrap()];
    assert_eq!(json(&succeed("trainer", dir, again))["epochs"], epochs);
    for (row, from, to, expected) in [
        ("no patience", "patience: 3", "patience: 0", "early_stopping.patience: found 0"),
        ("the last epoch chosen", "select: best_validation", "select: last", "output.select: found last"),
    ] {
        std::fs::write(dir.join("bad.yaml"), recipe.replace(from, to)).unwrap();
        assert_refused(row, &run("trainer", dir, ["train", "bad.yaml"]), &[expected]);
    }
}

#[test]
fn wrong_labels_are_found_and_corrected() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folder(dir, 60);
    let moved = [(0, 1, 3), (1, 0, 8), (2, 0, 11), (0, 2, 20), (1, 2, 41)];
    for (from, to, index) in moved {
        let [from, to] = [from, to].map(|class: usize| dir.join("pictures").join(CLASSES[class]));
        std::fs::rename(from.join(format!("{index:03}.png")), to.join(format!("moved-{index:03}.png")))
            .unwrap();
    }
    let import = ["import", "pictures", "--name", "stripes", "--test-share", "0.05"];
    succeed("trainer", dir, import);
    std::fs::write(dir.join("recipe.yaml"), RECIPE).unwrap();
    let audit = ["audit", "stripes", "--recipe", "recipe.yaml", "--folds", "3", "--json"];
    let found = json(&succeed("trainer", dir, audit));
    let table = std::fs::read(dir.join("audits/stripes/issues.csv")).unwrap();
    let issues = found["issues"].as_array().unwrap();
    let trained: Vec<&str> = issues.iter().map(|issue| issue["origin"].as_str().unwrap()).collect();
    let right = trained.iter().filter(|origin| origin.contains("moved-")).count();
    assert!(right >= 4 && trained.len() <= 8, "{trained:?}");
    for issue in issues.iter().filter(|issue| issue["origin"].as_str().unwrap().contains("moved-")) {
        let origin = issue["origin"].as_str().unwrap();
        let truth =
            moved.iter().find(|(_, _, index)| origin.ends_with(&format!("{index:03}.png"))).unwrap().0;
        assert_eq!(issue["suggested"], CLASSES[truth], "{origin}");
    }
    let page = std::fs::read_to_string(dir.join("audits/stripes/report.html")).unwrap();
    assert!(page.matches("<img src=\"data:image/png").count() == issues.len(), "a picture of each");

    // A recipe of other data has classes and augmentation that are not these.
    std::fs::write(dir.join("other.yaml"), RECIPE.replace("dataset: stripes", "dataset: spots")).unwrap();
    let other = run("trainer", dir, ["audit", "stripes", "--recipe", "other.yaml"]);
    assert_refused("a recipe of another dataset", &other, &["dataset: found spots, expected stripes"]);

    // The runs are there: the same again, at once.
    let started = Instant::now();
    succeed("trainer", dir, audit);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(std::fs::read(dir.join("audits/stripes/issues.csv")).unwrap(), table);

    // What a person deleted rows of is kept when the audit is repeated.
    let edited = "rank,sha256,suggested\n";
    std::fs::write(dir.join("audits/stripes/issues.csv"), edited).unwrap();
    succeed("trainer", dir, audit);
    assert_eq!(std::fs::read_to_string(dir.join("audits/stripes/issues.before-1.csv")).unwrap(), edited);

    let import =
        ["import", "pictures", "--name", "better", "--relabel", "audits/stripes/issues.csv", "--json"];
    assert_eq!(json(&succeed("trainer", dir, import))["relabelled"], issues.len());
    let import =
        ["import", "pictures", "--name", "fewer", "--exclude", "audits/stripes/issues.csv", "--json"];
    assert_eq!(json(&succeed("trainer", dir, import))["left_out"].as_array().unwrap().len(), issues.len());
}

/// Killed while images are read: nothing but a folder that the next import of the name removes.
#[test]
fn a_killed_import_leaves_no_half_dataset() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for class in [0, 2] {
        let folder = dir.join("photos").join(CLASSES[class]);
        std::fs::create_dir_all(&folder).unwrap();
        for index in 0..60 {
            picture(class, index, 500).save(folder.join(format!("{index:03}.png"))).unwrap();
        }
    }
    let arguments = ["import", "photos", "--name", "photos", "--size", "96x96"];
    let staging = dir.join("datasets/.import-photos");
    let mut killed = 0;
    for kilobytes in [1, 300, 1000] {
        let mut child =
            command("trainer", dir).args(arguments).stdout(std::process::Stdio::null()).spawn().unwrap();
        let written = || std::fs::metadata(staging.join("pixels")).map_or(0, |file| file.len());
        while written() < kilobytes * 1000 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        assert!(!dir.join("datasets/photos").exists() || killed == 0);
        assert!(staging.exists());
    }
    assert_eq!(killed, 3);
    succeed("trainer", dir, arguments);
    assert_eq!(
        datasets::Dataset::open(&dir.join("datasets/photos"))
            .unwrap()
            .load(datasets::Split::Train)
            .unwrap()
            .len(),
        96
    );
    assert_eq!(names(&dir.join("datasets")), ["photos"]);
}

fn names(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A run belongs to the data that it began with: others under the same name are not published as its own.
#[test]
fn a_run_does_not_go_on_with_other_data() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folder(dir, 30);
    let import = ["import", "pictures", "--name", "stripes", "--size", "12x12"];
    succeed("trainer", dir, import);
    std::fs::write(dir.join("recipe.yaml"), RECIPE).unwrap();
    succeed("trainer", dir, ["publish", "recipe.yaml"]);
    std::fs::remove_dir_all(dir.join("datasets/stripes")).unwrap();
    std::fs::remove_file(dir.join("pictures/dots/007.png")).unwrap();
    succeed("trainer", dir, import);
    let refused = run("trainer", dir, ["publish", "recipe.yaml"]);
    assert_refused("other data", &refused, &["runs/stripes-", "was trained on other images or labels"]);
}

//! Run folders that somebody changed, that hold something else, or whose data changed: nothing of them is believed unseen.

use std::path::Path;

use tests::{assert_refused, run, succeed, tiny_dataset};

const RECIPE: &str = include_str!("../data/tiny.yaml");

/// A dataset, a recipe, and a run of it that was stopped after its first epoch, in `half`.
fn workspace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny_dataset(dir.path(), 210, 40).unwrap();
    std::fs::write(dir.path().join("recipe.yaml"), RECIPE).unwrap();
    let stopped = ["train", "recipe.yaml", "--run", "half", "--stop-after", "1", "--json"];
    assert!(succeed("trainer", dir.path(), stopped).contains("\"stopped_after\": 1"));
    dir
}

fn write(dir: &Path, file: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(dir.join(file), bytes).unwrap();
}

/// A checkpoint with another text in place of one of its progress, of the same length or not.
fn edited(checkpoint: &[u8], from: &str, to: &str) -> Vec<u8> {
    let length = u64::from_le_bytes(checkpoint[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(checkpoint[8..8 + length].to_vec()).unwrap();
    assert!(header.contains(from), "{header}");
    let header = header.replacen(from, to, 1);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &checkpoint[8 + length..]].concat()
}

#[test]
fn a_changed_checkpoint_is_not_gone_on_with() {
    let workspace = workspace();
    let dir = workspace.path();
    let good = std::fs::read(dir.join("half/checkpoint.safetensors")).unwrap();
    let flipped = |place: usize| {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        bytes
    };
    let rows: [(&str, Vec<u8>, &str); 6] = [
        ("a bit of the last tensor", flipped(good.len() - 2), "damaged: tensors are not what was saved"),
        ("a bit in the middle", flipped(good.len() / 2), "damaged"),
        ("steps that were not taken", edited(&good, r#"\"step\":0"#, r#"\"step\":3"#), "expected"),
        (
            "more steps than there are",
            edited(&good, r#"\"optimizer_steps\":4"#, r#"\"optimizer_steps\":18446744073709551615"#),
            "optimizer_steps: found 18446744073709551615, expected 4 to 4",
        ),
        (
            "right answers that were not given",
            edited(&good, r#"\"correct\":0"#, r#"\"correct\":9"#),
            "correct: found 9",
        ),
        (
            "an epoch that is missing",
            edited(&good, r#"\"epoch\":1,"#, r#"\"epoch\":5,"#),
            "found 5, expected 1",
        ),
    ];
    for (row, bytes, expected) in rows {
        write(dir, "half/checkpoint.safetensors", bytes);
        let outcome = run("trainer", dir, ["train", "recipe.yaml", "--run", "half", "--resume"]);
        assert_refused(row, &outcome, &["checkpoint.safetensors", expected]);
    }
    write(dir, "half/checkpoint.safetensors", &good);
    succeed("trainer", dir, ["train", "recipe.yaml", "--run", "half", "--resume"]);

    // What is published is what the run says of itself.
    let history = std::fs::read_to_string(dir.join("half/history.csv")).unwrap();
    let lines: Vec<&str> = history.lines().collect();
    let fields: Vec<&str> = lines[2].split(',').collect();
    let with = |place: usize, value: &str| {
        let mut fields = fields.clone();
        fields[place] = value;
        format!("{}\n{}\n{}\n", lines[0], lines[1], fields.join(","))
    };
    for (row, text, expected) in [
        ("an accuracy of NaN", with(5, "NaN"), "epoch 2: validation_accuracy: found NaN, expected 0 to 1"),
        ("an accuracy above 1", with(5, "1e17"), "expected 0 to 1"),
        ("a loss without end", with(2, "inf"), "train_loss: found inf, expected a finite number"),
        ("an epoch too few", format!("{}\n{}\n", lines[0], lines[1]), "1 epochs, expected 2 as in run.json"),
        ("an epoch twice", with(0, "1"), "epoch: found 1, expected 2"),
        (
            "other weights",
            history.replace(fields[6], lines[1].split(',').nth(6).unwrap()),
            "parameters sha256",
        ),
    ] {
        write(dir, "half/history.csv", text);
        assert_refused(
            row,
            &run("trainer", dir, ["publish", "--run", "half", "--zoo", "zoo"]),
            &["history.csv", expected],
        );
    }
    write(dir, "half/history.csv", &history);
    // A finished run keeps the processor that trained it.
    let summary = std::fs::read_to_string(dir.join("half/run.json")).unwrap();
    let cpu = summary.lines().find(|line| line.contains("\"cpu\"")).unwrap();
    let elsewhere = summary.replace(cpu, "  \"cpu\": \"Another Processor\",");
    write(dir, "half/run.json", &elsewhere);
    succeed("trainer", dir, ["train", "recipe.yaml", "--run", "half", "--resume"]);
    assert_eq!(std::fs::read_to_string(dir.join("half/run.json")).unwrap(), elsewhere);
}

#[test]
fn other_peoples_folders_are_left_alone() {
    let workspace = workspace();
    let dir = workspace.path();
    succeed("trainer", dir, ["train", "recipe.yaml", "--run", "half", "--resume"]);
    let publish = ["publish", "--run", "half", "--zoo", "zoo"];
    assert!(succeed("trainer", dir, publish).starts_with("published tiny@1"));
    // Not a second time without --again.
    assert!(succeed("trainer", dir, publish).starts_with("already published by this recipe: tiny@1"));
    let version = "zoo/models/tiny/1";
    for arguments in [
        ["train", "recipe.yaml", "--run", version].as_slice(),
        &["reproduce", "tiny", "--run", version],
        &["front", "--out", version],
        &["front", "--out", "zoo/models/tiny/1/deeper"],
        &["pictures", "tiny", "--out", version],
        &["init", "tiny", "--out", "zoo/models/tiny/1/own.yaml"],
        &["preview", "recipe.yaml", "--out", "zoo/models/tiny/1/README.md"],
    ] {
        assert_refused(arguments[0], &run("trainer", dir, arguments), &[version, "never changes"]);
    }
    let over = run("trainer", dir, ["preview", "recipe.yaml", "--out", "./recipe.yaml"]);
    assert_refused("a picture over the recipe", &over, &["is the same file as recipe.yaml"]);
    succeed("infer", dir, ["verify", "tiny"]);

    std::fs::create_dir(dir.join("project")).unwrap();
    write(dir, "project/recipe.yaml", "onions: 3\n");
    let outcome = run("trainer", dir, ["train", "recipe.yaml", "--run", "project"]);
    assert_refused("somebody's recipe", &outcome, &["project/recipe.yaml", "differs from the recipe"]);
    assert_eq!(std::fs::read_to_string(dir.join("project/recipe.yaml")).unwrap(), "onions: 3\n");
}

/// The same names, other labels: runs of before are of other data.
#[test]
fn a_study_does_not_mix_runs_of_different_data() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_dataset(dir, 210, 40).unwrap();
    write(dir, "recipe.yaml", RECIPE);
    let study = |values: &str| {
        let text = "name: s\ntitle: S\nbase: recipe.yaml\nset: {epochs: 1}\nseeds: [1]\naxes:\n\
                    - {knob: batch, field: batch_size, values: ";
        write(dir, "study.yaml", format!("{text}{values}}}\n"));
        run("trainer", dir, ["study", "study.yaml", "--workers", "1"])
    };
    assert_eq!(study("[50, 100]").code, Some(0));
    tiny_dataset(dir, 220, 40).unwrap();
    assert_refused("other data", &study("[50, 100, 25]"), &["was trained on other images or labels"]);
    for (row, values, expected) in [
        ("a number without end", "[.inf, 50]", "finite numbers"),
        ("a value that replaces another", "{a: 50, b: 25, b: 100}", "duplicate"),
    ] {
        assert_refused(row, &study(values), &["study.yaml", expected]);
    }
}

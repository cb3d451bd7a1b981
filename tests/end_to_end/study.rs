//! Studies from file to report: resumed, halved, planned for a cluster.

use std::path::Path;
use std::time::{Duration, Instant};

use tests::{command, run, succeed, tiny_dataset};

const RECIPE: &str = include_str!("../data/tiny.yaml");
const STUDY: &str = "name: knobs
title: What <two> knobs do
base: recipe.yaml
set: {epochs: 2, split.validation: 200}
seeds: [1, 2]
axes:
- knob: batch size
  field: batch_size
  values: [25, 50, 100]
- knob: activation
  values:
    silu: {network.silu1: silu}
    tanh: {network.silu1: tanh}
";
/// Base, batch 25 and 100, tanh; two seeds. Batch 50 and silu are the base.
const RUNS: usize = 8;

fn workspace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny_dataset(dir.path(), 700, 100).unwrap();
    std::fs::write(dir.path().join("recipe.yaml"), RECIPE).unwrap();
    std::fs::write(dir.path().join("study.yaml"), STUDY).unwrap();
    dir
}

/// `results.csv` without the times: what must be the same however a study was run.
fn results(dir: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(dir.join("knobs/results.csv")).unwrap();
    let rows = text.lines().map(|line| line.split(',').map(String::from).collect::<Vec<_>>());
    let seconds = rows.clone().next().unwrap().iter().position(|name| name == "seconds").unwrap();
    rows.map(|mut row| {
        row.remove(seconds);
        row
    })
    .collect()
}

fn finished_runs(dir: &Path) -> usize {
    let folders = std::fs::read_dir(dir.join("runs")).into_iter().flatten();
    folders.filter(|folder| folder.as_ref().unwrap().path().join("run.json").exists()).count()
}

#[test]
fn killed_and_resumed_it_gives_the_same_and_trains_nothing_twice() {
    let (whole, killed) = (workspace(), workspace());
    succeed("trainer", whole.path(), ["study", "study.yaml"]);
    let expected = results(whole.path());
    assert_eq!(expected.len(), 1 + 6 * 2, "a header, and six combinations with two seeds each");

    let dir = killed.path();
    let mut process = command("trainer", dir).args(["study", "study.yaml"]).spawn().unwrap();
    let start = Instant::now();
    while finished_runs(dir) < 2 {
        assert!(start.elapsed() < Duration::from_secs(120), "no run finished");
        std::thread::sleep(Duration::from_millis(10));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(finished_runs(dir) < RUNS, "killed too late to show anything");
    let written = |dir: &Path| -> Vec<_> {
        let runs =
            std::fs::read_dir(dir.join("runs")).unwrap().map(|run| run.unwrap().path().join("run.json"));
        let mut files: Vec<_> =
            runs.filter_map(|path| Some((path.clone(), path.metadata().ok()?.modified().ok()?))).collect();
        files.sort();
        files
    };
    let before = written(dir);
    succeed("trainer", dir, ["study", "study.yaml"]);
    assert_eq!(results(dir), expected);
    let after = written(dir);
    assert_eq!(after.len(), RUNS);
    assert!(before.iter().all(|file| after.contains(file)), "a finished run was trained again");

    // Nothing is left to do, and the report is written from what is there.
    std::fs::remove_file(dir.join("knobs/report.html")).unwrap();
    succeed("trainer", dir, ["study", "collect", "study.yaml"]);
    assert_eq!((results(dir), written(dir)), (expected, after));
}

#[test]
fn the_report_says_what_was_found() {
    let dir = workspace();
    let json = succeed("trainer", dir.path(), ["study", "study.yaml", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["combinations"].as_array().unwrap().len(), 6);
    let page = std::fs::read_to_string(dir.path().join("knobs/report.html")).unwrap();
    for part in
        ["<h1>What &lt;two&gt; knobs do</h1>", "Turning batch size moves", "F test", "<td>50 (base)</td>"]
    {
        assert!(page.contains(part), "no {part:?}");
    }
    assert_eq!(page.matches("<svg ").count(), 2 * 2 + 3, "two plots for each knob, three of costs");
    for foreign in ["<script", "http://", "https://", "url("] {
        let found = page.replace("http://www.w3.org/2000/svg", "").contains(foreign);
        assert!(!found, "not self-contained: {foreign}");
    }
    let text = std::fs::read_to_string(dir.path().join("knobs/report.md")).unwrap();
    assert!(text.contains("| 50 (base) |") && text.contains("## All combinations"), "{text}");
}

#[test]
fn a_job_array_gives_the_same_as_training_here() {
    let (here, cluster) = (workspace(), workspace());
    succeed("trainer", here.path(), ["study", "study.yaml"]);
    let dir = cluster.path();
    let job = succeed("trainer", dir, ["study", "study.yaml", "--plan", "slurm"]);
    let script = std::fs::read_to_string(dir.join(job.trim())).unwrap();
    assert!(script.contains(&format!("#SBATCH --array=0-{}", RUNS - 1)), "{script}");
    let early = run("trainer", dir, ["study", "collect", "study.yaml"]);
    tests::assert_refused("nothing to report", &early, &["no run is finished yet"]);
    for task in 0..RUNS {
        let mut bash = std::process::Command::new("bash");
        bash.arg(job.trim()).current_dir(dir).env("SLURM_ARRAY_TASK_ID", task.to_string());
        let output = bash.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    succeed("trainer", dir, ["study", "collect", "study.yaml"]);
    assert_eq!(results(dir), results(here.path()));
    let done = run("trainer", dir, ["study", "study.yaml", "--plan", "slurm"]);
    tests::assert_refused("nothing to plan", &done, &["every run is finished"]);
}

#[test]
fn halving_stops_what_is_behind_and_says_so() {
    let dir = workspace();
    let study = STUDY.replace("silu1: tanh", "silu1: sigmoid") + "halving: {rungs: [1], keep: 0.5}\n";
    std::fs::write(dir.path().join("study.yaml"), study.replace("seeds: [1, 2]", "seeds: [1]")).unwrap();
    succeed("trainer", dir.path(), ["study", "study.yaml"]);
    let text = std::fs::read_to_string(dir.path().join("knobs/report.md")).unwrap();
    assert!(text.contains("(stopped after 1 epochs)"), "{text}");
    let finished = finished_runs(dir.path());
    assert!((1..4).contains(&finished), "{finished} of 4 runs finished");
}

#[test]
fn studies_that_cannot_be_are_refused_before_anything_is_trained() {
    let dir = workspace();
    for (row, from, to, expected) in [
        ("unknown key", "title:", "titel: x\ntitle:", "titel"),
        ("no base", "base: recipe.yaml", "base: nothing.yaml", "nothing.yaml"),
        ("no seeds", "seeds: [1, 2]", "seeds: []", "seeds"),
        ("a seed twice", "seeds: [1, 2]", "seeds: [1, 1]", "each once"),
        ("a knob named like a column", "knob: batch size", "knob: seconds", "a column of the results"),
        ("one value", "values: [25, 50, 100]", "values: [25]", "two values or more"),
        ("a value twice", "values: [25, 50, 100]", "values: [25, 25]", "each once"),
        ("a path that leads nowhere", "field: batch_size", "field: batch_sise", "batch_sise"),
        ("a layer that is not there", "silu1: tanh", "silu2: tanh", "instead of \"silu2\""),
        (
            "a value that does not fit",
            "values: [25, 50, 100]",
            "values: [25, many]",
            "batch_size: found \"many\"",
        ),
        ("a value out of range", "values: [25, 50, 100]", "values: [25, 0]", "1 to 65536"),
        ("a network that cannot be", "silu1: tanh", "flatten1: tanh", "activation tanh: network: layer"),
        (
            "too many combinations",
            "seeds: [1, 2]",
            "design: {random: {combinations: 0, seed: 1}}\nseeds: [1]",
            "at least 1",
        ),
        (
            "a rung of no epochs",
            "seeds: [1, 2]",
            "halving: {rungs: [0], keep: 0.5}\nseeds: [1]",
            "halving.rungs",
        ),
    ] {
        std::fs::write(dir.path().join("study.yaml"), STUDY.replace(from, to)).unwrap();
        tests::assert_refused(row, &run("trainer", dir.path(), ["study", "study.yaml"]), &[expected]);
        assert!(!dir.path().join("runs").exists(), "{row}: something was trained");
    }
}

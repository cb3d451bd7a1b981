//! Studies from file to report: resumed, halved, planned for a cluster.

use std::path::Path;
use std::process::Stdio;
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
    assert_eq!((results(dir), written(dir)), (expected.clone(), after));

    // A report is not written over by one that knows fewer runs.
    let (gone, _) = &before[0];
    std::fs::remove_dir_all(gone.parent().unwrap()).unwrap();
    let refused = run("trainer", dir, ["study", "collect", "study.yaml"]);
    tests::assert_refused("a run is gone", &refused, &["has 1 finished runs whose folders are not here"]);
    assert_eq!(results(dir), expected);
    succeed("trainer", dir, ["study", "study.yaml"]);
    assert_eq!(results(dir), expected, "trained again to the same");
}

/// `timeout` signals a process and then its group, that is twice at once.
#[cfg(unix)]
#[test]
fn a_study_that_is_stopped_stops_its_runs_which_save() {
    let workspace = workspace();
    let dir = workspace.path();
    let long = STUDY.replace("epochs: 2", "epochs: 2000");
    std::fs::write(dir.join("study.yaml"), long).unwrap();
    let arguments = ["study", "study.yaml", "--workers", "2"];
    let process = command("trainer", dir).args(arguments).stderr(Stdio::piped()).spawn().unwrap();
    let folders = || -> Vec<_> {
        let folders = std::fs::read_dir(dir.join("runs")).into_iter().flatten();
        folders.map(|folder| folder.unwrap().path()).collect()
    };
    let start = Instant::now();
    while folders().iter().filter(|run| run.join("checkpoint.safetensors").exists()).count() < 2 {
        assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..2 {
        let id = process.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && said.contains(&format!("interrupted; {RUNS} runs are left")),
        "{said}"
    );
    for run in folders() {
        // Nobody trains there any more.
        datasets::files::open_lock(&run.join(".lock")).unwrap().try_lock().unwrap();
    }
}

#[test]
fn the_report_says_what_was_found() {
    let dir = workspace();
    let json = succeed("trainer", dir.path(), ["study", "study.yaml", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["combinations"].as_array().unwrap().len(), 6);
    let page = std::fs::read_to_string(dir.path().join("knobs/report.html")).unwrap();
    for part in ["<h1>What &lt;two&gt; knobs do</h1>", "same mean: F(", "<td>50 (base)</td>", "compared with"]
    {
        assert!(page.contains(part), "no {part:?}");
    }
    // Parameters and multiplications are the same for all, and are not plotted.
    assert_eq!(page.matches("<figure>").count(), 2 * 3, "three plots for each knob");
    let knob = &json["analysis"]["knobs"][0];
    assert_eq!((&knob["knob"], &knob["reference"]), (&"batch size".into(), &"50".into()));
    // Blocks of two seeds, three values.
    assert_eq!(knob["test"]["freedom"], serde_json::json!([2, 2]));
    assert!(knob["values"][0]["difference"]["half_width"].as_f64().unwrap() > 0.0);
    let written = std::fs::read_to_string(dir.path().join("knobs/report.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), json["analysis"]);
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
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.stderr.contains("every run is finished"), "{done:?}");
}

/// Runs a job as Slurm would, without one: arrays task by task, and what is submitted at once.
fn submit(dir: &Path, job: &str) {
    let bin = dir.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let sbatch = "#!/bin/bash
set -eu
for job; do :; done
tasks=$(sed -n 's/^#SBATCH --array=0-//p' \"$job\")
for task in $(seq 0 \"${tasks:-0}\"); do
    SLURM_ARRAY_TASK_ID=$task bash \"$job\" >&2 || true
done
echo 1
";
    let path = bin.join("sbatch");
    std::fs::write(&path, sbatch).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let paths = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output =
        std::process::Command::new(&path).arg(job).env("PATH", paths).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What is trained later depends on what comes out: the jobs go on by themselves, and train the same as here.
#[test]
fn stages_on_a_cluster_give_the_same_as_here() {
    for (name, from, to) in [
        ("halving", "seeds: [1, 2]", "halving: {rungs: [1], keep: 0.5}\nseeds: [1, 2]"),
        ("looks", "seeds: [1, 2]", "matters: 90\nseeds: {looks: [2, 3]}"),
        (
            "minutes",
            "seeds: [1, 2]",
            "design: {random: {combinations: 4, seed: 1, minutes: 0.0001}}\nseeds: [1, 2]",
        ),
    ] {
        let (here, cluster) = (workspace(), workspace());
        for dir in [&here, &cluster] {
            std::fs::write(dir.path().join("study.yaml"), STUDY.replace(from, to)).unwrap();
        }
        succeed("trainer", here.path(), ["study", "study.yaml"]);
        let job = succeed("trainer", cluster.path(), ["study", "study.yaml", "--plan", "slurm"]);
        assert!(job.contains("slurm-next.sh"), "{name}: {job}");
        submit(cluster.path(), job.trim());
        assert_eq!(results(cluster.path()), results(here.path()), "{name}");
        let runs = results(here.path()).len();
        assert!(runs > 2, "{name}: {runs}");
    }
}

/// A budget ends a random search, and the report says what there is.
#[test]
fn a_random_search_ends_with_its_time() {
    let dir = workspace();
    let random = "design: {random: {combinations: 6, seed: 3, minutes: 0.0001}}\nseeds: [1, 2]";
    std::fs::write(dir.path().join("study.yaml"), STUDY.replace("seeds: [1, 2]", random)).unwrap();
    succeed("trainer", dir.path(), ["study", "study.yaml"]);
    assert_eq!(finished_runs(dir.path()), 2, "one combination, and no time for another");
    let text = std::fs::read_to_string(dir.path().join("knobs/report.md")).unwrap();
    assert!(text.contains("not trained") && text.contains("0.0001 minutes of training"), "{text}");
}

/// One value that diverges and one that cannot be: the others are trained and reported, also when the study is killed or
/// made of jobs.
#[test]
fn what_diverges_or_cannot_be_is_reported_and_the_rest_goes_on() {
    let study = STUDY
        .replace("values: [25, 50, 100]", "values: [25, 50, 100]\n- {knob: held out, field: split.validation, values: [200, 300, 699, 700]}\n- {knob: rate, values: {slow: {schedule.one_cycle.peak: 0.01}, wild: {batch_size: 5, optimizer: {sgd: {weight_decay: 1}}, schedule.one_cycle.peak: 10}}}");
    let (here, cluster, killed) = (workspace(), workspace(), workspace());
    for dir in [&here, &cluster, &killed] {
        std::fs::write(dir.path().join("study.yaml"), &study).unwrap();
    }
    let outcome = run("trainer", here.path(), ["study", "study.yaml"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("held out 700 cannot be: "), "{outcome:?}");
    let text = std::fs::read_to_string(here.path().join("knobs/report.md")).unwrap();
    for part in ["| rate wild | diverged with seed 1: ", "cannot be: ", "| 100 | "] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let diverged =
        results(here.path()).iter().filter(|row| row.iter().any(|cell| cell.contains("diverged: "))).count();
    assert_eq!(diverged, 2);

    let job = succeed("trainer", cluster.path(), ["study", "study.yaml", "--plan", "slurm"]);
    submit(cluster.path(), job.trim());
    succeed("trainer", cluster.path(), ["study", "collect", "study.yaml"]);
    assert_eq!(results(cluster.path()), results(here.path()));

    let dir = killed.path();
    let mut process = command("trainer", dir).args(["study", "study.yaml"]).spawn().unwrap();
    let start = Instant::now();
    while finished_runs(dir) < 2 && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(10));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    succeed("trainer", dir, ["study", "study.yaml"]);
    assert_eq!(results(dir), results(here.path()));
    // What diverged is not tried again.
    let again = Instant::now();
    succeed("trainer", dir, ["study", "study.yaml"]);
    assert!(again.elapsed() < Duration::from_secs(20));
}

/// Times are measured side by side, and only then plotted.
#[test]
fn times_are_measured_side_by_side() {
    let dir = workspace();
    let study = STUDY.replace("batch_size\n  values: [25, 50, 100]", "batch_size\n  values: [25, 50]");
    std::fs::write(dir.path().join("study.yaml"), study).unwrap();
    succeed("trainer", dir.path(), ["study", "study.yaml"]);
    succeed(
        "trainer",
        dir.path(),
        ["study", "time", "study.yaml", "--alternations", "2", "--seconds", "0.05"],
    );
    let timing = std::fs::read_to_string(dir.path().join("knobs/timing.json")).unwrap();
    let timing: serde_json::Value = serde_json::from_str(&timing).unwrap();
    assert_eq!(timing["combinations"].as_array().unwrap().len(), 3, "base, batch 25, tanh: {timing}");
    let page = std::fs::read_to_string(dir.path().join("knobs/report.html")).unwrap();
    assert!(page.contains("seconds for 1000 training images"), "no plot of the times");
}

#[test]
fn halving_stops_what_is_behind_and_says_so() {
    let dir = workspace();
    let study = STUDY.replace("silu1: tanh", "silu1: sigmoid") + "halving: {rungs: [1], keep: 0.5}\n";
    std::fs::write(dir.path().join("study.yaml"), study.replace("seeds: [1, 2]", "seeds: [1]")).unwrap();
    succeed("trainer", dir.path(), ["study", "study.yaml"]);
    let text = std::fs::read_to_string(dir.path().join("knobs/report.md")).unwrap();
    assert!(text.contains("(stopped after 1 epoch)"), "{text}");
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
        ("seeds without end", "seeds: [1, 2]", "seeds: {looks: [1000000000000]}", "at most 1000 seeds"),
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
            "an axis of seeds",
            "field: batch_size\n  values: [25, 50, 100]",
            "field: seed\n  values: [1, 2]",
            "seeds are the study's own",
        ),
        (
            "another dataset",
            "set: {epochs: 2,",
            "set: {dataset: mnist, epochs: 2,",
            "its dataset is the base's",
        ),
        ("no validation images", "split.validation: 200", "split.validation: 0", "split.validation: found 0"),
        (
            "a split that cannot be",
            "split.validation: 200",
            "split.validation: 700",
            "split.validation: found 700",
        ),
        ("looks that go back", "seeds: [1, 2]", "seeds: {looks: [3, 2]}", "seeds.looks"),
        ("nothing that matters", "seeds: [1, 2]", "seeds: [1, 2]\nmatters: 0", "matters"),
        (
            "no time",
            "seeds: [1, 2]",
            "design: {random: {combinations: 2, seed: 1, minutes: 0}}\nseeds: [1]",
            "minutes",
        ),
        (
            "a rung of no epochs",
            "seeds: [1, 2]",
            "halving: {rungs: [0], keep: 0.5}\nseeds: [1]",
            "halving.rungs",
        ),
        ("seeds below 0", "seeds: [1, 2]", "seeds: [-1]", "seeds: expected a list of whole numbers from 0"),
        (
            "values that are none",
            "values: [25, 50, 100]",
            "values: abc",
            "axes[0]: expected a list of values",
        ),
    ] {
        std::fs::write(dir.path().join("study.yaml"), STUDY.replace(from, to)).unwrap();
        tests::assert_refused(row, &run("trainer", dir.path(), ["study", "study.yaml"]), &[expected]);
        assert!(!dir.path().join("runs").exists(), "{row}: something was trained");
    }
}

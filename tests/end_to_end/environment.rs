//! The environment in which training starts: what would change its bytes or keep it from ending.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{command, run, tiny_dataset};

const RECIPE: &str = include_str!("../data/tiny.yaml");

fn workspace(recipe: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny_dataset(dir.path(), 300, 20).unwrap();
    std::fs::write(dir.path().join("recipe.yaml"), recipe).unwrap();
    dir
}

#[test]
fn whatever_the_environment_says_the_bytes_are_the_same() {
    let dir = workspace(RECIPE);
    let dir = dir.path();
    let train = |name: &str, value: &str| {
        let folder = format!("run-{name}");
        let output = command("trainer", dir)
            .args(["train", "recipe.yaml", "--json", "--run", &folder])
            .env(name, value)
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}={value}: {log}");
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["numeric_profile_in_force"], true, "{name}={value}: {log}");
        (summary["parameters_sha256"].clone(), log)
    };
    let (expected, log) = train("NOTHING", "special");
    assert!(!log.contains("set aside"), "{log}");
    // Each of these made a run wait for ever, gave other bytes, or ended it with an error.
    for (name, value) in [
        ("OMP_THREAD_LIMIT", "1"),
        ("OMP_MAX_ACTIVE_LEVELS", "0"),
        ("OMP_PROC_BIND", "true"),
        ("OMP_PLACES", "{0}"),
        ("OMP_SCHEDULE", "dynamic,1"),
        ("OMP_STACKSIZE", "nonsense"),
        ("GOMP_CPU_AFFINITY", "0"),
        ("KMP_AFFINITY", "compact"),
        ("MKL_ENABLE_INSTRUCTIONS", "SSE4_2"),
        ("MKL_THREADING_LAYER", "SEQUENTIAL"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),
        ("DNNL_MAX_CPU_ISA", "SSE41"),
        ("TORCH_SHOW_CPP_STACKTRACES", "1"),
        ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-FMA"),
    ] {
        let (found, log) = train(name, value);
        assert_eq!(found, expected, "{name}={value}");
        assert!(log.contains(&format!("{name}={value} is set aside")), "{log}");
    }
    // The profile's own are set, whatever they were.
    for (name, value) in [
        ("OMP_NUM_THREADS", "1"),
        ("OMP_DYNAMIC", "TRUE"),
        ("OMP_WAIT_POLICY", "ACTIVE"),
        ("MKL_CBWR", "AUTO"),
        ("ATEN_CPU_CAPABILITY", "default"),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE"),
        ("RAYON_NUM_THREADS", "1"),
    ] {
        assert_eq!(train(name, value).0, expected, "{name}={value}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn one_processor_gives_the_same_bytes_and_is_named() {
    let dir = workspace(RECIPE);
    let dir = dir.path();
    let train = |program: &mut std::process::Command, folder: &str| {
        let output = program.args(["train", "recipe.yaml", "--json", "--run", folder]).output().unwrap();
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        (summary["parameters_sha256"].clone(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let mut plain = command("trainer", dir);
    let mut pinned = std::process::Command::new("taskset");
    pinned.args(["-c", "0"]).arg(plain.get_program()).current_dir(dir);
    let (expected, _) = train(&mut plain, "all");
    let (found, log) = train(&mut pinned, "one");
    assert_eq!(found, expected);
    assert!(log.contains("2 threads share 1 processor: the bytes are the same"), "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn another_libtorch_or_openmp_is_named_before_training() {
    let dir = workspace(RECIPE);
    let dir = dir.path();
    let found = run("trainer", dir, ["doctor", "--json"]);
    let report: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!((found.code, &report["diagnosis"]["same_bytes_everywhere"]), (Some(0), &true.into()));
    let library = report["diagnosis"]["libtorch_path"].as_str().unwrap();
    let lib = std::path::Path::new(library).parent().unwrap();
    // The same libraries under a folder that says it is another version.
    std::fs::create_dir_all(dir.join("torch/lib")).unwrap();
    for entry in std::fs::read_dir(lib).unwrap().map(Result::unwrap) {
        let target = dir.join("torch/lib").join(entry.file_name());
        if std::fs::hard_link(entry.path(), &target).is_err() {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
    std::fs::write(dir.join("torch/build-version"), "2.12.1+cpu\n").unwrap();
    let doctor = |preload: Option<&std::path::Path>| {
        let mut program = command("trainer", dir);
        program.env("LD_LIBRARY_PATH", dir.join("torch/lib")).args(["doctor", "--json"]);
        if let Some(preload) = preload {
            program.env_remove("LD_LIBRARY_PATH").env("LD_PRELOAD", preload);
        }
        let output = program.output().unwrap();
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        (output.status.code(), report["diagnosis"]["obstacle"].as_str().unwrap_or_default().to_owned())
    };
    let (code, obstacle) = doctor(None);
    assert_eq!(code, Some(1));
    assert!(obstacle.contains("is libtorch 2.12.1, expected"), "{obstacle}");
    let gomp = std::fs::read_dir(lib).unwrap().map(|entry| entry.unwrap().path());
    let gomp = gomp.into_iter().find(|path| path.to_string_lossy().contains("libgomp")).unwrap();
    std::fs::copy(gomp, dir.join("libiomp5.so")).unwrap();
    let (code, obstacle) = doctor(Some(&dir.join("libiomp5.so")));
    assert_eq!(code, Some(1));
    assert!(obstacle.contains("another OpenMP runtime than libtorch's is loaded"), "{obstacle}");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_even_a_step_that_does_not() {
    // A step of minutes; by one thread, as other tests run beside it.
    let recipe = RECIPE
        .replace("threads: 2", "threads: 1")
        .replace(
            "conv2d: {features: 8, kernel_size: 3, padding: same}",
            "conv2d: {features: 2048, kernel_size: 25, padding: same}",
        )
        .replace("batch_size: 50", "batch_size: 290");
    let dir = workspace(&recipe);
    let mut child = command("trainer", dir.path())
        .args(["train", "recipe.yaml"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(5));
    assert!(child.try_wait().unwrap().is_none(), "the step is over: make it longer");
    let started = Instant::now();
    let kill = std::process::Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

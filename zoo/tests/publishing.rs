//! Publishers that are killed, run out of disk, or race: the zoo stays valid.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use datasets::{Digest, Preprocessing, Procedure};
use zoo::*;

const CHILD_ROOT: &str = "ZOO_TEST_PUBLISH_INTO";
const CHILD_COUNT: &str = "ZOO_TEST_PUBLISH_TIMES";

/// A manifest that is valid for `files`.
fn manifest(name: &str, version: u32, files: BTreeMap<String, FileRecord>) -> Manifest {
    let digest = Digest::of(b"");
    let fixed = |lengths: &[usize]| {
        std::iter::once(Dim::Free("N".into()))
            .chain(lengths.iter().map(|&d| Dim::Fixed(d)))
            .collect::<Vec<_>>()
    };
    let tensor =
        |name: &str, dtype: &str, shape| TensorInfo { name: name.into(), dtype: dtype.into(), shape };
    let count = Count { correct: 1, total: 2 };
    Manifest {
        schema: SCHEMA,
        name: name.into(),
        version,
        description: "a test".into(),
        labels: vec!["a".into(), "b".into()],
        input: tensor("image", "uint8", fixed(&[1, 28, 28])),
        output: tensor("probabilities", "float32", fixed(&[2])),
        preprocessing: Preprocessing::Procedure(Procedure::Resize),
        dataset: DatasetInfo { name: "none".into(), files: BTreeMap::new() },
        test: TestResult {
            correct: Count { correct: 2, total: 4 },
            per_class: ["a", "b"].map(|label| ClassCount { label: label.into(), correct: count }).to_vec(),
            predictions_sha256: digest,
        },
        validation: None,
        confidence: None,
        corruptions: None,
        network: NetworkInfo { parameters: 1, macs: 1 },
        onnx: OnnxInfo { opset: 17, ir_version: 8, is_annotated: false },
        training: Some(TrainingInfo {
            recipe_sha256: digest,
            seed: 1,
            epochs: 0,
            selected_epoch: 0,
            parameters_sha256: digest,
            epochs_sha256: vec![],
            numeric_profile: NumericProfileInfo { threads: 1, isa: "avx2".into(), in_force: true },
            fingerprint: None,
            cpu: "test".into(),
            chosen_by: vec![],
        }),
        origin: None,
        self_check: SelfCheckInfo { golden_images: 0, tolerance: 1e-5, identical_predictions: count },
        tools: BTreeMap::new(),
        files,
    }
}

/// Publishes a version of `files` files of `size` bytes.
fn publish(zoo: &Zoo, files: usize, size: usize) -> Result<VersionDir> {
    zoo.publish("model", |dir, version| {
        let mut records = BTreeMap::new();
        for index in 0..files {
            let name = if index == 0 { ONNX.to_owned() } else { format!("part/{index}.bin") };
            let bytes = vec![version as u8 ^ index as u8; size];
            let path = dir.join(&name);
            let io = |source| Error::Io { path: path.clone(), source };
            std::fs::create_dir_all(path.parent().unwrap()).map_err(io)?;
            let io = |source| Error::Io { path: path.clone(), source };
            std::fs::write(&path, &bytes).map_err(io)?;
            records.insert(name, FileRecord { bytes: size as u64, sha256: Digest::of(&bytes) });
        }
        let path = dir.join(MANIFEST);
        let text = datasets::yaml::to_string(&manifest("model", version, records))?;
        std::fs::write(&path, text).map_err(|source| Error::Io { path, source })
    })
}

/// Every version is whole, numbers have no gap; returns the newest.
fn check(zoo: &Zoo) -> u32 {
    let models = zoo.models().unwrap();
    let versions = models.first().map(|(_, versions)| versions.clone()).unwrap_or_default();
    assert_eq!(versions, (1..=versions.len() as u32).collect::<Vec<_>>());
    for &version in &versions {
        let opened = zoo.version(&Spec::version("model", version)).unwrap();
        assert_eq!(opened.problems().unwrap(), []);
    }
    // Nothing but versions where a model server looks; no folder before the first is placed.
    assert_eq!(zoo.models_dir().exists(), !versions.is_empty());
    for model in std::fs::read_dir(zoo.models_dir()).into_iter().flatten() {
        let entries = std::fs::read_dir(model.unwrap().path()).unwrap();
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        let is_version = |name: &std::ffi::OsString| name.to_str().unwrap().parse::<u32>().is_ok();
        assert!(!names.is_empty() && names.iter().all(is_version), "{names:?}");
    }
    versions.len() as u32
}

/// Not a test by itself: the process that the tests below start and kill.
#[test]
fn child_publishes() {
    let Ok(root) = std::env::var(CHILD_ROOT) else { return };
    let times: usize = std::env::var(CHILD_COUNT).unwrap().parse().unwrap();
    let zoo = Zoo::new(Path::new(&root));
    for _ in 0..times {
        publish(&zoo, 6, 20_000).unwrap();
    }
}

fn spawn_child(root: &Path, times: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_publishes", "--test-threads", "1"])
        .env(CHILD_ROOT, root)
        .env(CHILD_COUNT, times.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn killed_at_any_instant_the_zoo_is_valid_and_the_next_publish_works() {
    let kills: u64 = std::env::var("ZOO_TEST_KILLS").map_or(60, |text| text.parse().unwrap());
    let mut dir = tempfile::tempdir().unwrap();
    let mut in_the_middle = 0;
    for kill in 0..kills {
        // Every other kill is in the publish of a zoo's first version.
        if kill % 2 == 0 {
            dir = tempfile::tempdir().unwrap();
        }
        let zoo = Zoo::new(dir.path());
        let mut child = spawn_child(dir.path(), 1_000);
        // Spread over a publish, which takes some milliseconds after the process has started.
        std::thread::sleep(Duration::from_micros(2_000 + kill.wrapping_mul(7_919) % 25_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let staging = dir.path().join(".staging");
        let left = std::fs::read_dir(&staging).map_or(0, Iterator::count);
        in_the_middle += u32::from(left > 0);
        let before = check(&zoo);
        let published = publish(&zoo, 2, 10).unwrap();
        assert_eq!(published.manifest.version, before + 1);
        assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0, "left-overs are swept");
    }
    check(&Zoo::new(dir.path()));
    println!("{kills} kills, {in_the_middle} while files were being written");
    assert!(in_the_middle > 0, "no kill hit a publish");
}

#[test]
fn publishers_at_once_get_consecutive_versions() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<Child> = (0..3).map(|_| spawn_child(dir.path(), 8)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(check(&Zoo::open(dir.path()).unwrap()), 24);
}

/// A file system that is too small. Needs the right to mount; says so where that is missing.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"]).arg(dir.path()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: mounting a tmpfs is not allowed here");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let zoo = Zoo::new(dir.path());
        publish(&zoo, 2, 50_000).unwrap();
        for files in [2, 3, 5, 9] {
            let error = publish(&zoo, files, 300_000).unwrap_err();
            assert!(error.to_string().contains("No space left"), "{error}");
            assert_eq!(check(&zoo), 1);
        }
        assert_eq!(publish(&zoo, 2, 50_000).unwrap().manifest.version, 2);
        check(&zoo);
    });
    assert!(Command::new("umount").arg(dir.path()).status().unwrap().success());
    outcome.unwrap();
}

#[test]
fn a_published_version_cannot_be_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let zoo = Zoo::new(dir.path());
    publish(&zoo, 2, 10).unwrap();
    let path = zoo.models_dir().join("model/1/model.onnx");
    let before = std::fs::read(&path).unwrap();
    // Even if somebody's clock, script or race asks for the same number again.
    assert_eq!(publish(&zoo, 2, 10).unwrap().manifest.version, 2);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn aliases_move_and_their_history_grows() {
    let dir = tempfile::tempdir().unwrap();
    let zoo = Zoo::new(dir.path());
    publish(&zoo, 2, 10).unwrap();
    publish(&zoo, 2, 10).unwrap();
    let point = |spec: &str, alias: &str| zoo.set_alias(&spec.parse().unwrap(), alias);
    point("model@1", "stable").unwrap();
    let first = std::fs::read_to_string(dir.path().join("aliases.jsonl")).unwrap();
    point("model", "stable").unwrap();
    let second = std::fs::read_to_string(dir.path().join("aliases.jsonl")).unwrap();
    assert!(second.starts_with(&first) && second.lines().count() == 2, "{second}");
    assert_eq!(zoo.version(&"model@stable".parse().unwrap()).unwrap().manifest.version, 2);
    let error = zoo.version(&"model@old".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("no alias `old`; aliases of model: {\"stable\": 2}"), "{error}");
    for (spec, alias) in
        [("model@3", "x"), ("model@1", "latest"), ("model@1", "7"), ("model@1", "a/b"), ("other", "x")]
    {
        assert!(point(spec, alias).is_err(), "{spec} {alias}");
    }
    let index = std::fs::read_to_string(dir.path().join(INDEX)).unwrap();
    assert_eq!(index, zoo.index().unwrap().to_json());
    assert!(index.contains("\"stable\": 2"));
}

/// As after `zoo pull`: the same number in another zoo, whole or not at all.
#[test]
fn a_version_from_elsewhere_keeps_its_number() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, target) = (Zoo::new(from.path()), Zoo::new(to.path()));
    publish(&source, 3, 100).unwrap();
    let second = publish(&source, 3, 100).unwrap();
    let (sha256, _) = Digest::of_file(&second.path.join(MANIFEST)).unwrap();
    let copy = |dir: &Path| -> Result<()> {
        for file in second.manifest.files.keys().map(String::as_str).chain([MANIFEST]) {
            let path = dir.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::copy(second.path.join(file), path).unwrap();
        }
        Ok(())
    };
    let wrong = target.add("model", 3, &sha256, copy);
    assert!(matches!(wrong, Err(Error::Damaged { .. })), "{wrong:?}");
    let damaged = target.add("model", 2, &sha256, |dir| {
        copy(dir)?;
        std::fs::write(dir.join(ONNX), "x").unwrap();
        Ok(())
    });
    assert!(matches!(damaged, Err(Error::Damaged { .. })), "{damaged:?}");
    assert_eq!(target.models().unwrap(), []);
    target.add("model", 2, &sha256, copy).unwrap();
    assert_eq!(target.models().unwrap(), [("model".to_owned(), vec![2])]);
    assert!(to.path().join(INDEX).is_file());
    // There already, and another one in its place.
    let again = target.add("model", 2, &sha256, |_| -> Result<()> { panic!("nothing to fill") });
    assert_eq!(again.unwrap().manifest, second.manifest);
    let other = target.add("model", 2, &Digest::of(b"other"), copy);
    assert!(matches!(other, Err(Error::Damaged { .. })), "{other:?}");
    assert_eq!(publish(&target, 1, 1).unwrap().manifest.version, 3);
}

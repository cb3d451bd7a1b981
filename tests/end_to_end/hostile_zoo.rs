//! Zoos that were copied from somewhere: what is no regular file, what belongs to nobody, locks that lead elsewhere.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tests::{Outcome, copy_dir, root, run};
use zoo::{Spec, Zoo};

fn zoo_copy(dir: &Path) -> (Zoo, PathBuf) {
    let version = dir.join("zoo/models/mnist-lite/1");
    copy_dir(&root().join("zoo/models/mnist-lite/1"), &version).unwrap();
    let zoo = Zoo::open(&dir.join("zoo")).unwrap();
    zoo.write_index().unwrap();
    (zoo, version)
}

fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// What a command says, and that it says it soon.
fn soon(dir: &Path, program: &str, arguments: &[&str]) -> Outcome {
    let start = Instant::now();
    let outcome = run(program, dir, arguments);
    assert!(start.elapsed() < Duration::from_secs(20), "{arguments:?}: {:?}", start.elapsed());
    outcome
}

/// Somebody unpacked a folder of pictures beside a model: all are named, however long the line.
#[test]
fn a_thousand_files_too_many_are_a_failed_check() {
    let dir = tempfile::tempdir().unwrap();
    let (_zoo, version) = zoo_copy(dir.path());
    std::fs::create_dir(version.join("data")).unwrap();
    for number in 0..1200 {
        std::fs::write(version.join(format!("data/a-long-name-of-a-picture-{number}.png")), "").unwrap();
    }
    let outcome = soon(dir.path(), "infer", &["verify", "mnist-lite"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("data/a-long-name-of-a-picture-0.png"), "{outcome:?}");
}

/// Aliases of YAML, by which a megabyte becomes hundreds of gigabytes.
#[test]
fn a_manifest_that_grows_as_it_is_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_zoo, version) = zoo_copy(dir.path());
    let path = version.join(zoo::MANIFEST);
    let text = std::fs::read_to_string(&path).unwrap();
    let long = "x".repeat(1 << 20);
    let grown = format!("description: &a {long}\nlabels:\n{}", "- *a\n".repeat(300_000));
    std::fs::write(&path, format!("{text}{grown}")).unwrap();
    for arguments in [&["verify", "mnist-lite"][..], &["list"], &["show", "mnist-lite"]] {
        let outcome = soon(dir.path(), "infer", arguments);
        assert!([Some(0), Some(1), Some(2)].contains(&outcome.code), "{arguments:?}: {:?}", outcome.code);
        assert!(format!("{outcome:?}").contains("aliases"), "{arguments:?}: {outcome:?}");
    }
}

/// Every file of a version, replaced by what would never end or keep a reader waiting.
#[test]
fn nothing_but_regular_files_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (zoo, version) = zoo_copy(dir.path());
    let datasets = root().join("datasets");
    let verify = ["verify", "mnist-lite", "--datasets", datasets.to_str().unwrap()];
    let seven = root().join("docs/seven.png");
    let predict = ["predict", seven.to_str().unwrap(), "--model", "mnist-lite"];
    let names: Vec<String> = zoo::list_files(&version).unwrap().into_iter().collect();
    for name in &names {
        let path = version.join(name);
        let original = std::fs::read(&path).unwrap();
        let sparse = |path: &Path| std::fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
        type Kind<'a> = (&'a str, &'a dyn Fn(&Path));
        let kinds: [Kind<'_>; 4] = [
            ("pipe", &pipe),
            ("device", &|path| symlink("/dev/zero", path).unwrap()),
            ("sparse", &sparse),
            ("folder", &|path| std::fs::create_dir(path).unwrap()),
        ];
        for (kind, make) in kinds {
            std::fs::remove_file(&path).unwrap();
            make(&path);
            let outcome = soon(dir.path(), "infer", &verify);
            assert_eq!(outcome.code, Some(1), "{name} as {kind}: {outcome:?}");
            for arguments in [&predict[..], &["show", "mnist-lite"], &["list"]] {
                let outcome = soon(dir.path(), "infer", arguments);
                assert!([Some(0), Some(2)].contains(&outcome.code), "{name} as {kind}: {outcome:?}");
            }
            if kind == "folder" {
                std::fs::remove_dir(&path).unwrap()
            } else {
                std::fs::remove_file(&path).unwrap()
            }
            std::fs::write(&path, &original).unwrap();
        }
    }
    for file in ["index.json", "aliases.jsonl"] {
        let path = zoo.root().join(file);
        let _ = std::fs::remove_file(&path);
        pipe(&path);
        assert_eq!(
            soon(dir.path(), "infer", &["verify", "--datasets", datasets.to_str().unwrap()]).code,
            Some(1)
        );
        std::fs::remove_file(&path).unwrap();
    }
}

/// A manifest that announces what no memory holds, and a sparse file as long as that.
#[test]
fn no_more_memory_is_asked_for_than_a_file_may_have() {
    let dir = tempfile::tempdir().unwrap();
    let (_, version) = zoo_copy(dir.path());
    let seven = root().join("docs/seven.png");
    let manifest = std::fs::read_to_string(version.join("manifest.yaml")).unwrap();
    for name in ["model.onnx", "README.md", "model.safetensors"] {
        let path = version.join(name);
        let original = std::fs::read(&path).unwrap();
        let announced = format!("bytes: {}", original.len());
        for bytes in [(2u64 << 30) + 1, 1 << 40] {
            std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
            assert_eq!(manifest.matches(&announced).count(), 1, "{name}");
            let hostile = manifest.replace(&announced, &format!("bytes: {bytes}"));
            std::fs::write(version.join("manifest.yaml"), hostile).unwrap();
            let predict = ["predict", seven.to_str().unwrap(), "--model", "mnist-lite"];
            for arguments in
                [&predict[..], &["show", "mnist-lite"], &["verify", "mnist-lite", "--datasets", "."]]
            {
                let outcome = soon(dir.path(), "infer", arguments);
                assert!([Some(1), Some(2)].contains(&outcome.code), "{name}, {bytes}: {outcome:?}");
                let problem = format!("files.{name}.bytes: found {bytes}, expected at most 2147483648");
                assert!(
                    outcome.stderr.contains(&problem) || outcome.stdout.contains(&problem),
                    "{outcome:?}"
                );
            }
        }
        std::fs::write(&path, &original).unwrap();
    }
}

#[test]
fn costs_are_of_versions_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let (zoo, version) = zoo_copy(dir.path());
    let costs = |text: &str| std::fs::write(zoo.root().join("costs.json"), text).unwrap();
    let of = |version: &str| {
        format!(
            r#"{{"machine": "a machine", "date": "2026-11-28", "versions": {{"{version}": {{"microseconds": 8.6}}}}}}"#
        )
    };
    costs(&of("mnist-lite@1"));
    let outcome = run("zoo", dir.path(), ["index"]);
    let shown =
        outcome.stdout.contains("| 8.6 |") && outcome.stdout.contains("Times on a machine, 2026-11-28");
    assert!(outcome.code == Some(0) && shown, "{outcome:?}");
    costs(&of("mnist-lite@2"));
    let outcome = run("zoo", dir.path(), ["index", "--check"]);
    let problem = "costs of mnist-lite@2: no such version";
    assert!(outcome.code == Some(1) && outcome.stderr.contains(problem), "{outcome:?}");
    assert_eq!(run("zoo", dir.path(), ["index", "--check", "--json"]).code, Some(1));
    // One whose manifest is damaged is there.
    costs(&of("mnist-lite@1"));
    std::fs::write(version.join("manifest.yaml"), "x").unwrap();
    let outcome = run("zoo", dir.path(), ["index"]);
    let told = outcome.stderr.contains("left out") && !outcome.stderr.contains("no such version");
    assert!(outcome.code == Some(1) && told, "{outcome:?}");
    // The table is not printed without, and nothing is written.
    costs("[]");
    let index = std::fs::read(zoo.root().join("index.json")).unwrap();
    copy_dir(&root().join("zoo/models/mnist-lite/1"), &version).unwrap();
    for arguments in [vec!["index"], vec!["index", "--json"], vec!["index", "--check", "--json"]] {
        let outcome = run("zoo", dir.path(), &arguments);
        assert!(outcome.code == Some(2) && outcome.stderr.contains("costs.json"), "{outcome:?}");
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
    }
    assert_eq!(std::fs::read(zoo.root().join("index.json")).unwrap(), index);
}

/// Lines that nobody could have written with `zoo alias` are no aliases.
#[test]
fn the_log_of_aliases_holds_aliases_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (zoo, _) = zoo_copy(dir.path());
    for (line, expected) in [
        (r#"{"model": "mnist-lite", "alias": "latest", "version": 1}"#, "line 1: alias"),
        (r#"{"model": "mnist-lite", "alias": "7", "version": 1}"#, "line 1: alias"),
        (r#"{"model": "mnist-lite", "alias": "a\nmnist-lite@b", "version": 1}"#, "line 1: alias"),
        (r#"{"model": "../x", "alias": "a", "version": 1}"#, "line 1: model"),
        (r#"{"model": "mnist-lite", "alias": "a", "version": 0}"#, "line 1: version"),
    ] {
        std::fs::write(zoo.root().join("aliases.jsonl"), format!("{line}\n")).unwrap();
        let outcome = soon(dir.path(), "zoo", &["alias", "mnist-lite"]);
        tests::assert_refused(line, &outcome, &["aliases.jsonl", expected]);
    }
    std::fs::write(
        zoo.root().join("aliases.jsonl"),
        "{\"model\": \"mnist-lite\", \"alias\": \"a\", \"version\": 1}\n",
    )
    .unwrap();
    assert_eq!(run("zoo", dir.path(), ["alias", "mnist-lite"]).stdout, "mnist-lite@a -> mnist-lite@1\n");
    // A version of which nothing is to be set.
    for named in ["mnist-lite@1", "mnist-lite@99", "mnist-lite@a"] {
        tests::assert_refused(named, &run("zoo", dir.path(), ["alias", named]), &["without an alias to set"]);
    }
    for named in ["mnist-lite@01", "mnist-lite@+1"] {
        tests::assert_refused(named, &run("infer", dir.path(), ["show", named]), &["with a version from 1"]);
    }
}

/// Texts of a manifest are cells of the table of results, not lines of it.
#[test]
fn a_manifest_forges_no_line_of_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let (zoo, version) = zoo_copy(dir.path());
    let path = version.join("manifest.yaml");
    let mut manifest: zoo::Manifest = datasets::yaml::read(&path).unwrap();
    manifest.training.as_mut().unwrap().cpu = "x |\n| [other 9](http://a.example) | 100 %".into();
    std::fs::write(&path, datasets::yaml::to_string(&manifest).unwrap()).unwrap();
    zoo.write_index().unwrap();
    let table = run("zoo", dir.path(), ["index"]).stdout;
    assert!(table.contains("http://a.example"), "{table}");
    assert!(!table.contains("\n| [other 9](http"), "{table}");
}

/// What is published never changes, not even by a command that was given it as the place of its output.
#[test]
fn outputs_do_not_go_into_a_version() {
    let dir = tempfile::tempdir().unwrap();
    let (_, version) = zoo_copy(dir.path());
    let names = || zoo::list_files(&version).unwrap();
    let (before, card) = (names(), std::fs::read(version.join("README.md")).unwrap());
    let seven = root().join("docs/seven.png");
    let seven = seven.to_str().unwrap();
    symlink(&version, dir.path().join("link")).unwrap();
    let place = "zoo/models/mnist-lite/1";
    for (program, arguments) in [
        ("infer", vec!["show", "mnist-lite", "--graph", "zoo/models/mnist-lite/1/README.md"]),
        ("infer", vec!["show", "mnist-lite", "--graph", "link/graph.svg"]),
        ("infer", vec!["predict", seven, "--model", "mnist-lite", "--save-steps", place]),
        ("infer", vec!["run", "link/model.onnx", "--inputs", "link/test_data_set_0", "--out", place]),
        ("zoo", vec!["export", "bom", place]),
        ("zoo", vec!["export", "hf", "link/hub"]),
        ("zoo", vec!["export", "torch", "link"]),
        ("zoo", vec!["export", "onnx-hub", place]),
    ] {
        tests::assert_refused(program, &run(program, dir.path(), &arguments), &["never changes"]);
    }
    assert_eq!((names(), std::fs::read(version.join("README.md")).unwrap()), (before, card));
}

/// A link to the right file is as good as the file, to every command.
#[test]
fn links_to_the_right_files_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, version) = zoo_copy(dir.path());
    let elsewhere = dir.path().join("elsewhere");
    copy_dir(&version, &elsewhere).unwrap();
    for name in zoo::list_files(&version).unwrap() {
        std::fs::remove_file(version.join(&name)).unwrap();
        symlink(elsewhere.join(&name), version.join(&name)).unwrap();
    }
    let datasets = root().join("datasets");
    let outcome = run("infer", dir.path(), ["verify", "--datasets", datasets.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let seven = root().join("docs/seven.png");
    let outcome = run("infer", dir.path(), ["predict", seven.to_str().unwrap(), "--model", "mnist-lite"]);
    assert!(outcome.stdout.contains(": 7 "), "{outcome:?}");
}

#[test]
fn locks_lead_nowhere_and_are_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (zoo, _) = zoo_copy(dir.path());
    let (lock, victim) = (zoo.root().join(".lock"), dir.path().join("victim"));
    std::fs::write(&victim, "precious").unwrap();
    // That of writing the index.
    std::fs::remove_file(&lock).unwrap();
    let alias = ["alias", "mnist-lite", "stable"];
    for (kind, make) in [
        ("a symbolic link", &(|| symlink(&victim, &lock).unwrap()) as &dyn Fn()),
        ("a named pipe", &|| pipe(&lock)),
        ("a folder", &|| std::fs::create_dir(&lock).unwrap()),
    ] {
        make();
        let outcome = soon(dir.path(), "zoo", &alias);
        assert_eq!(outcome.code, Some(2), "{kind}: {outcome:?}");
        assert!(outcome.stderr.contains(&format!("{kind}, expected a regular file")), "{}", outcome.stderr);
        if lock.is_dir() { std::fs::remove_dir(&lock).unwrap() } else { std::fs::remove_file(&lock).unwrap() }
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    // That of another user, which can be read only.
    std::fs::write(&lock, "").unwrap();
    let mut mode = std::fs::metadata(&lock).unwrap().permissions();
    mode.set_readonly(true);
    std::fs::set_permissions(&lock, mode).unwrap();
    assert_eq!(soon(dir.path(), "zoo", &alias).code, Some(0));
}

/// What systems leave behind, and folders that are no models.
#[test]
fn litter_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (zoo, version) = zoo_copy(dir.path());
    for name in [".DS_Store", "._model.onnx", ".nfs000001", "Thumbs.db", "test_data_set_0/.DS_Store"] {
        std::fs::write(version.join(name), "litter").unwrap();
    }
    std::fs::create_dir(zoo.models_dir().join("lost+found")).unwrap();
    let locked = std::os::unix::fs::PermissionsExt::from_mode(0o0);
    std::fs::set_permissions(zoo.models_dir().join("lost+found"), locked).unwrap();
    let datasets = root().join("datasets");
    let outcome = run("infer", dir.path(), ["verify", "--datasets", datasets.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let server = tests::Server::start(zoo.root(), &[]);
    assert_eq!(server.get("/v2/models/mnist-lite/ready").status, 200);
}

/// A broken manifest of one model is its own trouble.
#[test]
fn a_broken_model_keeps_no_other_from_being_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (zoo, version) = zoo_copy(dir.path());
    let broken = zoo.models_dir().join("broken/1");
    copy_dir(&version, &broken).unwrap();
    std::fs::write(broken.join(zoo::MANIFEST), "schema: [").unwrap();
    let outcome = run("zoo", dir.path(), ["alias", "mnist-lite", "stable"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(zoo.written_index().unwrap().unreadable, ["models/broken/1"]);
    let published = zoo
        .publish("mnist-lite", |folder, number| -> zoo::Result<()> {
            copy_dir(&version, folder).unwrap();
            let path = folder.join(zoo::MANIFEST);
            let text = std::fs::read_to_string(&path)
                .unwrap()
                .replace("\nversion: 1\n", &format!("\nversion: {number}\n"));
            std::fs::write(path, text).unwrap();
            Ok(())
        })
        .unwrap();
    assert_eq!(published.manifest.version, 2);
    // A number that somebody made up is none of a version, and uses up no others.
    let far = zoo.models_dir().join("mnist-lite/4294967295");
    copy_dir(&version, &far).unwrap();
    assert_eq!(zoo.version(&Spec::latest("mnist-lite")).unwrap().manifest.version, 2);
}

/// Names of files can hold anything but a slash.
#[test]
fn names_are_shown_not_obeyed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, version) = zoo_copy(dir.path());
    let names = ["a\x1b[2Jb.txt", "a\u{202e}b.txt", "x\nmnist-lite@1  files  ok  all files\n"];
    for name in names {
        std::fs::write(version.join(name), "").unwrap();
    }
    let datasets = root().join("datasets");
    let verify = ["verify", "mnist-lite", "--datasets", datasets.to_str().unwrap()];
    for json in [&[][..], &["--json"]] {
        let outcome = run("infer", dir.path(), verify.iter().chain(json));
        assert_eq!(outcome.code, Some(1));
        let obeyed = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
        assert!(!outcome.stdout.contains(obeyed), "{:?}", outcome.stdout);
        assert!(
            !outcome.stdout.lines().any(|line| line.starts_with("mnist-lite@1  files  ok")),
            "{}",
            outcome.stdout
        );
    }
    let picture = dir.path().join("evil\x1b]0;title\x07.png");
    std::fs::copy(root().join("docs/seven.png"), &picture).unwrap();
    let outcome = run("infer", dir.path(), ["predict", picture.to_str().unwrap(), "--model", "mnist-lite"]);
    assert!(outcome.stdout.contains("\\u{1b}]0;title\\u{7}"), "{outcome:?}");
}

//! `infer`, `zoo` and `datasets` never depend on libtorch, directly or through another crate.

use std::process::Command;

fn tree(package: &str, features: &str) -> String {
    let cargo = std::env::var("CARGO").unwrap_or("cargo".into());
    let arguments = ["tree", "--offline", "--edges", "normal,build", "--prefix", "none", features];
    let mut command = Command::new(cargo);
    command.args(arguments).args(["--package", package]).current_dir(tests::root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn names(package: &str, features: &str) -> Vec<String> {
    tree(package, features)
        .lines()
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect()
}

#[test]
fn nothing_under_infer_zoo_or_datasets_is_torch() {
    for package in ["infer", "zoo", "datasets"] {
        let names = names(package, "--all-features");
        assert!(names.iter().any(|name| name == "sha2"), "{package}: the tree is not complete: {names:?}");
        for forbidden in ["tch", "torch-sys", "trainer"] {
            assert!(!names.iter().any(|name| name == forbidden), "{package} depends on {forbidden}");
        }
    }
    // The check can fail: the trainer does depend on them.
    let trainer = names("trainer", "--all-features");
    assert!(["tch", "torch-sys"].iter().all(|torch| trainer.iter().any(|name| name == torch)));
}

#[test]
fn infer_does_not_link_libtorch() {
    let profile = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let output = Command::new("ldd").arg(profile.join("infer")).output().unwrap();
    let libraries = String::from_utf8(output.stdout).unwrap();
    assert!(libraries.contains("libc.so"), "{libraries}");
    for forbidden in ["torch", "c10", "gomp", "mkl", "stdc++"] {
        assert!(!libraries.contains(forbidden), "{libraries}");
    }
}

#[test]
fn infer_stays_small() {
    // 2026-11: see the README for the numbers. tract alone brings most of the first; a client for
    // registries with all their ways to log in brings 104 of the second.
    for (features, most) in [("--no-default-features", 176), ("--all-features", 300)] {
        let mut names = names("infer", features);
        names.sort_unstable();
        names.dedup();
        assert!(names.len() <= most, "{} crates under infer with {features}", names.len());
    }
}

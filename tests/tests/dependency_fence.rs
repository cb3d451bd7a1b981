//! `infer`, `zoo` and `datasets` never depend on libtorch, directly or through another crate.

use std::process::Command;

fn tree(package: &str) -> String {
    let cargo = std::env::var("CARGO").unwrap_or("cargo".into());
    let arguments = [
        "tree",
        "--offline",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--all-features",
        "--package",
        package,
    ];
    let output = Command::new(cargo).args(arguments).current_dir(tests::root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn names(package: &str) -> Vec<String> {
    tree(package).lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

#[test]
fn nothing_under_infer_zoo_or_datasets_is_torch() {
    for package in ["infer", "zoo", "datasets"] {
        let names = names(package);
        assert!(names.iter().any(|name| name == "sha2"), "{package}: the tree is not complete: {names:?}");
        for forbidden in ["tch", "torch-sys", "trainer"] {
            assert!(!names.iter().any(|name| name == forbidden), "{package} depends on {forbidden}");
        }
    }
    // The check can fail: the trainer does depend on them.
    let trainer = names("trainer");
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
    let mut names = names("infer");
    names.sort_unstable();
    names.dedup();
    // 2026-11: see the README for the number. tract alone brings most of it.
    assert!(names.len() <= 175, "{} crates under infer", names.len());
}

//! What never gets below what: libtorch below anything but the trainer, a network client or server
//! below `infer`. Licences and duplicate versions are `deny.toml`'s.

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
fn crates_do_not_depend_on_what_is_not_theirs() {
    let torch = ["tch", "torch-sys", "trainer"];
    let network = ["axum", "hyper", "tokio", "rustls", "ureq", "oci-client", "reqwest", "hub"];
    let both: Vec<&str> = torch.into_iter().chain(network).collect();
    let tract = ["tract-core", "tract-onnx", "clap", "image"];
    for (package, features, forbidden) in [
        ("infer", "--all-features", both.as_slice()),
        ("infer", "--no-default-features", &["clap", "terminal"]),
        ("kernels", "--all-features", &tract),
        ("distortions", "--all-features", &both),
        ("zoo", "--all-features", &torch),
        ("datasets", "--all-features", &torch),
        ("hub", "--all-features", &torch),
        ("import", "--all-features", &both),
        ("terminal", "--all-features", &both),
    ] {
        let names = names(package, features);
        assert!(names.len() > 1, "{package}: the tree is not complete: {names:?}");
        for forbidden in forbidden {
            assert!(
                !names.iter().any(|name| name == forbidden),
                "{package} {features} depends on {forbidden}"
            );
        }
    }
    // The check can fail: these do depend on them.
    let trainer = names("trainer", "--all-features");
    assert!(["tch", "torch-sys"].iter().all(|torch| trainer.iter().any(|name| name == torch)));
    let hub = names("hub", "--all-features");
    assert!(["axum", "oci-client"].iter().all(|client| hub.iter().any(|name| name == client)));
}

#[test]
fn infer_and_zoo_do_not_link_libtorch() {
    let profile = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    for program in ["infer", "zoo"] {
        let output = Command::new("ldd").arg(profile.join(program)).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        // Without the addresses, whose digits may spell a name.
        let libraries: String = text.lines().filter_map(|line| line.split(" (").next()).collect();
        assert!(libraries.contains("libc.so"), "{program}: {libraries}");
        for forbidden in ["torch", "c10", "gomp", "mkl", "stdc++"] {
            assert!(!libraries.contains(forbidden), "{program}: {libraries}");
        }
    }
}

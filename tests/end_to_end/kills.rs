//! Programs that change a zoo, killed at any instant: the zoo is as it was, or as it was to be, and the next program tidies
//! up.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tests::{command, copy_dir, root};
use zoo::{Spec, Zoo};

/// Kills of each command.
const KILLS: u32 = 200;

fn zoo_copy(dir: &Path) -> Zoo {
    for version in ["1", "2"] {
        let from = root().join("zoo/models/mnist-lite").join(version);
        copy_dir(&from, &dir.join("zoo/models/mnist-lite").join(version)).unwrap();
    }
    let zoo = Zoo::open(&dir.join("zoo")).unwrap();
    zoo.write_index().unwrap();
    zoo
}

/// Index, log and attestations are those of one instant.
fn assert_whole(zoo: &Zoo, what: &str) {
    let differences = zoo.index_differences().unwrap();
    assert!(differences.is_empty(), "{what}: {differences:?}");
    assert!(zoo.dangling_aliases().unwrap().is_empty(), "{what}");
    for (name, versions) in zoo.models().unwrap() {
        for version in versions {
            let version = zoo.version(&Spec::version(&name, version)).unwrap();
            let attestations = zoo.attestations(&version).unwrap();
            assert!(attestations.iter().all(Result::is_ok), "{what}: {attestations:?}");
        }
    }
}

/// Files and folders that only a killed program leaves.
fn left_overs(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if [".tmp-", ".pull-", ".index.next"].iter().any(|start| name.starts_with(start)) {
            found.push(name);
        } else if entry.path().is_dir() {
            found.extend(left_overs(&entry.path()));
        }
    }
    found
}

/// Runs a command again and again, killed after a while that differs each time; then once to its end.
fn kill(zoo: &Zoo, dir: &Path, arguments: &[&str], reset: impl Fn()) {
    let start = || {
        let mut command = command("zoo", dir);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    // How long it takes if nobody kills it.
    let begin = std::time::Instant::now();
    assert!(start().wait().unwrap().success(), "{arguments:?}");
    let whole = begin.elapsed().max(Duration::from_millis(5));
    let mut finished = 0;
    for number in 0..KILLS {
        reset();
        let mut child = start();
        // Spread over the whole run, and a little beyond.
        let share = f64::from(number * 37 % KILLS) / f64::from(KILLS);
        std::thread::sleep(whole.mul_f64(1.1 * share));
        child.kill().unwrap();
        finished += u32::from(child.wait().unwrap().success());
        assert_whole(zoo, &format!("{arguments:?}, kill {number}"));
    }
    assert!(finished < KILLS * 3 / 4, "{arguments:?}: {finished} of {KILLS} were not killed");
    assert!(start().wait().unwrap().success(), "{arguments:?}");
    assert_whole(zoo, "at the end");
    assert_eq!(left_overs(zoo.root()), [""; 0], "{arguments:?}");
}

#[test]
fn alias() {
    let dir = tempfile::tempdir().unwrap();
    let zoo = zoo_copy(dir.path());
    kill(&zoo, dir.path(), &["alias", "mnist-lite", "stable"], || ());
}

#[test]
fn index() {
    let dir = tempfile::tempdir().unwrap();
    let zoo = zoo_copy(dir.path());
    kill(&zoo, dir.path(), &["index"], || ());
}

#[test]
fn sign() {
    let dir = tempfile::tempdir().unwrap();
    let zoo = zoo_copy(dir.path());
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let pem = p256::pkcs8::EncodePrivateKey::to_pkcs8_pem(&key, p256::pkcs8::LineEnding::LF).unwrap();
    std::fs::write(dir.path().join("key.pem"), pem.as_str()).unwrap();
    kill(&zoo, dir.path(), &["sign", "mnist-lite", "--key", "key.pem"], || ());
}

#[test]
fn pull() {
    let dir = tempfile::tempdir().unwrap();
    let zoo = zoo_copy(dir.path());
    let reset = || {
        let _ = std::fs::remove_dir_all(zoo.models_dir().join("mnist-lite/1"));
        zoo.write_index().unwrap();
    };
    reset();
    let reference =
        format!("{}/zoo:1", crate::registry::registry(crate::registry::pack(|manifest| manifest)));
    let arguments = ["pull", reference.as_str(), "--plain-http", "--allow-rollback"];
    kill(&zoo, dir.path(), &arguments, reset);
}

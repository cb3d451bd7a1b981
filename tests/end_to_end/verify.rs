//! `infer verify` names the file that was tampered with, every time.

use std::path::{Path, PathBuf};

use tests::{copy_dir, root, run};

/// A zoo with one real version in it, and that version's folder.
fn zoo_copy(dir: &Path) -> PathBuf {
    let version = dir.join("zoo/models/mnist-cnn/1");
    copy_dir(&root().join("zoo/models/mnist-cnn/1"), &version).unwrap();
    zoo::Zoo::open(&dir.join("zoo")).unwrap().write_index().unwrap();
    version
}

fn verify(dir: &Path) -> tests::Outcome {
    let datasets = root().join("datasets");
    run("infer", dir, ["verify", "--datasets", datasets.to_str().unwrap()])
}

fn files(dir: &Path, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            names.extend(files(&entry.path(), &format!("{name}/")))
        } else {
            names.push(name)
        }
    }
    names
}

#[test]
fn one_flipped_bit_in_any_file_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let version = zoo_copy(dir.path());
    let names = files(&version, "");
    assert!(names.len() >= 10, "{names:?}");
    for name in names.iter().filter(|name| *name != "manifest.yaml") {
        let path = version.join(name);
        let original = std::fs::read(&path).unwrap();
        for place in [0, original.len() / 2, original.len() - 1] {
            let mut changed = original.clone();
            changed[place] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let outcome = verify(dir.path());
            assert_eq!(outcome.code, Some(1), "{name}: {outcome:?}");
            let line = format!("{name}: changed: sha256");
            assert!(outcome.stdout.contains(&line), "{name}: {}", outcome.stdout);
        }
        std::fs::write(&path, &original).unwrap();
    }
}

#[test]
fn one_lost_manifest_does_not_hide_the_other_versions() {
    let dir = tempfile::tempdir().unwrap();
    zoo_copy(dir.path());
    let lost = dir.path().join("zoo/models/mnist-lite/1");
    copy_dir(&root().join("zoo/models/mnist-lite/1"), &lost).unwrap();
    std::fs::remove_file(lost.join("manifest.yaml")).unwrap();
    let outcome = verify(dir.path());
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("manifest.yaml: not found"), "{outcome:?}");
    assert!(outcome.stdout.contains("mnist-cnn@1"), "{outcome:?}");
}

#[test]
fn missing_extra_and_pointer_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let version = zoo_copy(dir.path());
    std::fs::remove_file(version.join("history.csv")).unwrap();
    std::fs::write(version.join("notes.txt"), "hello").unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    std::fs::write(version.join("model.safetensors"), pointer).unwrap();
    let outcome = verify(dir.path());
    assert_eq!(outcome.code, Some(1));
    for part in ["history.csv: missing", "notes.txt: extra", "model.safetensors: a Git LFS pointer"] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.stdout);
    }
}

#[test]
fn a_claim_that_is_not_true_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let version = zoo_copy(dir.path());
    let path = version.join("manifest.yaml");
    let manifest = std::fs::read_to_string(&path).unwrap();
    // One image more in the sum and in one class, so that the manifest agrees with itself.
    let opened: zoo::Manifest = datasets::yaml::parse(&manifest, &path).unwrap();
    let mut claimed = opened.clone();
    let class = claimed.test.per_class.iter_mut().find(|c| c.correct.correct < c.correct.total).unwrap();
    class.correct.correct += 1;
    claimed.test.correct.correct += 1;
    std::fs::write(&path, datasets::yaml::to_string(&claimed).unwrap()).unwrap();
    let outcome = verify(dir.path());
    assert_eq!(outcome.code, Some(1));
    let line = format!("{}, claimed {}", opened.test.correct, claimed.test.correct);
    assert!(outcome.stdout.contains(&line), "{}", outcome.stdout);

    // One image more in a class and one less in another: only the classes tell.
    let mut claimed = opened.clone();
    let (up, down) = (1, 3);
    let right = |class: usize| opened.test.per_class[class].correct.correct;
    claimed.test.per_class[up].correct.correct = right(up) + 1;
    claimed.test.per_class[down].correct.correct = right(down) - 1;
    std::fs::write(&path, datasets::yaml::to_string(&claimed).unwrap()).unwrap();
    let outcome = verify(dir.path());
    assert_eq!(outcome.code, Some(1));
    for class in [up, down] {
        let [found, claimed] = [&opened, &claimed].map(|manifest| {
            let count = &manifest.test.per_class[class];
            format!("{} {}", count.label, count.correct)
        });
        let line = format!("{found}, claimed {claimed}");
        assert!(outcome.stdout.contains(&line), "{line}: {}", outcome.stdout);
    }
}

/// A manifest can name any dataset; one that does not fit the network is a failed check.
#[test]
fn a_dataset_of_other_images_or_classes_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = zoo_copy(dir.path()).join("manifest.yaml");
    let opened: zoo::Manifest = datasets::yaml::read(&path).unwrap();
    let folder = tests::tiny_dataset(dir.path(), 20, 10).unwrap();
    let description = folder.join("dataset.yaml");
    let tiny = std::fs::read_to_string(&description).unwrap();
    let small = datasets::Idx::new_u8(&[10, 14, 14], vec![0; 1960]).unwrap().to_bytes();
    let hash = |name: &str| datasets::Digest::of(&std::fs::read(folder.join(name)).unwrap()).to_string();
    let images = "t10k-images-idx3-ubyte.gz";
    let smaller = tiny
        .replace("height: 28, width: 28", "height: 14, width: 14")
        .replace(&hash(images), &datasets::Digest::of(&small).to_string());
    let more = tiny.replace("'9']", "'9', '10']");
    for (text, expected) in [(more, "of 11 classes, expected"), (smaller, "images [1, 14, 14]")] {
        if text.contains("height: 14") {
            std::fs::write(folder.join(images), &small).unwrap();
        }
        std::fs::write(&description, text).unwrap();
        let dataset = datasets::Dataset::open(&folder).unwrap();
        let mut claimed = opened.clone();
        claimed.dataset.name = "tiny".into();
        claimed.dataset.files =
            dataset.files().into_iter().map(|entry| (entry.file.clone(), entry.sha256)).collect();
        std::fs::write(&path, datasets::yaml::to_string(&claimed).unwrap()).unwrap();
        let datasets = dir.path().join("datasets");
        let outcome = run("infer", dir.path(), ["verify", "--datasets", datasets.to_str().unwrap()]);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.stdout.contains(expected), "{expected}: {}", outcome.stdout);
    }
}

#[test]
fn the_datasets_beside_a_zoo_are_found_from_any_folder() {
    let dir = tempfile::tempdir().unwrap();
    zoo_copy(dir.path());
    std::os::unix::fs::symlink(root().join("datasets"), dir.path().join("datasets")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let absolute = dir.path().join("zoo");
    std::os::unix::fs::symlink(&absolute, elsewhere.path().join("link")).unwrap();
    for zoo in [absolute.to_str().unwrap(), "link"] {
        let outcome = run("infer", elsewhere.path(), ["verify", "--zoo", zoo]);
        assert_eq!(outcome.code, Some(0), "{zoo}: {outcome:?}");
    }
    let inside = run("infer", &absolute, ["verify", "--zoo", "."]);
    assert_eq!(inside.code, Some(0), "{inside:?}");
}

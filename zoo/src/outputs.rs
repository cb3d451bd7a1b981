//! Where outputs of commands do not go: into what is published, which never changes, and over what they are made from.

use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::{VersionDir, parse_version};

/// Refuses a place in the folder of a published version, or that folder itself. The place need not be there yet.
///
/// # Errors
/// [`Error::Published`].
pub fn refuse_published(place: &Path) -> Result<()> {
    let is_version = |folder: &&Path| {
        let name = folder.file_name().and_then(|name| name.to_str());
        // Other programs have a `manifest.yaml`, too.
        name.and_then(parse_version).is_some() && VersionDir::open(folder).is_ok()
    };
    match full(place).ancestors().find(is_version) {
        Some(_) => Err(Error::Published { path: place.to_owned() }),
        None => Ok(()),
    }
}

/// Refuses an output that would be written over one of the inputs, or over another output.
///
/// # Errors
/// [`Error::Same`].
pub fn refuse_same(output: &Path, others: &[&Path]) -> Result<()> {
    match others.iter().find(|other| full(other) == full(output)) {
        Some(other) => Err(Error::Same { path: output.to_owned(), other: (*other).to_owned() }),
        None => Ok(()),
    }
}

/// A path through links as far as it is there, and the rest of it.
fn full(path: &Path) -> PathBuf {
    let mut full = std::env::current_dir().unwrap_or_default();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = full.pop(),
            Component::CurDir => {}
            other => full.push(other),
        }
        full = full.canonicalize().unwrap_or(full);
    }
    full
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_version_and_what_is_below_it_are_refused_through_links_too() {
        let dir = tempfile::tempdir().unwrap();
        let version = dir.path().join("models/digits/2");
        std::fs::create_dir_all(version.join("golden")).unwrap();
        let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mnist-lite/1/manifest.yaml");
        std::fs::copy(published, version.join("manifest.yaml")).unwrap();
        // Somebody else's.
        let other = dir.path().join("7");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("manifest.yaml"), "kind: Service").unwrap();
        let link = dir.path().join("link");
        symlink(version.join("golden"), &link).unwrap();
        let zoo = dir.path().join("zoo");
        std::fs::create_dir(&zoo).unwrap();
        symlink(dir.path().join("models"), zoo.join("models")).unwrap();
        for (place, is_refused) in [
            (version.clone(), true),
            (version.join("README.md"), true),
            (version.join("new/deeper/file"), true),
            (link.join("file"), true),
            (link.join("../file"), true),
            (zoo.join("models/digits/2/file"), true),
            (dir.path().join("new/../models/digits/2/file"), true),
            (version.join("../3"), false),
            (version.with_file_name("3"), false),
            (dir.path().join("models/digits"), false),
            (other.join("file"), false),
            (dir.path().join("file"), false),
            ("file-that-is-not-there".into(), false),
        ] {
            assert_eq!(refuse_published(&place).is_err(), is_refused, "{}", place.display());
        }
    }

    #[test]
    fn two_names_of_one_file_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        std::fs::write(&file, "").unwrap();
        symlink("a", dir.path().join("link")).unwrap();
        for (output, is_refused) in [("a", true), ("link", true), ("new/../a", true), ("./b", false)] {
            let output = dir.path().join(output);
            assert_eq!(refuse_same(&output, &[&file]).is_err(), is_refused, "{}", output.display());
        }
        // Neither is there yet.
        let [one, two] = ["x", "./x"].map(|name| dir.path().join(name));
        assert!(refuse_same(&one, &[&file, &two]).is_err());
    }
}

//! What is published never changes: outputs of commands go elsewhere.

use std::path::Path;

use crate::error::{Error, Result};
use crate::{MANIFEST, parse_version};

/// Refuses a place in the folder of a published version, `models/<name>/<version>`, or that folder itself. It need not exist yet.
///
/// # Errors
/// [`Error::Published`].
pub fn refuse_published(place: &Path) -> Result<()> {
    // Where links lead, of as much as is there.
    let there = place.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let Some(full) = there.into_iter().find_map(|path| path.canonicalize().ok()) else { return Ok(()) };
    let is_version = |folder: &&Path| {
        let is_numbered = folder.file_name().and_then(|name| name.to_str()).and_then(parse_version).is_some();
        let models = folder.parent().and_then(Path::parent).and_then(Path::file_name);
        is_numbered && models.is_some_and(|name| name == "models") && folder.join(MANIFEST).exists()
    };
    match full.ancestors().find(is_version) {
        Some(_) => Err(Error::Published { path: place.to_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_version_and_what_is_below_it_are_refused_through_links_too() {
        let dir = tempfile::tempdir().unwrap();
        let version = dir.path().join("models/digits/2");
        std::fs::create_dir_all(version.join("golden")).unwrap();
        std::fs::write(version.join(MANIFEST), "").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(version.join("golden"), &link).unwrap();
        for (place, is_refused) in [
            (version.clone(), true),
            (version.join("README.md"), true),
            (version.join("new/deeper/file"), true),
            (link.join("file"), true),
            (version.with_file_name("3"), false),
            (dir.path().join("models/digits"), false),
            (dir.path().join("file"), false),
            ("file-that-is-not-there".into(), false),
        ] {
            assert_eq!(refuse_published(&place).is_err(), is_refused, "{}", place.display());
        }
    }
}

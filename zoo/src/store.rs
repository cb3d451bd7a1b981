//! The zoo's folders: finding versions and adding new ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use datasets::Digest;

use crate::atomic::sync_dir;
use crate::error::{Error, Result};
use crate::manifest::MANIFEST;
use crate::names::{MAX_VERSION, check_name, parse_version};
use crate::spec::{Selector, Spec};
use crate::version::{VersionDir, list_files};

/// A model and its published versions, ascending.
pub type ModelVersions = (String, Vec<u32>);

/// A zoo directory.
#[derive(Debug, Clone)]
pub struct Zoo {
    root: PathBuf,
}

impl Zoo {
    /// Opens a directory that has a `models` folder.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn open(root: &Path) -> Result<Zoo> {
        let zoo = Zoo { root: root.to_owned() };
        if !zoo.models_dir().is_dir() {
            return Err(Error::NotFound {
                path: zoo.models_dir(),
                hint: "expected the `models` folder of a zoo".into(),
            });
        }
        Ok(zoo)
    }

    /// A directory that becomes a zoo when a version is placed in it: an empty zoo without any would hide the built-in model.
    pub fn new(root: &Path) -> Zoo {
        Zoo { root: root.to_owned() }
    }

    /// The folder for lock and staging, which is no zoo yet.
    fn create_root(&self) -> Result<()> {
        std::fs::create_dir_all(&self.root).map_err(Error::io(&self.root))
    }

    /// The zoo's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `<zoo>/models`.
    pub fn models_dir(&self) -> PathBuf {
        self.root.join("models")
    }

    /// The folder of the datasets that its models were made of and are measured on: the one given, else `datasets` beside
    /// the zoo's own, else `datasets` here.
    pub fn datasets(&self, given: Option<&Path>) -> PathBuf {
        // `..` of a link leads beside what it points to; a name without a parent is in this folder.
        let beside = [self.root.join("../datasets"), self.root.with_file_name("datasets")];
        let beside = || beside.into_iter().find(|path| path.is_dir());
        given.map(Path::to_owned).or_else(beside).unwrap_or_else(|| "datasets".into())
    }

    /// Every model with its versions, by name. Looks at folder names only.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn models(&self) -> Result<Vec<ModelVersions>> {
        Ok(self.models_and_unreadable()?.0)
    }

    /// The same, and the names of models whose folders cannot be listed: they keep no other from being found.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder of all models cannot be listed.
    pub fn models_and_unreadable(&self) -> Result<(Vec<ModelVersions>, Vec<String>)> {
        let (mut models, mut unreadable) = (BTreeMap::new(), Vec::new());
        for name in folder_names_if_any(&self.models_dir())? {
            // Not even looked at: `lost+found` may not be read.
            if check_name(&name).is_err() {
                continue;
            }
            match self.versions(&name) {
                Ok(versions) if versions.is_empty() => {}
                Ok(versions) => {
                    models.insert(name, versions);
                }
                Err(_) => unreadable.push(name),
            }
        }
        unreadable.sort();
        Ok((models.into_iter().collect(), unreadable))
    }

    /// Numbers of a model's versions, ascending; none for a model that is not here.
    fn versions(&self, name: &str) -> Result<Vec<u32>> {
        let dir = self.models_dir().join(name);
        let names = if dir.is_dir() { folder_names(&dir)? } else { Vec::new() };
        let mut versions: Vec<u32> = names.iter().filter_map(|name| parse_version(name)).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// Opens a version: the one named, or the newest. Looks at the folders of this model alone: a zoo may have thousands.
    ///
    /// # Errors
    /// [`Error::NotFound`] lists what is there; else as for [`VersionDir::open`].
    pub fn version(&self, spec: &Spec) -> Result<VersionDir> {
        let dir = self.models_dir().join(&spec.name);
        let versions = if check_name(&spec.name).is_ok() { self.versions(&spec.name)? } else { Vec::new() };
        let Some(&newest) = versions.last() else {
            let models = self.models()?;
            let names: Vec<&str> = models.iter().map(|(name, _)| name.as_str()).collect();
            let hint = if names.is_empty() {
                "the zoo is empty".into()
            } else {
                format!("models here: {}", names.join(", "))
            };
            return Err(Error::NotFound { path: dir, hint });
        };
        let version = match &spec.selector {
            Selector::Latest => newest,
            Selector::Version(version) => *version,
            Selector::Alias(alias) => self.aliased(&spec.name, alias)?,
        };
        let dir = dir.join(version.to_string());
        if !versions.contains(&version) {
            let hint = format!("versions of {} here: {versions:?}", spec.name);
            return Err(Error::NotFound { path: dir, hint });
        }
        let opened = VersionDir::open(&dir)?;
        let (found, expected) =
            ((opened.manifest.name.as_str(), opened.manifest.version), (spec.name.as_str(), version));
        if found != expected {
            return Err(Error::Manifest {
                path: dir.join(MANIFEST),
                field: "name and version".into(),
                found: format!("{} {}", found.0, found.1),
                expected: format!("{} {}, as the folders say", expected.0, expected.1),
            });
        }
        Ok(opened)
    }

    fn aliased(&self, name: &str, alias: &str) -> Result<u32> {
        // A log without its last lines is one that an older version follows from.
        self.check_aliases()?;
        let aliases = self.aliases(name)?;
        aliases.get(alias).copied().ok_or_else(|| Error::NotFound {
            path: self.models_dir().join(name),
            hint: format!("no alias `{alias}`; aliases of {name}: {aliases:?}"),
        })
    }

    /// Adds the next version of `name`.
    ///
    /// `fill` writes all files, the manifest last, into an empty folder beside
    /// `models`; it is told the version's number. The folder is then checked
    /// against its manifest, flushed to disk and renamed into place. Whatever
    /// fails or is killed before the rename leaves no trace in `models`, and the
    /// next publisher removes the left-overs. Publishers wait for each other.
    ///
    /// # Errors
    /// What `fill` returns, or [`Error::Damaged`] if its files do not match its manifest.
    pub fn publish<E: From<Error>>(
        &self,
        name: &str,
        fill: impl FnOnce(&Path, u32) -> std::result::Result<(), E>,
    ) -> std::result::Result<VersionDir, E> {
        self.create_root()?;
        let _lock = self.lock()?;
        let version = self.newest_ever(name)?.saturating_add(1);
        self.check_version(name, version)?;
        self.place(name, version, None, |folder| fill(folder, version))
    }

    /// Whether a version could be begun now, for whoever has long to work on it first.
    ///
    /// # Errors
    /// As for [`Zoo::publish`], but for another publisher, who may be gone by then.
    pub fn check_writable(&self) -> Result<()> {
        self.create_root()?;
        match self.lock() {
            Ok(_lock) => {
                self.check_unchanged()?;
                let staging = self.clean_staging()?;
                tempfile::tempdir_in(&staging).map(|_| ()).map_err(Error::io(&staging))
            }
            Err(Error::Busy { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The highest number that a version of `name` has, or had before it was removed: index and alias log remember it, and
    /// other zoos may have it. A number is never given to other content.
    fn newest_ever(&self, name: &str) -> Result<u32> {
        let folders = folder_names_if_any(&self.models_dir().join(name))?;
        let there = folders.iter().filter_map(|folder| parse_version(folder)).max();
        let written = match self.written_index() {
            Ok(index) => index.models.into_iter().find(|model| model.name == name).map(|model| model.latest),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let aliased = self.alias_history()?.into_iter().filter(|entry| entry.model == name);
        let aliased = aliased.map(|entry| entry.version).max();
        Ok([there, written, aliased].into_iter().flatten().max().unwrap_or(0))
    }

    /// Adds a version that was published elsewhere under its own number, as [`Zoo::publish`] does.
    /// Nothing happens if it is there already, with a manifest of this sha256.
    ///
    /// # Errors
    /// [`Error::Damaged`] if another version has the number, or what is there is damaged; else as
    /// for [`Zoo::publish`].
    pub fn add<E: From<Error>>(
        &self,
        name: &str,
        version: u32,
        manifest_sha256: &Digest,
        fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
    ) -> std::result::Result<VersionDir, E> {
        self.check_version(name, version)?;
        self.create_root()?;
        let _lock = self.lock()?;
        let dir = self.models_dir().join(name).join(version.to_string());
        if !dir.exists() {
            return self.place(name, version, Some(manifest_sha256), fill);
        }
        let there = VersionDir::open(&dir)?;
        let found = there.manifest_sha256;
        if found != *manifest_sha256 {
            let problem = format!(
                "sha256 {found}: another version {version} is there; expected {manifest_sha256} or nothing"
            );
            return Err(Error::Damaged { path: dir.join(MANIFEST), problem }.into());
        }
        there.check()?;
        Ok(there)
    }

    fn check_version(&self, name: &str, version: u32) -> Result<()> {
        if (1..=MAX_VERSION).contains(&version) {
            return Ok(());
        }
        Err(Error::Manifest {
            path: self.models_dir().join(name),
            field: "version".into(),
            found: version.to_string(),
            expected: format!("1 to {MAX_VERSION}"),
        })
    }

    /// Fills a staged folder, checks it and renames it into place, with those of the folders above it that are not there yet:
    /// a kill leaves no model without versions, and no zoo without models. Call with the lock held.
    fn place<E: From<Error>>(
        &self,
        name: &str,
        version: u32,
        manifest_sha256: Option<&Digest>,
        fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
    ) -> std::result::Result<VersionDir, E> {
        // Nothing is begun that could not be finished, and no change that somebody made is taken over.
        self.check_unchanged()?;
        let staging = self.clean_staging()?;
        let work = tempfile::Builder::new()
            .prefix(&format!("{name}-{version}-"))
            .tempdir_in(&staging)
            .map_err(Error::io(&staging))?;
        let staged_models = work.path().join("models");
        let folder = staged_models.join(name).join(version.to_string());
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        fill(&folder)?;
        let staged = self.check_staged(&folder, name, version)?;
        if let Some(expected) = manifest_sha256.filter(|expected| **expected != staged.manifest_sha256) {
            let problem = format!("sha256 {}, expected {expected}", staged.manifest_sha256);
            return Err(Error::Damaged { path: folder.join(MANIFEST), problem }.into());
        }
        sync_tree(&staged_models)?;
        let (models, model) = (self.models_dir(), self.models_dir().join(name));
        let target = model.join(version.to_string());
        let (new, place, parent) = match (models.exists(), model.exists()) {
            (true, true) => (&folder, &target, &model),
            (true, false) => (&staged_models.join(name), &model, &models),
            (false, _) => (&staged_models, &models, &self.root),
        };
        let next = self.index()?.with_version(&staged, self.aliases(name)?);
        self.change_with_index(&next, || {
            std::fs::rename(new, place).map_err(Error::io(place))?;
            sync_dir(parent)
        })?;
        Ok(VersionDir::open(&target)?)
    }

    fn check_staged(&self, folder: &Path, name: &str, version: u32) -> Result<VersionDir> {
        let staged = VersionDir::open(folder)?;
        staged.check()?;
        if (staged.manifest.name.as_str(), staged.manifest.version) != (name, version) {
            let problem = format!(
                "manifest of {} {}, expected {name} {version}",
                staged.manifest.name, staged.manifest.version
            );
            return Err(Error::Damaged { path: folder.join(MANIFEST), problem });
        }
        Ok(staged)
    }

    /// The staging folder, emptied of what killed publishers left. Call with the lock held.
    fn clean_staging(&self) -> Result<PathBuf> {
        let staging = self.root.join(".staging");
        if staging.exists() {
            std::fs::remove_dir_all(&staging).map_err(Error::io(&staging))?;
        }
        std::fs::create_dir_all(&staging).map_err(Error::io(&staging))?;
        Ok(staging)
    }
}

fn folder_names_if_any(dir: &Path) -> Result<Vec<String>> {
    if dir.exists() { folder_names(dir) } else { Ok(Vec::new()) }
}

pub(crate) fn folder_names(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let entry = entry.map_err(Error::io(dir))?;
        if entry.path().is_dir() {
            // Names that are no UTF-8 are no names of models or versions, but they are there.
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Flushes every file and folder below `root`.
fn sync_tree(root: &Path) -> Result<()> {
    let mut folders = vec![root.to_owned()];
    for name in list_files(root)? {
        let path = root.join(name);
        File::open(&path).and_then(|f| f.sync_all()).map_err(Error::io(&path))?;
        folders.extend(path.ancestors().skip(1).take_while(|folder| *folder != root).map(Path::to_owned));
    }
    folders.sort();
    folders.dedup();
    folders.iter().try_for_each(|folder| sync_dir(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_publish_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let zoo = Zoo::new(root.path());
        let result = zoo.publish("a", |dir, version| -> Result<()> {
            assert_eq!(version, 1);
            std::fs::write(dir.join("model.onnx"), b"x").unwrap();
            Ok(())
        });
        assert!(matches!(result, Err(Error::NotFound { .. })), "{result:?}");
        assert_eq!(zoo.models().unwrap(), []);
        assert_eq!(std::fs::read_dir(root.path().join(".staging")).unwrap().count(), 0);
        assert!(Zoo::open(root.path()).is_err(), "an empty zoo would hide the built-in model");
    }
}

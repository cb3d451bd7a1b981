//! `index.json`, made from the manifests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use datasets::{Digest, files};
use serde::{Deserialize, Serialize};

use crate::atomic::{sync_dir, write_atomic};
use crate::error::{Error, Result};
use crate::{AliasEntry, Count, MANIFEST, ONNX, Spec, VersionDir, Zoo};

/// File name of the index in the zoo.
pub const INDEX: &str = "index.json";
/// The index that is about to be. A change to the zoo writes it, then changes the zoo, then renames it to [`INDEX`]: after
/// a kill at any instant, one of the two is what is in the zoo.
const NEXT: &str = ".index.next";
/// Most characters of a line that are told.
const MOST_SHOWN: usize = 80;
/// What is wrong with another alias log than that of the index.
const OTHER_LOG: &str = "not the log that the index has";
/// Larger ones are refused.
const MAX_BYTES: u64 = 64 << 20;

/// Every published version, for programs that look for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Version of this format.
    pub schema: u32,
    /// Models by name.
    pub models: Vec<IndexModel>,
    /// sha256 of the last line of the alias log, which has that of the line before; absent without aliases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aliases_sha256: Option<Digest>,
    /// Versions whose manifest cannot be used, relative to the zoo.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// A model in the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexModel {
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub latest: u32,
    /// What its aliases point to.
    pub aliases: BTreeMap<String, u32>,
    /// Its versions, ascending.
    pub versions: Vec<IndexVersion>,
}

/// A version in the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexVersion {
    /// Its number.
    pub version: u32,
    /// Its folder, relative to the zoo.
    pub path: String,
    /// What it was trained on.
    pub dataset: String,
    /// Result on the test split.
    pub test: Count,
    /// Results on held-out training images of the runs that its recipe was chosen by, or of its own; absent without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<Count>,
    /// Result on the damaged test split, all kinds and strengths together; absent where not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<Count>,
    /// Expected calibration error on the test split; absent from versions that promise nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_error: Option<f64>,
    /// Trainable values.
    pub parameters: u64,
    /// Multiply-accumulates for one image.
    pub macs: u64,
    /// Numeric profile that it was trained under: `portable` and `portable2` give the same bytes on every processor. Absent from
    /// versions that were not trained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numeric_profile: Option<String>,
    /// Processor that trained it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// sha256 of its manifest, which has those of all other files.
    pub manifest_sha256: Digest,
    /// sha256 of its network.
    pub onnx_sha256: Option<Digest>,
}

impl Zoo {
    /// The index as the manifests have it. A version whose manifest cannot be used is named, and keeps no other from
    /// being found.
    ///
    /// # Errors
    /// If folders or the alias log cannot be read.
    pub fn index(&self) -> Result<Index> {
        let mut index = Index {
            schema: 1,
            models: Vec::new(),
            aliases_sha256: self.aliases_sha256()?,
            unreadable: Vec::new(),
        };
        let (models, unreadable) = self.models_and_unreadable()?;
        index.unreadable.extend(unreadable.into_iter().map(|name| format!("models/{name}")));
        for (name, numbers) in models {
            let mut versions = Vec::new();
            for &number in &numbers {
                match self.version(&Spec::version(&name, number)) {
                    Ok(version) => versions.push(IndexVersion::of(&version)),
                    Err(_) => index.unreadable.push(format!("models/{name}/{number}")),
                }
            }
            let latest = *numbers.last().expect("`models` lists only models that have versions");
            index.models.push(IndexModel { aliases: self.aliases(&name)?, latest, versions, name });
        }
        Ok(index)
    }

    /// Writes `index.json`. Publishing and setting an alias do it too.
    ///
    /// # Errors
    /// If folders or the alias log cannot be read or the file not be written.
    pub fn write_index(&self) -> Result<()> {
        let _lock = self.lock()?;
        self.change_with_index(&self.index()?, || Ok(()))
    }

    /// Makes a change after which the index is `next`. Call with the lock held.
    pub(crate) fn change_with_index<T>(&self, next: &Index, change: impl FnOnce() -> Result<T>) -> Result<T> {
        let (path, new) = (self.root().join(INDEX), self.root().join(NEXT));
        write_atomic(&new, next.to_json().as_bytes())?;
        let done = change()?;
        std::fs::rename(&new, &path).map_err(Error::io(&path))?;
        sync_dir(self.root())?;
        Ok(done)
    }

    /// Ends what somebody was killed in the middle of. Call with the lock held, before another change: its index would
    /// take the place of the one that fits.
    pub(crate) fn end_change(&self) -> Result<()> {
        let (path, new) = (self.root().join(INDEX), self.root().join(NEXT));
        if !new.exists() {
            return Ok(());
        }
        let fits = self.read_index(NEXT).is_ok_and(|(next, _)| self.index().is_ok_and(|index| index == next));
        if fits { std::fs::rename(&new, &path) } else { std::fs::remove_file(&new) }.map_err(Error::io(&new))
    }

    /// The index as it was written. If somebody was killed while changing the zoo, the one that fits what is there.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Io`], or [`Error::Damaged`] for what is no index.
    pub fn written_index(&self) -> Result<Index> {
        Ok(self.written()?.0)
    }

    /// The same, and its text.
    fn written(&self) -> Result<(Index, String)> {
        // In this order, since the next one may become the index between.
        if let Ok((next, text)) = self.read_index(NEXT)
            && next == self.index()?
        {
            return Ok((next, text));
        }
        self.read_index(INDEX)
    }

    /// Refuses to go on where manifests or the alias log are not those of the index: writing a new index would take a
    /// change over that somebody made by hand. What is gone, or cannot be read, is left to `verify`.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        // A log that cannot be read is told before anything is compared.
        self.alias_history()?;
        let written = match self.written_index() {
            Err(Error::NotFound { .. }) => return Ok(()),
            written => written?,
        };
        let damaged = |path: PathBuf, problem: &str| {
            let problem = format!("{problem}; `zoo verify` says more, and `zoo index` takes it as it is");
            Err(Error::Damaged { path, problem })
        };
        for (model, entry) in
            written.models.iter().flat_map(|model| model.versions.iter().map(move |v| (model, v)))
        {
            let found = self.version(&Spec::version(&model.name, entry.version));
            if let Some(version) =
                found.ok().filter(|version| version.manifest_sha256 != entry.manifest_sha256)
            {
                return damaged(version.path.join(MANIFEST), "not the manifest that the index has");
            }
        }
        match self.has_lost_aliases(&written)? {
            true => damaged(self.alias_path(), OTHER_LOG),
            false => Ok(()),
        }
    }

    /// Whether the alias log is another one than that of the index.
    fn has_lost_aliases(&self, written: &Index) -> Result<bool> {
        let last = self.aliases_sha256()?;
        let is_lost = written.aliases_sha256.is_some() && written.aliases_sha256 != last;
        Ok(is_lost || last.is_none() && written.models.iter().any(|model| !model.aliases.is_empty()))
    }

    /// Refuses an alias log that is not the one of the index, as after a copy of a part of a zoo: lines may be missing, or all.
    /// An index that cannot be read says nothing.
    ///
    /// # Errors
    /// [`Error::Damaged`], or if the log cannot be read.
    pub fn check_aliases(&self) -> Result<()> {
        let is_lost = || match self.written_index() {
            Ok(written) => self.has_lost_aliases(&written),
            Err(_) => Ok(false),
        };
        // Somebody may be setting an alias just now.
        match is_lost()? && is_lost()? {
            true => Err(Error::Damaged { path: self.alias_path(), problem: OTHER_LOG.into() }),
            false => Ok(()),
        }
    }

    fn read_index(&self, name: &str) -> Result<(Index, String)> {
        let path = self.root().join(name);
        if !path.exists() {
            return Err(Error::NotFound { path, hint: "`zoo index` writes it from the manifests".into() });
        }
        let text = files::read_text(&path, MAX_BYTES).map_err(Error::io(&path))?;
        match serde_json::from_str(&text) {
            Ok(index) => Ok((index, text)),
            Err(e) => Err(Error::Damaged { path, problem: format!("not an index of a zoo: {e}") }),
        }
    }

    /// Everything in which `index.json` differs from the manifests and the alias log.
    ///
    /// # Errors
    /// As for [`Zoo::index`]; an index that cannot be read is a difference.
    pub fn index_differences(&self) -> Result<Vec<String>> {
        let compare = || -> Result<Vec<String>> {
            let expected = self.index()?;
            let (written, text) = match self.written() {
                Ok(written) => written,
                Err(error) => return Ok(vec![error.to_string()]),
            };
            let differences = written.differences(&expected);
            // What is there twice, in another order or under a name that nobody reads here, other programs may take for the
            // truth.
            match differences.is_empty() {
                true => Ok(first_difference(&text, &expected.to_json()).into_iter().collect()),
                false => Ok(differences),
            }
        };
        // Somebody may be changing the zoo just now.
        let differences = compare()?;
        if differences.is_empty() { Ok(differences) } else { compare() }
    }
}

impl Index {
    /// The entry of a version.
    pub fn version(&self, name: &str, version: u32) -> Option<&IndexVersion> {
        let model = self.models.iter().find(|model| model.name == name)?;
        model.versions.iter().find(|entry| entry.version == version)
    }

    /// The same with a version more.
    pub(crate) fn with_version(mut self, version: &VersionDir, aliases: BTreeMap<String, u32>) -> Index {
        let (name, entry) = (&version.manifest.name, IndexVersion::of(version));
        let place = match self.models.binary_search_by(|model| model.name.cmp(name)) {
            Ok(place) => place,
            Err(place) => {
                let (name, versions) = (name.clone(), Vec::new());
                self.models.insert(place, IndexModel { name, latest: 0, aliases, versions });
                place
            }
        };
        let model = &mut self.models[place];
        model.latest = model.latest.max(entry.version);
        model.versions.push(entry);
        model.versions.sort_by_key(|entry| entry.version);
        self
    }

    /// The same with an alias set, after which the log ends in a line of this hash.
    pub(crate) fn with_alias(mut self, entry: &AliasEntry, line_sha256: Digest) -> Index {
        if let Some(model) = self.models.iter_mut().find(|model| model.name == entry.model) {
            model.aliases.insert(entry.alias.clone(), entry.version);
        }
        self.aliases_sha256 = Some(line_sha256);
        self
    }

    /// What is not as in `expected`, each with its place.
    fn differences(&self, expected: &Index) -> Vec<String> {
        let entries = |index: &Index| -> BTreeMap<String, serde_json::Value> {
            let mut entries = BTreeMap::new();
            for model in &index.models {
                for version in &model.versions {
                    entries.insert(format!("{}@{}", model.name, version.version), value(&version));
                }
                entries.insert(format!("{}: latest", model.name), value(&model.latest));
                entries.insert(format!("{}: aliases", model.name), value(&model.aliases));
            }
            entries.insert("schema".into(), value(&index.schema));
            entries.insert("aliases_sha256".into(), value(&index.aliases_sha256));
            entries.insert("unreadable".into(), value(&index.unreadable));
            entries
        };
        let (written, expected) = (entries(self), entries(expected));
        let mut differences = Vec::new();
        for (place, value) in &expected {
            match written.get(place) {
                Some(found) if found == value => {}
                Some(_) => differences.push(format!("{INDEX}: {place} differs from what is in the zoo")),
                None => differences.push(format!("{INDEX}: without {place}")),
            }
        }
        let extra = written.keys().filter(|place| !expected.contains_key(*place));
        differences.extend(extra.map(|place| format!("{INDEX}: {place} is not in the zoo")));
        differences
    }

    /// The text of `index.json`.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("numbers, texts and lists always serialise");
        format!("{text}\n")
    }
}

/// The first line that is another one.
fn first_difference(written: &str, expected: &str) -> Option<String> {
    if written == expected {
        return None;
    }
    let [found, wanted] = [written, expected].map(|text| text.split('\n').collect::<Vec<&str>>());
    let same = found.iter().zip(&wanted).take_while(|(found, wanted)| found == wanted).count();
    let shown = |lines: &[&str]| match lines.get(same) {
        Some(line) => format!("{:?}", line.trim().chars().take(MOST_SHOWN).collect::<String>()),
        None => "the end".into(),
    };
    let (number, found, wanted) = (same + 1, shown(&found), shown(&wanted));
    Some(format!("{INDEX}: line {number}: found {found}, expected {wanted}; the manifests say no more"))
}

fn value(entry: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(entry).expect("numbers, texts and lists always serialise")
}

impl IndexVersion {
    fn of(opened: &VersionDir) -> IndexVersion {
        let manifest = opened.manifest.clone();
        let chosen_by = manifest.training.iter().flat_map(|training| &training.chosen_by);
        let mut validation: Vec<Count> = chosen_by.map(|run| run.validation).collect();
        if validation.is_empty() {
            validation.extend(manifest.validation);
        }
        let damaged = manifest.corruptions.as_ref().map(|kinds| kinds.values().flatten().sum());
        IndexVersion {
            version: manifest.version,
            path: format!("models/{}/{}", manifest.name, manifest.version),
            dataset: manifest.dataset.name,
            test: manifest.test.correct,
            validation,
            damaged,
            calibration_error: manifest.confidence.as_ref().map(|confidence| confidence.calibration_error),
            parameters: manifest.network.parameters,
            macs: manifest.network.macs,
            numeric_profile: manifest.training.as_ref().map(|training| training.numeric_profile.isa.clone()),
            processor: manifest.training.map(|training| training.cpu),
            manifest_sha256: opened.manifest_sha256,
            onnx_sha256: manifest.files.get(ONNX).map(|record| record.sha256),
        }
    }
}

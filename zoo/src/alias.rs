//! Aliases: names for versions that can move, with a history that only grows.
//!
//! `<zoo>/aliases.jsonl` has one line for each time an alias was set; the last line of a name counts. Lines are never
//! changed or removed: each has the sha256 of the line before, and `index.json` that of the last. (Lines from before
//! that have none; they come first.)

use std::collections::BTreeMap;
use std::path::PathBuf;

use datasets::{Digest, files};
use serde::{Deserialize, Serialize};

use crate::atomic::write_atomic;
use crate::error::{Error, Result};
use crate::{Selector, Spec, Zoo, check_name};

/// File name in the zoo.
pub(crate) const FILE: &str = "aliases.jsonl";

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasEntry {
    /// The model.
    pub model: String,
    /// The alias, e.g. `stable`.
    pub alias: String,
    /// What it points to from here on.
    pub version: u32,
    /// sha256 of the line before, without its end; absent from the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
}

impl AliasEntry {
    /// Field, value and what is expected of the first that cannot be.
    fn wrong(&self) -> Option<(&'static str, String, String)> {
        if let Err(expected) = check_name(&self.model) {
            return Some(("model", format!("{:?}", self.model), expected));
        }
        if !is_alias(&self.alias) {
            return Some(("alias", format!("{:?}", self.alias), ALIAS.into()));
        }
        (self.version == 0).then(|| ("version", "0".into(), "a version from 1".into()))
    }
}

fn is_alias(text: &str) -> bool {
    matches!(text.parse(), Ok(Selector::Alias(_)))
}

/// What an alias can be.
const ALIAS: &str = "a lower-case word that is not `latest`";

fn told(digest: Option<Digest>) -> String {
    digest.map_or("none".into(), |digest| digest.to_string())
}

/// Larger logs are refused.
const MAX_BYTES: u64 = 64 << 20;

impl Zoo {
    /// The alias log.
    pub(crate) fn alias_path(&self) -> PathBuf {
        self.root().join(FILE)
    }

    /// Every time an alias was set, oldest first.
    ///
    /// # Errors
    /// [`Error::Manifest`] names the line that is no entry, or does not follow from the one before.
    pub fn alias_history(&self) -> Result<Vec<AliasEntry>> {
        let path = self.alias_path();
        let text = self.alias_log()?;
        let entry = |(index, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| Error::Manifest {
                path: path.clone(),
                field: format!("line {}", index + 1),
                found: format!("{:?}", line.chars().take(80).collect::<String>()),
                expected: format!("an alias entry ({})", datasets::plain_message(&error.to_string())),
            })
        };
        let history: Vec<AliasEntry> = text.lines().enumerate().map(entry).collect::<Result<_>>()?;
        if let Some((index, (field, found, expected))) =
            history.iter().enumerate().find_map(|(index, entry)| Some((index, entry.wrong()?)))
        {
            let field = format!("line {}: {field}", index + 1);
            return Err(Error::Manifest { path, field, found, expected });
        }
        let mut before: Option<&str> = None;
        let mut is_chained = false;
        for (index, (line, entry)) in text.lines().zip(&history).enumerate() {
            let expected = before.map(|line| Digest::of(line.as_bytes()));
            is_chained |= entry.previous.is_some();
            if is_chained && entry.previous != expected {
                return Err(Error::Manifest {
                    path,
                    field: format!("line {}: previous", index + 1),
                    found: told(entry.previous),
                    expected: format!(
                        "{}, of the line before: lines were changed or removed",
                        told(expected)
                    ),
                });
            }
            before = Some(line);
        }
        Ok(history)
    }

    fn alias_log(&self) -> Result<String> {
        let path = self.alias_path();
        match files::read_text(&path, MAX_BYTES) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(Error::io(&path)),
        }
    }

    /// sha256 of the last line of the alias log.
    pub(crate) fn aliases_sha256(&self) -> Result<Option<Digest>> {
        Ok(self.alias_log()?.lines().last().map(|line| Digest::of(line.as_bytes())))
    }

    /// Aliases that point to nothing, or are of no model.
    ///
    /// # Errors
    /// As for [`Zoo::alias_history`].
    pub fn dangling_aliases(&self) -> Result<Vec<String>> {
        let models: BTreeMap<String, Vec<u32>> = self.models()?.into_iter().collect();
        let current: BTreeMap<(String, String), u32> = self
            .alias_history()?
            .into_iter()
            .map(|entry| ((entry.model, entry.alias), entry.version))
            .collect();
        let is_there =
            |model: &str, version: &u32| models.get(model).is_some_and(|versions| versions.contains(version));
        let dangling = current.into_iter().filter(|((model, _), version)| !is_there(model, version));
        Ok(dangling
            .map(|((model, alias), version)| {
                format!("{FILE}: {model}@{alias} is version {version}, not here")
            })
            .collect())
    }

    /// What the aliases of `model` point to now.
    ///
    /// # Errors
    /// As for [`Zoo::alias_history`].
    pub fn aliases(&self, model: &str) -> Result<BTreeMap<String, u32>> {
        let history = self.alias_history()?.into_iter();
        Ok(history.filter(|entry| entry.model == model).map(|entry| (entry.alias, entry.version)).collect())
    }

    /// Lets `alias` point to the version that `spec` names, and renews the index.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a version that is not there, [`Error::Manifest`] for a name that cannot be an alias.
    pub fn set_alias(&self, spec: &Spec, alias: &str) -> Result<AliasEntry> {
        let path = self.alias_path();
        if !is_alias(alias) {
            return Err(Error::Manifest {
                path,
                field: "alias".into(),
                found: format!("`{alias}`"),
                expected: ALIAS.into(),
            });
        }
        let _lock = self.lock()?;
        let version = self.version(spec)?.manifest.version;
        // A log that does not hold is not continued.
        self.check_unchanged()?;
        let previous = self.aliases_sha256()?;
        let entry = AliasEntry { model: spec.name.clone(), alias: alias.into(), version, previous };
        let line = serde_json::to_string(&entry).expect("texts and a number always serialise");
        let log: String = self.alias_log()?.lines().map(|line| format!("{line}\n")).collect();
        let next = self.index()?.with_alias(&entry, Digest::of(line.as_bytes()));
        self.change_with_index(&next, || write_atomic(&path, format!("{log}{line}\n").as_bytes()))?;
        Ok(entry)
    }
}

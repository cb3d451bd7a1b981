//! Aliases: names for versions that can move, with a history that only grows.
//!
//! `<zoo>/aliases.jsonl` has one line for each time an alias was set; the last line of
//! a name counts. Lines are never changed or removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::atomic::write_atomic;
use crate::error::{Error, Result};
use crate::{Selector, Spec, Zoo};

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
}

impl Zoo {
    /// Every time an alias was set, oldest first.
    ///
    /// # Errors
    /// [`Error::Manifest`] names the line that is no entry.
    pub fn alias_history(&self) -> Result<Vec<AliasEntry>> {
        let path = self.root().join(FILE);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = datasets::yaml::read_text(&path)?;
        let entry = |(index, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| Error::Manifest {
                path: path.clone(),
                field: format!("line {}", index + 1),
                found: format!("{:?}", line.chars().take(80).collect::<String>()),
                expected: format!("an alias entry ({})", datasets::plain_message(&error.to_string())),
            })
        };
        text.lines().enumerate().map(entry).collect()
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
        let path = self.root().join(FILE);
        if !matches!(alias.parse(), Ok(Selector::Alias(_))) {
            return Err(Error::Manifest {
                path,
                field: "alias".into(),
                found: format!("`{alias}`"),
                expected: "a lower-case word that is not `latest`".into(),
            });
        }
        let _lock = self.lock()?;
        let version = self.version(spec)?.manifest.version;
        let entry = AliasEntry { model: spec.name.clone(), alias: alias.into(), version };
        let mut history = self.alias_history()?;
        history.push(entry.clone());
        let line = |entry| serde_json::to_string(entry).expect("texts and a number always serialise");
        let lines: Vec<String> = history.iter().map(line).collect();
        write_atomic(&path, format!("{}\n", lines.join("\n")).as_bytes())?;
        self.write_index()?;
        Ok(entry)
    }
}

//! What versions cost in time, as measured on one machine: no part of a version, whose bytes are the same everywhere.

use std::collections::{BTreeMap, BTreeSet};

use datasets::files;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::{Index, Spec, Zoo};

/// File name of the costs in the zoo.
pub const COSTS: &str = "costs.json";
/// Larger ones are refused.
const MAX_BYTES: u64 = 16 << 20;

/// Times of versions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// The processor.
    pub machine: String,
    /// The day, `2026-11-27`.
    pub date: String,
    /// By version, `mnist-cnn@1`.
    pub versions: BTreeMap<String, Cost>,
}

/// Times of a version.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Microseconds for one image to a call, with one thread.
    pub microseconds: f64,
    /// Hours of one core that training takes: its epochs at the speed of its steps.
    pub core_hours: f64,
}

impl Costs {
    /// Versions that `index` does not have: it is of another zoo, or a name is mistyped.
    pub fn unknown<'a>(&'a self, index: &Index) -> Vec<&'a str> {
        let known: BTreeSet<String> = index
            .models
            .iter()
            .flat_map(|model| {
                model.versions.iter().map(|version| Spec::version(&model.name, version.version))
            })
            .map(|spec| spec.to_string())
            .collect();
        self.versions.keys().filter(|version| !known.contains(*version)).map(String::as_str).collect()
    }

    /// Those of a version, if they were measured.
    pub(crate) fn of(&self, name: &str, version: u32) -> Option<Cost> {
        self.versions.get(&Spec::version(name, version).to_string()).copied()
    }
}

impl Zoo {
    /// The costs in `costs.json`; none if the zoo has no such file.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Damaged`] for what are no costs.
    pub fn costs(&self) -> Result<Costs> {
        let path = self.root().join(COSTS);
        if !path.exists() {
            return Ok(Costs::default());
        }
        let text = files::read_text(&path, MAX_BYTES).map_err(Error::io(&path))?;
        serde_json::from_str(&text)
            .map_err(|e| Error::Damaged { path, problem: format!("not costs of a zoo: {e}") })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ONE: &str = r#"{"machine": "a", "date": "2026-11-27",
        "versions": {"digits@2": {"microseconds": 8.6, "core_hours": 0.2}}}"#;

    fn with(text: &str) -> Result<Costs> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("models")).unwrap();
        std::fs::write(dir.path().join(COSTS), text).unwrap();
        Zoo::open(dir.path()).unwrap().costs()
    }

    #[test]
    fn costs_are_found_by_version() {
        let costs = with(ONE).unwrap();
        assert_eq!(costs.of("digits", 2), Some(Cost { microseconds: 8.6, core_hours: 0.2 }));
        assert_eq!(costs.of("digits", 1), None);
        let index = Index { schema: 1, models: Vec::new(), aliases_sha256: None, unreadable: Vec::new() };
        assert_eq!(costs.unknown(&index), ["digits@2"]);
    }

    #[test]
    fn what_are_no_costs_is_refused() {
        for text in ["", "[]", &ONE.replace("core_hours", "hours"), &ONE.replace("8.6", "\"fast\"")] {
            let problem = with(text).unwrap_err().to_string();
            assert!(problem.contains("costs.json") && problem.contains("not costs of a zoo"), "{problem}");
        }
    }
}

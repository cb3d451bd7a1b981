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
    /// Hours of one core that training takes: its epochs at the speed of its steps. None for weights from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_hours: Option<f64>,
}

impl Costs {
    /// Versions that `index` does not have, not even as ones that cannot be read: it is of another zoo, or a name is mistyped.
    pub fn unknown<'a>(&'a self, index: &Index) -> Vec<&'a str> {
        let known: BTreeSet<String> = index
            .models
            .iter()
            .flat_map(|model| {
                model.versions.iter().map(|version| Spec::version(&model.name, version.version))
            })
            .map(|spec| spec.to_string())
            .collect();
        let is_unreadable = |version: &str| index.unreadable.iter().any(|path| holds(path, version));
        let unknown = self.versions.keys().filter(|version| !known.contains(*version));
        unknown.map(String::as_str).filter(|version| !is_unreadable(version)).collect()
    }

    /// The first text or time that is none.
    fn impossible(&self) -> Option<String> {
        // They stand in a line of the table of results.
        for (field, text) in [("machine", &self.machine), ("date", &self.date)] {
            if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
                return Some(format!("{field}: {text:?}, expected plain text"));
            }
        }
        let times = self.versions.iter().flat_map(|(version, cost)| {
            let times = [("microseconds", Some(cost.microseconds)), ("core_hours", cost.core_hours)];
            times.map(|(field, time)| (version, field, time))
        });
        let wrong = |time: f64| !(time > 0.0 && time.is_finite());
        times
            .filter_map(|(version, field, time)| Some((version, field, time.filter(|time| wrong(*time))?)))
            .map(|(version, field, time)| format!("{version}: {field}: {time}, expected above 0"))
            .next()
    }

    /// How they were measured, as a line; nothing if there are none.
    pub(crate) fn explained(&self) -> String {
        if self.versions.is_empty() {
            return String::new();
        }
        format!(
            "\nTimes on {}, {}: one image to a call with one thread; all epochs at the speed of some training steps.\n",
            self.machine, self.date
        )
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
        let costs = serde_json::from_str::<Costs>(&text).map_err(|e| e.to_string());
        costs
            .and_then(|costs| costs.impossible().map_or(Ok(costs), Err))
            .map_err(|problem| Error::Damaged { path, problem: format!("not costs of a zoo: {problem}") })
    }
}

/// Whether `models/digits` or `models/digits/2` is the folder of `digits@2`.
fn holds(path: &str, version: &str) -> bool {
    let folder = format!("models/{}", version.replacen('@', "/", 1));
    folder.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
        assert_eq!(costs.of("digits", 2), Some(Cost { microseconds: 8.6, core_hours: Some(0.2) }));
        assert_eq!(costs.of("digits", 1), None);
        let mut index = Index { schema: 1, models: Vec::new(), aliases_sha256: None, unreadable: Vec::new() };
        assert_eq!(costs.unknown(&index), ["digits@2"]);
        for (folder, is_known) in
            [("models/digits/2", true), ("models/digits", true), ("models/digit", false)]
        {
            index.unreadable = vec![folder.into()];
            assert_eq!(costs.unknown(&index).is_empty(), is_known, "{folder}");
        }
        assert_eq!(
            with(&ONE.replace(r#", "core_hours": 0.2"#, "")).unwrap().versions["digits@2"].core_hours,
            None
        );
    }

    #[test]
    fn what_are_no_costs_is_refused() {
        let wrong = [
            ("core_hours", "hours"),
            ("8.6", "\"fast\""),
            ("8.6", "-8.6"),
            ("0.2", "0"),
            ("8.6", "1e999"),
            ("\"a\"", "\"\\u001b[31m\""),
        ];
        let wrong = wrong.map(|(good, bad)| ONE.replace(good, bad));
        for text in ["", "[]"].into_iter().chain(wrong.iter().map(String::as_str)) {
            let problem = with(text).unwrap_err().to_string();
            assert!(problem.contains("costs.json") && problem.contains("not costs of a zoo"), "{problem}");
        }
    }
}

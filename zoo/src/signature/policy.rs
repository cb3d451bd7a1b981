//! Which versions are trusted: who must have signed them, and how many others must have retrained them to the same
//! bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use datasets::yaml;
use serde::{Deserialize, Serialize};

use super::bundle::PublicKey;
use super::{WHOLE, statement};
use crate::error::{Error, Result};
use crate::{VersionDir, Zoo};

/// The content of a `policy.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Names, and the files of their P-256 public keys (PEM), relative to the policy's folder.
    #[serde(deserialize_with = "yaml::unique")]
    keys: BTreeMap<String, String>,
    /// Names of which one must have signed the version.
    #[serde(default)]
    signed_by: Vec<String>,
    /// Who must have retrained it.
    #[serde(default)]
    reproduced: Reproduced,
}

/// Least numbers of reports that say `bit-identical/whole`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reproduced {
    /// Keys of the policy, that of the version's signature not counted.
    keys: usize,
    /// Kinds of processor.
    processors: usize,
}

/// Rules for trusting a version.
pub struct Policy {
    keys: BTreeMap<String, PublicKey>,
    signed_by: Vec<String>,
    reproduced: Reproduced,
}

/// How a version stands to a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compliance {
    /// Name of the key that signed the version, if it is one of the policy's.
    pub signed_by: Option<String>,
    /// Names of the keys that vouch for having retrained it to the same bytes.
    pub reproduced_by: Vec<String>,
    /// Processors on which they did.
    pub processors: Vec<String>,
    /// What the policy asks for and is not there; empty if it is fulfilled.
    pub missing: Vec<String>,
}

impl Policy {
    /// Reads a policy and its keys.
    ///
    /// # Errors
    /// [`Error::Data`] for YAML, [`Error::Manifest`] names the field that makes no sense.
    pub fn read(path: &Path) -> Result<Policy> {
        let file: File = yaml::read(path)?;
        let refuse = |field: &str, found: String, expected: &str| Error::Manifest {
            path: path.to_owned(),
            field: field.into(),
            found,
            expected: expected.into(),
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut keys = BTreeMap::new();
        let mut hints = BTreeSet::new();
        for (name, file) in &file.keys {
            let pem = yaml::read_text(&folder.join(file))?;
            let key =
                PublicKey::from_pem(&pem).map_err(|e| refuse(&format!("keys.{name}"), e, "a public key"))?;
            if !hints.insert(key.hint()) {
                return Err(refuse(
                    &format!("keys.{name}"),
                    "a key that has another name too".into(),
                    "each key once",
                ));
            }
            keys.insert(name.clone(), key);
        }
        if let Some(name) = file.signed_by.iter().find(|name| !keys.contains_key(*name)) {
            return Err(refuse("signed_by", format!("`{name}`"), "names of `keys`"));
        }
        let Reproduced { keys: wanted, processors } = file.reproduced;
        if wanted > 0 && wanted >= keys.len() {
            let expected = "fewer than `keys` has: who signs a version is no witness to it";
            return Err(refuse("reproduced.keys", wanted.to_string(), expected));
        }
        if file.signed_by.is_empty() && wanted == 0 && processors == 0 {
            return Err(refuse(
                "signed_by",
                "nothing".into(),
                "at least one rule: `signed_by` or `reproduced`",
            ));
        }
        Ok(Policy { keys, signed_by: file.signed_by, reproduced: file.reproduced })
    }

    /// How far a statement is trusted: 2 if one signed it who may sign versions, 1 if another of the policy's keys did.
    pub(super) fn trust(&self, bundle: &str) -> u8 {
        let signer = |(name, key): &(&String, &PublicKey)| {
            key.open(bundle).is_ok().then(|| 1 + u8::from(self.signed_by.contains(name)))
        };
        self.keys.iter().filter_map(|entry| signer(&entry)).max().unwrap_or(0)
    }

    /// How a version, whose files are as its manifest says, stands to this policy.
    ///
    /// # Errors
    /// [`Error::Damaged`] if they are not, [`Error::Io`] if signatures cannot be listed.
    pub fn check(&self, zoo: &Zoo, version: &VersionDir) -> Result<Compliance> {
        let signed = self.keys.iter().find(|(_, key)| zoo.verify_signature(version, key).is_ok());
        let signed_by = signed.map(|(name, _)| name.clone());
        version.check()?;
        // Who published it is no witness to it, so that must be known.
        let signer = signed.map(|(_, key)| key.hint());
        let files = statement::digests(version);
        let mut reproduced_by = BTreeMap::new();
        for attestation in zoo.attestations(version)?.into_iter().flatten() {
            // The signature counts, not the hint that the file names.
            let payload = |key: &PublicKey| key.open(&attestation.text).ok();
            let opened = self.keys.iter().find_map(|(name, key)| Some((name, key, payload(key)?)));
            let Some((name, key, payload)) = opened.filter(|(_, key, _)| Some(key.hint()) != signer) else {
                continue;
            };
            let report = statement::read_reproduction(&payload, &files, attestation.file.clone(), key.hint());
            if let Ok(report) = report
                && report.passed
                && report.test == WHOLE
            {
                let own: &mut BTreeSet<String> = reproduced_by.entry(name.clone()).or_default();
                own.extend(report.processor);
            }
        }
        let processors = one_for_each(&reproduced_by);
        let mut missing = Vec::new();
        if signer.is_none() && (self.reproduced.keys > 0 || self.reproduced.processors > 0) {
            missing.push(
                "a signature by a key of the policy, without which nobody is known to be independent".into(),
            );
        }
        if !self.signed_by.is_empty() && !signed_by.as_ref().is_some_and(|name| self.signed_by.contains(name))
        {
            missing.push(format!("a signature by {}", self.signed_by.join(" or ")));
        }
        for (what, found, wanted) in [
            (
                "independent keys that retrained it to the same bytes",
                reproduced_by.len(),
                self.reproduced.keys,
            ),
            ("kinds of processor on which it was retrained", processors.len(), self.reproduced.processors),
        ] {
            if found < wanted {
                missing.push(format!("{what}: {found}, expected {wanted}"));
            }
        }
        let reproduced_by = reproduced_by.into_keys().collect();
        Ok(Compliance { signed_by, reproduced_by, processors, missing })
    }
}

/// As many kinds of processor as keys can vouch for, each key for one: nobody vouches for many kinds alone. A maximum
/// matching by augmenting paths, so that it does not matter what the keys are called.
fn one_for_each(own: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    fn take<'a>(
        key: &'a str,
        own: &'a BTreeMap<String, BTreeSet<String>>,
        taken: &mut BTreeMap<&'a str, &'a str>,
        tried: &mut BTreeSet<&'a str>,
    ) -> bool {
        own[key].iter().any(|processor| {
            let is_free = tried.insert(processor)
                && taken.get(processor.as_str()).copied().is_none_or(|other| take(other, own, taken, tried));
            if is_free {
                taken.insert(processor, key);
            }
            is_free
        })
    }
    let mut taken = BTreeMap::new();
    for key in own.keys() {
        take(key, own, &mut taken, &mut BTreeSet::new());
    }
    taken.into_keys().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys_do_not_matter() {
        let own = |pairs: &[(&str, &[&str])]| {
            let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            pairs.iter().map(|&(key, names)| (key.to_owned(), set(names))).collect()
        };
        for (one, other) in [("a", "b"), ("b", "a")] {
            assert_eq!(one_for_each(&own(&[(one, &["x", "y"]), (other, &["x"])])), ["x", "y"]);
            assert_eq!(one_for_each(&own(&[(one, &["x", "y"]), (other, &[])])).len(), 1);
        }
        let chain = own(&[("a", &["x", "y"]), ("b", &["y", "z"]), ("c", &["x"]), ("d", &["x", "y"])]);
        assert_eq!(one_for_each(&chain), ["x", "y", "z"]);
    }
}

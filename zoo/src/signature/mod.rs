//! Signatures of versions in the OpenSSF Model Signing format
//! (<https://github.com/sigstore/model-transparency>, version 1.0 of the predicate).
//!
//! `<zoo>/signatures/<name>/<version>/model.sig` is a Sigstore bundle v0.3 with a DSSE
//! envelope around an in-toto statement that lists every file of the version with its
//! sha256, signed with ECDSA on P-256. The Python `model-signing` reads and writes the
//! same. Beside it lie two more statements in the same envelope: SLSA provenance
//! (`provenance.sig`) and the result of the test split (`test_result.sig`). Whoever retrains
//! a model may leave a signed report there too (`reproduction-*.sig`).

mod bundle;
mod policy;
mod report;
mod statement;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use bundle::{PrivateKey, PublicKey};
pub use policy::{Compliance, Policy};
pub use report::{Report, Reproduction, WHOLE, processors};

use datasets::Digest;

use crate::atomic::{TEMPORARY, write_atomic};
use crate::error::{Error, Result};
use crate::version::list_files;
use crate::{VersionDir, Zoo};

/// File name of the signature over all files.
pub(crate) const SIGNATURE: &str = "model.sig";
/// File name of the provenance attestation.
pub(crate) const PROVENANCE: &str = "provenance.sig";
/// File name of the test result attestation.
pub(crate) const TEST_RESULT: &str = "test_result.sig";
/// Every file that [`Zoo::sign`] writes.
pub const SIGNED: [&str; 3] = [SIGNATURE, PROVENANCE, TEST_RESULT];
/// How names of signed reports of retraining begin.
const REPRODUCTION: &str = "reproduction-";

/// Signature files are small; larger ones are refused.
const MAX_BYTES: u64 = 4 << 20;

impl Zoo {
    /// Where the signatures of a version are: outside its folder, which never changes.
    pub(crate) fn signature_dir(&self, version: &VersionDir) -> PathBuf {
        self.signature_dir_of(&version.manifest.name, version.manifest.version)
    }

    /// The same for a version that need not be readable.
    pub fn signature_dir_of(&self, name: &str, version: u32) -> PathBuf {
        self.root().join("signatures").join(name).join(version.to_string())
    }

    /// The same folder, made if it is not there, without what killed programs left in it. Call with the lock held.
    fn clean_signature_dir(&self, version: &VersionDir) -> Result<PathBuf> {
        let dir = self.signature_dir(version);
        std::fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        // The folders' own entries too, or a signature could be gone after a power cut.
        for folder in dir.ancestors().skip(1).take_while(|folder| folder.starts_with(self.root())) {
            crate::atomic::sync_dir(folder)?;
        }
        for entry in std::fs::read_dir(&dir).map_err(Error::io(&dir))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                std::fs::remove_file(entry.path()).map_err(Error::io(&dir))?;
            }
        }
        Ok(dir)
    }

    /// Signs a version whose files are as its manifest says; returns the folder of the signatures.
    ///
    /// # Errors
    /// [`Error::Damaged`] if they are not.
    pub fn sign(&self, version: &VersionDir, key: &PrivateKey) -> Result<PathBuf> {
        let files = undamaged_files(version)?;
        let _lock = self.lock()?;
        let dir = self.clean_signature_dir(version)?;
        for (name, statement) in [
            (PROVENANCE, statement::provenance(version, &files)),
            (TEST_RESULT, statement::test_result(version, &files)),
            (SIGNATURE, statement::model_signature(version, &files)),
        ] {
            write_signed(&dir.join(name), &statement, key)?;
        }
        Ok(dir)
    }

    /// Signs what retraining a version gave, as `reproduction-<key>-<test and processor>.sig` (the
    /// beginnings of their hashes) beside its signatures; returns that file.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the version's files are not as its manifest says.
    pub fn sign_reproduction(
        &self,
        version: &VersionDir,
        key: &PrivateKey,
        report: &Report<'_>,
    ) -> Result<PathBuf> {
        let files = undamaged_files(version)?;
        let name = reproduction_file(&key.public().hint(), report.test, report.processor);
        let _lock = self.lock()?;
        let path = self.clean_signature_dir(version)?.join(name);
        write_signed(&path, &statement::reproduction(version, &files, report), key)?;
        Ok(path)
    }

    /// What people who retrained a version reported, by file name; an error for each file that is
    /// no report on it. Whether the signature fits is not checked: that needs their keys.
    ///
    /// # Errors
    /// [`Error::Io`] if files cannot be listed or read.
    pub fn reproductions(&self, version: &VersionDir) -> Result<Vec<Result<Reproduction>>> {
        let dir = self.signature_dir(version);
        if !dir.is_dir() {
            return Ok(Vec::new());
        }
        let names = list_files(&dir)?.into_iter();
        let names: Vec<String> =
            names.filter(|name| name.starts_with(REPRODUCTION) && name.ends_with(".sig")).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let files = statement::digests(version);
        let reports = names.into_iter().map(|file| {
            let path = dir.join(&file);
            let report = read_small(&path)?;
            let report = bundle::unchecked(&report)
                .and_then(|(key, payload)| statement::read_reproduction(&payload, &files, file, key));
            report.map_err(|problem| Error::Damaged { path, problem })
        });
        Ok(reports.collect())
    }

    /// Everything that lies beside a version's signatures, by file name; an error for each file that is no statement
    /// about this version. Whether the signatures fit is not checked: that needs their keys.
    ///
    /// # Errors
    /// [`Error::Io`] if files cannot be listed.
    pub fn attestations(&self, version: &VersionDir) -> Result<Vec<Result<Attestation>>> {
        let dir = self.signature_dir(version);
        if !dir.is_dir() {
            return Ok(Vec::new());
        }
        let files = statement::digests(version);
        let read = |file: String| {
            let path = dir.join(&file);
            if !file.ends_with(".sig") {
                let problem = "not a signature; expected *.sig".into();
                return Err(Error::Damaged { path, problem });
            }
            let text = read_small(&path)?;
            let opened = bundle::unchecked(&text).and_then(|(key, payload)| {
                let predicate_type = statement::kind_of(&payload, &files)?;
                Ok(Attestation { file, key, predicate_type, text })
            });
            opened.map_err(|problem| Error::Damaged { path, problem })
        };
        // What is being written is not there yet.
        let names = list_files(&dir)?.into_iter().filter(|file| !file.starts_with(TEMPORARY));
        Ok(names.map(read).collect())
    }

    /// Adds attestations that came with a version from elsewhere, under their own names; those that are there stay. What
    /// is no statement about this version is passed over and returned: anybody may leave something beside a version.
    ///
    /// # Errors
    /// [`Error::Damaged`] if another one is there under the same name.
    pub fn add_attestations(
        &self,
        version: &VersionDir,
        texts: &BTreeMap<String, String>,
    ) -> Result<Vec<Error>> {
        let mut passed_over = Vec::new();
        if texts.is_empty() {
            return Ok(passed_over);
        }
        let _lock = self.lock()?;
        let dir = self.clean_signature_dir(version)?;
        let files = statement::digests(version);
        // Before any is written.
        for (file, text) in texts.iter().filter(|(file, _)| is_attestation_name(file)) {
            let path = dir.join(file);
            if path.exists() && read_small(&path)? != *text {
                let problem = "another one is there under this name; remove it to take the other".into();
                return Err(Error::Damaged { path, problem });
            }
        }
        for (file, text) in texts {
            let path = dir.join(file);
            let about = if is_attestation_name(file) {
                bundle::unchecked(text).and_then(|(_, payload)| statement::kind_of(&payload, &files))
            } else {
                Err("not the name of an attestation".into())
            };
            if let Err(problem) = about {
                passed_over.push(Error::Damaged { path, problem });
            } else if !path.exists() {
                write_atomic(&path, text.as_bytes())?;
            }
        }
        Ok(passed_over)
    }

    /// Checks that `key` signed exactly the files that are there; returns what it signed.
    ///
    /// # Errors
    /// [`Error::NotFound`] without a signature, [`Error::Damaged`] if it does not hold.
    pub fn verify_signature(
        &self,
        version: &VersionDir,
        key: &PublicKey,
    ) -> Result<BTreeMap<String, Digest>> {
        let dir = self.signature_dir(version);
        let path = dir.join(SIGNATURE);
        if !path.exists() {
            return Err(Error::NotFound { path, hint: "the version is not signed".into() });
        }
        let text = read_small(&path)?;
        let damaged = |problem: String| Error::Damaged { path: path.clone(), problem };
        let payload = key.open(&text).map_err(damaged)?;
        let signed = statement::signed_files(&payload).map_err(damaged)?;
        let present = undamaged_files(version)?;
        for (name, digest) in &present {
            match signed.get(name) {
                None => return Err(damaged(format!("{name} is there but not signed"))),
                Some(expected) if expected != digest => {
                    return Err(damaged(format!("{name}: sha256 {digest}, signed was {expected}")));
                }
                Some(_) => {}
            }
        }
        match signed.keys().find(|name| !present.contains_key(*name)) {
            Some(name) => Err(damaged(format!("{name} is signed but not there"))),
            None => Ok(signed),
        }
    }
}

/// Of several bundles for one file the best, and of equal ones the last: statements about this version, of the kind that
/// the name promises, then those that a policy trusts. Anybody may put another one beside a version, also one that a trusted
/// key signed for something else.
pub fn best<'a>(
    version: &VersionDir,
    file: &str,
    bundles: &'a [String],
    policy: Option<&Policy>,
) -> Option<&'a str> {
    let files = statement::digests(version);
    // Who retrained a version need not be one who may sign it.
    let most = if file.starts_with(REPRODUCTION) { 1 } else { 2 };
    let worth = |text: &&String| {
        let Ok((key, payload)) = bundle::unchecked(text) else { return 0 };
        let is_of_kind = if file.starts_with(REPRODUCTION) {
            statement::read_reproduction(&payload, &files, file.into(), key).is_ok_and(|report| {
                report
                    .processor
                    .is_some_and(|processor| reproduction_file(&report.key, &report.test, &processor) == file)
            })
        } else {
            let expected = statement::kind_of_file(file);
            statement::kind_of(&payload, &files).is_ok_and(|kind| expected.is_none_or(|it| it == kind))
        };
        if is_of_kind { 1 + policy.map_or(0, |policy| policy.trust(text).min(most)) } else { 0 }
    };
    bundles.iter().max_by_key(worth).map(String::as_str)
}

/// A statement about a version, in a signature bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// Its file beside the signatures.
    pub file: String,
    /// The hint of the key that it names, see [`PublicKey::hint`].
    pub key: String,
    /// The in-toto predicate type.
    pub predicate_type: String,
    /// The bundle.
    pub text: String,
}

/// The file of a report, by the hint of its key, what was tested and the processor: a weaker claim, or one from another
/// machine, stands beside a stronger one.
fn reproduction_file(hint: &str, test: &str, processor: &str) -> String {
    let kind = Digest::of(format!("{test}\n{processor}").as_bytes()).to_string();
    format!("{REPRODUCTION}{}-{}.sig", hint.get(..8).unwrap_or(hint), &kind[..8])
}

/// `model.sig`, `reproduction-0123abcd-4567cdef.sig`.
fn is_attestation_name(name: &str) -> bool {
    let stem = name.strip_suffix(".sig");
    stem.is_some_and(|stem| {
        !stem.is_empty()
            && stem.len() <= 64
            && stem
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
    })
}

/// Digests of all files of a version that is as its manifest says.
fn undamaged_files(version: &VersionDir) -> Result<BTreeMap<String, Digest>> {
    version.check()?;
    Ok(statement::digests(version))
}

fn read_small(path: &Path) -> Result<String> {
    datasets::files::read_text(path, MAX_BYTES).map_err(Error::io(path))
}

fn write_signed(path: &Path, statement: &serde_json::Value, key: &PrivateKey) -> Result<()> {
    let payload = serde_json::to_vec(statement).expect("a JSON value always serialises");
    write_atomic(path, key.sign(&payload).as_bytes())
}

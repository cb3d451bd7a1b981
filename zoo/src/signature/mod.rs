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
mod report;
mod statement;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use bundle::{PrivateKey, PublicKey};
pub use report::{Report, Reproduction, WHOLE, processors};

use datasets::Digest;

use crate::atomic::write_atomic;
use crate::error::{Error, Result};
use crate::version::list_files;
use crate::{VersionDir, Zoo};

/// File name of the signature over all files.
pub(crate) const SIGNATURE: &str = "model.sig";
/// File name of the provenance attestation.
pub(crate) const PROVENANCE: &str = "provenance.sig";
/// File name of the test result attestation.
pub(crate) const TEST_RESULT: &str = "test_result.sig";

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

    /// Signs a version whose files are as its manifest says; returns the folder of the signatures.
    ///
    /// # Errors
    /// [`Error::Damaged`] if they are not.
    pub fn sign(&self, version: &VersionDir, key: &PrivateKey) -> Result<PathBuf> {
        let files = undamaged_files(version)?;
        let dir = self.signature_dir(version);
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
        let hint = key.public().hint();
        // A weaker claim, or one from another machine, stands beside a stronger one.
        let kind = Digest::of(format!("{}\n{}", report.test, report.processor).as_bytes()).to_string();
        let name = format!("reproduction-{}-{}.sig", &hint[..8], &kind[..8]);
        let path = self.signature_dir(version).join(name);
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
            names.filter(|name| name.starts_with("reproduction-") && name.ends_with(".sig")).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let files = statement::hashed_files(version)?;
        let reports = names.into_iter().map(|file| {
            let path = dir.join(&file);
            let report = read_small(&path)?;
            let report = bundle::unchecked(&report)
                .and_then(|(key, payload)| statement::read_reproduction(&payload, &files, file, key));
            report.map_err(|problem| Error::Damaged { path, problem })
        });
        Ok(reports.collect())
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
        let present = statement::hashed_files(version)?;
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

/// Digests of all files of a version that is as its manifest says.
fn undamaged_files(version: &VersionDir) -> Result<BTreeMap<String, Digest>> {
    version.check()?;
    statement::hashed_files(version)
}

fn read_small(path: &Path) -> Result<String> {
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if length > MAX_BYTES {
        let problem = format!("{length} bytes, expected at most {MAX_BYTES}");
        return Err(Error::Damaged { path: path.to_owned(), problem });
    }
    std::fs::read_to_string(path).map_err(Error::io(path))
}

fn write_signed(path: &Path, statement: &serde_json::Value, key: &PrivateKey) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    }
    let payload = serde_json::to_vec(statement).expect("a JSON value always serialises");
    write_atomic(path, key.sign(&payload).as_bytes())
}

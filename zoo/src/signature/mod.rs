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
mod statement;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use bundle::{PrivateKey, PublicKey};

use datasets::Digest;

use crate::atomic::write_atomic;
use crate::error::{Error, Result};
use crate::{VersionDir, Zoo};

/// File name of the signature over all files.
pub const SIGNATURE: &str = "model.sig";
/// File name of the provenance attestation.
pub const PROVENANCE: &str = "provenance.sig";
/// File name of the test result attestation.
pub const TEST_RESULT: &str = "test_result.sig";
/// Signature files are small; larger ones are refused.
const MAX_BYTES: u64 = 4 << 20;

impl Zoo {
    /// Where the signatures of a version are: outside its folder, which never changes.
    pub fn signature_dir(&self, version: &VersionDir) -> PathBuf {
        let manifest = &version.manifest;
        self.root().join("signatures").join(&manifest.name).join(manifest.version.to_string())
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

    /// Signs what retraining a version gave, as `reproduction-<start of the key's hash>.sig`
    /// beside its signatures; returns that file. `details` is kept as it is.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the version's files are not as its manifest says.
    pub fn sign_reproduction(
        &self,
        version: &VersionDir,
        key: &PrivateKey,
        passed: bool,
        details: &serde_json::Value,
    ) -> Result<PathBuf> {
        let files = undamaged_files(version)?;
        let hint = key.public().hint();
        let name = format!("reproduction-{}.sig", hint.get(..8).unwrap_or_default());
        let path = self.signature_dir(version).join(name);
        write_signed(&path, &statement::reproduction(version, &files, passed, details), key)?;
        Ok(path)
    }

    /// Checks that `key` signed exactly the files that are there.
    ///
    /// # Errors
    /// [`Error::NotFound`] without a signature, [`Error::Damaged`] if it does not hold.
    pub fn verify_signature(&self, version: &VersionDir, key: &PublicKey) -> Result<usize> {
        let dir = self.signature_dir(version);
        let path = dir.join(SIGNATURE);
        let length = std::fs::metadata(&path)
            .map_err(|_| Error::NotFound { path: path.clone(), hint: "the version is not signed".into() })?;
        let damaged = |problem: String| Error::Damaged { path: path.clone(), problem };
        if length.len() > MAX_BYTES {
            return Err(damaged(format!("{} bytes, expected at most {MAX_BYTES}", length.len())));
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
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
            None => Ok(present.len()),
        }
    }
}

/// Digests of all files of a version that is as its manifest says.
fn undamaged_files(version: &VersionDir) -> Result<BTreeMap<String, Digest>> {
    match version.problems()?.into_iter().next() {
        Some((file, problem)) => {
            Err(Error::Damaged { path: version.path.join(file), problem: problem.to_string() })
        }
        None => statement::hashed_files(version),
    }
}

fn write_signed(path: &Path, statement: &serde_json::Value, key: &PrivateKey) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    }
    let payload = serde_json::to_vec(statement).map_err(|e| Error::io(path)(e.into()))?;
    write_atomic(path, key.sign(&payload).as_bytes())
}

//! The model that was in the zoo when this program was built.

use std::path::Path;

use zoo::Manifest;

use crate::error::{Error, Result};

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Manifest and ONNX file, hash-checked; an error if the zoo was empty at build time.
pub fn model() -> Result<(Manifest, &'static [u8])> {
    let path = Path::new("(embedded model)");
    let (text, onnx) = EMBEDDED.ok_or_else(|| Error::Usage("no model is built into this program".into()))?;
    let manifest: Manifest = datasets::yaml::parse(text, path)?;
    manifest.check(path)?;
    let expected = manifest.files.get(zoo::ONNX).map(|record| record.sha256);
    let found = datasets::Digest::of(onnx);
    if expected != Some(found) {
        return Err(Error::model(path, format!("sha256 {found}, expected {expected:?}")));
    }
    Ok((manifest, onnx))
}

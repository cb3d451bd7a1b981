//! The model that was built into this program: the one that `infer/Cargo.toml` names.

use std::path::Path;

use datasets::Digest;
use zoo::Manifest;

use crate::error::{Error, Result};

struct BuiltIn {
    /// `name@version`.
    spec: &'static str,
    /// sha256 of the manifest.
    manifest_sha256: &'static str,
    manifest: &'static str,
    onnx: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// Manifest and ONNX file of the built-in model.
///
/// # Errors
/// [`Error::Model`] if they do not have the hashes that were asked for when the program was built.
pub fn built_in_model() -> Result<(Manifest, &'static [u8])> {
    let path = Path::new("(built-in model)");
    let expect = |what: &str, found: String, expected: String| {
        let problem = || Error::model(path, format!("{what} {found}, expected {expected}"));
        (found == expected).then_some(()).ok_or_else(problem)
    };
    let sha256 = Digest::of(BUILT_IN.manifest.as_bytes());
    expect("sha256 of the manifest", sha256.to_string(), BUILT_IN.manifest_sha256.into())?;
    let manifest: Manifest = datasets::yaml::parse(BUILT_IN.manifest, path)?;
    manifest.check(path)?;
    expect("model", format!("{}@{}", manifest.name, manifest.version), BUILT_IN.spec.into())?;
    let named = manifest.files.get(zoo::ONNX).map_or("none".into(), |record| record.sha256.to_string());
    expect("sha256 of the network", Digest::of(BUILT_IN.onnx).to_string(), named)?;
    Ok((manifest, BUILT_IN.onnx))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_built_in_model_is_the_one_that_is_named() {
        super::built_in_model().unwrap();
    }
}

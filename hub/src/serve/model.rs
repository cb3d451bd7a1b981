//! A model that is being served, with the proof that it is what was published.

use datasets::Digest;
use infer::{Explainer, Predictor, Session, built_in_model, check_files, check_golden};
use serde::Serialize;
use zoo::signature::{PublicKey, Reproduction, processors};
use zoo::{MANIFEST, ONNX, Spec, VersionDir, Zoo};

use super::options::Trust;
use super::statistics::Statistics;

/// A loaded version of which every file and the golden outputs were checked.
pub(super) struct Model {
    pub(super) predictor: Predictor,
    /// `None` for a network without convolutions.
    pub(super) explainer: Option<Explainer>,
    /// sha256 of `model.onnx`.
    pub(super) sha256: Digest,
    pub(super) proof: Proof,
    pub(super) statistics: Statistics,
    /// Its folder; `None` for the built-in model.
    pub(super) version_dir: Option<VersionDir>,
}

/// What was checked before the model became ready.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Proof {
    /// Files whose length and hash are as the manifest says.
    pub(super) files: String,
    /// Golden images, and the largest difference from libtorch's probabilities.
    pub(super) golden: String,
    /// Files that the operator's key signed; `None` without a key.
    pub(super) signature: Option<String>,
    /// Signed reports of people who retrained the model.
    pub(super) reproductions: Vec<Reproduction>,
    /// Processors on which they say to have retrained everything to the same bytes.
    pub(super) reproduced_on: Vec<String>,
}

impl Model {
    /// Checks and loads a version that is trusted.
    ///
    /// # Errors
    /// Why it must not be served.
    pub(super) fn load(zoo: &Zoo, spec: &Spec, trust: &Trust) -> Result<Model, String> {
        let version = zoo.version(spec).map_err(|e| e.to_string())?;
        let files = check_files(&version)?;
        let onnx = bytes::Bytes::from(version.read(ONNX).map_err(|e| e.to_string())?);
        let sha256 = Digest::of(&onnx);
        let key = trust.key.as_ref();
        let signature = key.map(|key| check_signature(zoo, &version, key, sha256)).transpose()?;
        if let Some(policy) = &trust.policy {
            let missing = policy.check(zoo, &version).map_err(|e| e.to_string())?.missing;
            if !missing.is_empty() {
                return Err(format!("the policy is not fulfilled; missing: {}", missing.join("; ")));
            }
        }
        let (shape, path) = (version.manifest.image_shape(), version.path.join(ONNX));
        let session =
            Session::of_version(&version.manifest, onnx.clone(), &path).map_err(|e| e.to_string())?;
        let golden = check_golden(&version, &session)?;
        // What convolutions see is shown of networks of known operators.
        let explainer = match version.manifest.is_adopted() {
            true => None,
            false => Explainer::load(onnx, shape, &path).map_err(|e| e.to_string())?,
        };
        let reports = zoo.reproductions(&version).map_err(|e| e.to_string())?;
        // A report that cannot be read says nothing about the model.
        let readable = |report: zoo::Result<Reproduction>| {
            report.inspect_err(|error| tracing::warn!(%error, "a report is passed over")).ok()
        };
        let reproductions: Vec<Reproduction> = reports.into_iter().filter_map(readable).collect();
        let reproduced_on = processors(&reproductions).into_iter().map(str::to_owned).collect();
        let proof = Proof { files, golden, signature, reproductions, reproduced_on };
        let predictor = Predictor::of(version.clone(), session);
        let statistics = Statistics::default();
        Ok(Model { predictor, explainer, sha256, proof, statistics, version_dir: Some(version) })
    }

    /// The model built into the program, whose hash was checked.
    ///
    /// # Errors
    /// If it is not what was built in.
    pub(super) fn built_in() -> Result<Model, String> {
        let (manifest, onnx) = built_in_model().map_err(|e| e.to_string())?;
        let sha256 = Digest::of(onnx);
        let path = std::path::Path::new("(built-in model)");
        let explainer = Explainer::load(onnx, manifest.image_shape(), path).map_err(|e| e.to_string())?;
        let predictor = Predictor::built_in().map_err(|e| e.to_string())?;
        let proof = Proof {
            files: "model.onnx, built in".into(),
            golden: "not checked: golden data are not built in".into(),
            signature: None,
            reproductions: Vec::new(),
            reproduced_on: Vec::new(),
        };
        let statistics = Statistics::default();
        Ok(Model { predictor, explainer, sha256, proof, statistics, version_dir: None })
    }

    /// `None` for the built-in model.
    pub(super) fn manifest_sha256(&self) -> Option<Digest> {
        self.version_dir.as_ref().map(|dir| dir.manifest_sha256)
    }

    /// Number of images `[C, H, W]` that these pixels are.
    pub(super) fn images_in(&self, pixels: &[u8]) -> usize {
        pixels.len() / self.predictor.session().shape().numel().max(1)
    }

    pub(super) fn name(&self) -> &str {
        &self.predictor.manifest().name
    }

    pub(super) fn version(&self) -> u32 {
        self.predictor.manifest().version
    }
}

/// The key signed the version's files, and the very manifest and network that were read.
fn check_signature(zoo: &Zoo, version: &VersionDir, key: &PublicKey, onnx: Digest) -> Result<String, String> {
    let signed = zoo.verify_signature(version, key).map_err(|e| e.to_string())?;
    for (file, read) in [(MANIFEST, version.manifest_sha256), (ONNX, onnx)] {
        if signed.get(file) != Some(&read) {
            return Err(format!("{file} changed while it was being read"));
        }
    }
    Ok(format!("{} files", signed.len()))
}

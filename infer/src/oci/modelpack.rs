//! The CNCF ModelPack form of a version: one raw layer for each file, so that a layer's digest is
//! the sha256 that the zoo's manifest names.
//!
//! Source: <https://github.com/modelpack/model-spec>, `docs/spec.md` and `schema/config-schema.json`.

use std::collections::BTreeMap;

use datasets::Digest;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use serde_json::json;
use zoo::{FileRecord, MANIFEST, Manifest};

/// `artifactType` of a model's manifest.
pub(super) const ARTIFACT_TYPE: &str = "application/vnd.cncf.model.manifest.v1+json";
const CONFIG: &str = "application/vnd.cncf.model.config.v1+json";
/// Layer annotation with the file's path.
const FILE_PATH: &str = "org.cncf.model.filepath";
/// More layers are refused.
const MAX_LAYERS: usize = 1000;

/// What kind of layer holds a file.
fn media_type(path: &str) -> &'static str {
    let ending = path.rsplit('.').next().unwrap_or_default();
    match ending {
        "onnx" | "safetensors" => "application/vnd.cncf.model.weight.v1.raw",
        "yaml" => "application/vnd.cncf.model.weight.config.v1.raw",
        "pb" => "application/vnd.cncf.model.dataset.v1.raw",
        _ => "application/vnd.cncf.model.doc.v1.raw",
    }
}

fn digest(sha256: &Digest) -> String {
    format!("sha256:{sha256}")
}

/// The config blob and the manifest of a version with these files, its own manifest among them.
pub(super) fn pack(manifest: &Manifest, files: &BTreeMap<String, FileRecord>) -> (Vec<u8>, OciImageManifest) {
    let config = json!({
        "descriptor": {
            "name": manifest.name,
            "version": manifest.version.to_string(),
            "description": manifest.description,
        },
        "config": {
            "architecture": "cnn",
            "format": "onnx",
            "paramSize": manifest.network.parameters.to_string(),
            "precision": "float32",
            "capabilities": { "inputTypes": ["image"], "outputTypes": ["other"] },
        },
        "modelfs": {
            "type": "layers",
            "diffIds": files.values().map(|record| digest(&record.sha256)).collect::<Vec<_>>(),
        },
    });
    let config = config.to_string().into_bytes();
    let layer = |(path, record): (&String, &FileRecord)| OciDescriptor {
        media_type: media_type(path).into(),
        digest: digest(&record.sha256),
        size: record.bytes.try_into().unwrap_or(i64::MAX),
        annotations: Some(BTreeMap::from([(FILE_PATH.into(), path.clone())])),
        ..OciDescriptor::default()
    };
    let pack = OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.into()),
        artifact_type: Some(ARTIFACT_TYPE.into()),
        config: OciDescriptor {
            media_type: CONFIG.into(),
            digest: digest(&Digest::of(&config)),
            size: config.len() as i64,
            ..OciDescriptor::default()
        },
        layers: files.iter().map(layer).collect(),
        ..OciImageManifest::default()
    };
    (config, pack)
}

/// The layers of a pack by the path of their file.
///
/// # Errors
/// What a pack of a version must not be.
pub(super) fn unpack(pack: OciImageManifest) -> Result<BTreeMap<String, OciDescriptor>, String> {
    let kind = pack.artifact_type.as_deref().unwrap_or("none");
    if kind != ARTIFACT_TYPE {
        return Err(format!("artifactType {kind}, expected {ARTIFACT_TYPE}"));
    }
    if pack.layers.len() > MAX_LAYERS {
        return Err(format!("{} layers, expected at most {MAX_LAYERS}", pack.layers.len()));
    }
    let mut layers = BTreeMap::new();
    for layer in pack.layers {
        if !layer.media_type.ends_with(".raw") {
            return Err(format!("layer of type {}, expected raw files", layer.media_type));
        }
        let path = layer.annotations.as_ref().and_then(|annotations| annotations.get(FILE_PATH)).cloned();
        let path = path.ok_or_else(|| format!("layer {} without annotation {FILE_PATH}", layer.digest))?;
        if layers.insert(path.clone(), layer).is_some() {
            return Err(format!("{path:?} is there twice"));
        }
    }
    if layers.contains_key(MANIFEST) { Ok(layers) } else { Err(format!("without {MANIFEST}")) }
}

/// Whether the layers are exactly the files that the manifest names. Its paths are checked ones.
///
/// # Errors
/// The first that is not.
pub(super) fn check(manifest: &Manifest, layers: &BTreeMap<String, OciDescriptor>) -> Result<(), String> {
    for (path, record) in &manifest.files {
        let layer = layers.get(path).ok_or_else(|| format!("without a layer for {path}"))?;
        let expected = digest(&record.sha256);
        if layer.digest != expected || u64::try_from(layer.size) != Ok(record.bytes) {
            return Err(format!(
                "{path}: {} of {} bytes, expected {expected} of {}",
                layer.digest, layer.size, record.bytes
            ));
        }
    }
    match layers.keys().find(|path| *path != MANIFEST && !manifest.files.contains_key(*path)) {
        Some(path) => Err(format!("{path:?} is not in {MANIFEST}")),
        None => Ok(()),
    }
}

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
        size: record.bytes.try_into().expect("a file has fewer than 2^63 bytes"),
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
    for mut layer in pack.layers {
        // The blob comes from this registry or not at all: other addresses are not asked.
        layer.urls = None;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn packed() -> (Manifest, OciImageManifest) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../zoo/models/mnist-lite/1");
        let version = zoo::VersionDir::open(&path).unwrap();
        let (sha256, bytes) = Digest::of_file(&path.join(MANIFEST)).unwrap();
        let mut files = version.manifest.files.clone();
        files.insert(MANIFEST.into(), FileRecord { bytes, sha256 });
        let pack = pack(&version.manifest, &files).1;
        (version.manifest, pack)
    }

    fn problem(change: impl FnOnce(&mut OciImageManifest)) -> String {
        let (manifest, mut pack) = packed();
        change(&mut pack);
        unpack(pack).and_then(|layers| check(&manifest, &layers)).err().unwrap_or_default()
    }

    fn file_path(layer: &mut OciDescriptor) -> &mut String {
        layer.annotations.as_mut().unwrap().get_mut(FILE_PATH).unwrap()
    }

    #[test]
    fn a_pack_is_its_version_and_the_same_every_time() {
        assert_eq!(problem(|_| ()), "");
        assert_eq!(packed().1.to_string(), packed().1.to_string());
    }

    #[test]
    fn other_packs_are_refused() {
        let zeros = format!("sha256:{}", "0".repeat(64));
        assert!(problem(|p| p.artifact_type = None).contains("artifactType none"));
        assert!(problem(|p| p.layers.clear()).contains("without manifest.yaml"));
        assert!(
            problem(|p| p.layers[0].media_type = "application/vnd.cncf.model.doc.v1.tar".into())
                .contains("raw")
        );
        assert!(problem(|p| p.layers[0].annotations = None).contains("without annotation"));
        assert!(problem(|p| p.layers.push(p.layers[0].clone())).contains("twice"));
        assert!(problem(|p| p.layers[0].digest = zeros.clone()).contains("expected sha256:"));
        assert!(problem(|p| p.layers[0].size = -1).contains("expected sha256:"));
        assert!(problem(|p| p.layers = vec![p.layers[0].clone(); MAX_LAYERS + 1]).contains("1001 layers"));
        let elsewhere = |p: &mut OciImageManifest| {
            let mut layer = p.layers[0].clone();
            *file_path(&mut layer) = "../../evil".into();
            p.layers.push(layer);
        };
        assert!(problem(elsewhere).contains("\"../../evil\" is not in manifest.yaml"));
        assert!(
            problem(|p| *file_path(&mut p.layers[0]) = "/etc/passwd".into()).contains("without a layer for")
        );
    }
}

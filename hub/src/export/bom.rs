//! A bill of materials of a version in the form of CycloneDX 1.6: the model, its files, and the data it was made of.
//!
//! Source: <https://cyclonedx.org/docs/1.6/json/>, with the model card of its machine learning profile. Every hash comes
//! from the manifest, whose files were checked; nothing tells the time, so that equal versions give equal bytes.

use std::path::{Path, PathBuf};

use datasets::{Dataset, Digest};
use serde_json::{Value, json};
use zoo::{FileRecord, MANIFEST, Manifest, Origin, TensorInfo, VersionDir, write_atomic};

use crate::error::Result;

/// Writes `<name>-<version>.cdx.json` into `dir`.
///
/// # Errors
/// [`crate::Error::Zoo`] if the version is damaged or the file cannot be written.
pub fn bom(version: &VersionDir, dataset: Option<&Dataset>, dir: &Path) -> Result<PathBuf> {
    version.check()?;
    let manifest = &version.manifest;
    let path = dir.join(format!("{}-{}.cdx.json", manifest.name, manifest.version));
    let text =
        serde_json::to_string_pretty(&document(version, dataset)).expect("JSON values always serialise");
    write_atomic(&path, format!("{text}\n").as_bytes())?;
    Ok(path)
}

fn document(version: &VersionDir, dataset: Option<&Dataset>) -> Value {
    let manifest = &version.manifest;
    let manifest_file = (MANIFEST.to_owned(), FileRecord { bytes: 0, sha256: version.manifest_sha256 });
    let files =
        manifest.files.iter().map(|(name, record)| (name.clone(), record.clone())).chain([manifest_file]);
    let files: Vec<Value> = files
        .map(|(name, record)| {
            json!({
                "type": "file",
                "bom-ref": format!("file:{name}"),
                "name": name,
                "hashes": hashes(&record.sha256),
            })
        })
        .collect();
    let refs: Vec<&Value> = files.iter().map(|file| &file["bom-ref"]).collect();
    let data = data(manifest, dataset);
    let depends: Vec<&Value> = refs.into_iter().chain([&data["bom-ref"]]).collect();
    let dependencies = json!([{ "ref": reference(manifest), "dependsOn": depends }]);
    let tools = manifest.tools.iter().map(|(name, version)| {
        json!({ "type": if name == "trainer" { "application" } else { "library" }, "name": name, "version": version })
    });
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(&version.manifest_sha256),
        "version": 1,
        "metadata": { "tools": { "components": tools.collect::<Vec<_>>() }, "component": model(version) },
        "components": files.iter().chain([&data]).collect::<Vec<_>>(),
        "dependencies": dependencies,
    })
}

fn reference(manifest: &Manifest) -> String {
    format!("model:{}@{}", manifest.name, manifest.version)
}

fn hashes(sha256: &Digest) -> Value {
    json!([{ "alg": "SHA-256", "content": sha256 }])
}

/// A UUID of version 8 (RFC 9562: the maker's own) from a digest: the same version has the same number everywhere.
fn serial_number(digest: &Digest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = |range: std::ops::Range<usize>| {
        bytes[range].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    format!("urn:uuid:{}-{}-{}-{}-{}", hex(0..4), hex(4..6), hex(6..8), hex(8..10), hex(10..16))
}

fn model(version: &VersionDir) -> Value {
    let manifest = &version.manifest;
    let format = |tensor: &TensorInfo| {
        let dims = tensor.shape.iter().map(|dim| match dim {
            zoo::Dim::Fixed(length) => length.to_string(),
            zoo::Dim::Free(name) => name.clone(),
        });
        json!([{ "format": format!("{} [{}]", tensor.dtype, dims.collect::<Vec<_>>().join(", ")) }])
    };
    let metric = |kind: &str, value: f64, slice: &str| json!({ "type": kind, "value": value.to_string(), "slice": slice });
    let mut metrics = vec![metric("accuracy", manifest.test.correct.share(), "test split")];
    let classes = manifest.test.per_class.iter();
    metrics.extend(
        classes.map(|class| {
            metric("recall", class.correct.share(), &format!("test split, class {}", class.label))
        }),
    );
    if let Some(validation) = manifest.validation {
        metrics.push(metric("accuracy", validation.share(), "validation images"));
    }
    if let Some(confidence) = &manifest.confidence {
        metrics.push(metric("expected calibration error", confidence.calibration_error, "test split"));
    }
    json!({
        "type": "machine-learning-model",
        "bom-ref": reference(manifest),
        "name": manifest.name,
        "version": manifest.version.to_string(),
        "description": manifest.description,
        "hashes": hashes(&version.manifest_sha256),
        "modelCard": {
            "modelParameters": {
                "approach": { "type": "supervised" },
                "task": "image-classification",
                "architectureFamily": "convolutional neural network",
                "datasets": [{ "ref": data_reference(manifest) }],
                "inputs": format(&manifest.input),
                "outputs": format(&manifest.output),
            },
            "quantitativeAnalysis": { "performanceMetrics": metrics },
        },
        "properties": properties(manifest),
    })
}

/// What there is of it.
fn properties(manifest: &Manifest) -> Vec<Value> {
    let training = manifest.training.as_ref();
    let origin = match &manifest.origin {
        Some(Origin::Adopted(adopted)) => Some(adopted.sha256),
        Some(Origin::Weights(weights)) => Some(weights.sha256),
        None => None,
    };
    let all = [
        ("parameters", Some(manifest.network.parameters.to_string())),
        ("multiply-accumulates", Some(manifest.network.macs.to_string())),
        ("parameters_sha256", manifest.parameters_sha256().map(|digest| digest.to_string())),
        ("recipe_sha256", manifest.recipe_sha256().map(|digest| digest.to_string())),
        ("seed", training.map(|training| training.seed.to_string())),
        ("numeric_profile", training.map(|training| training.numeric_profile.isa.clone())),
        ("original_sha256", origin.map(|digest| digest.to_string())),
    ];
    let known = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known.map(|(name, value)| json!({ "name": format!("model-zoo:{name}"), "value": value })).collect()
}

fn data_reference(manifest: &Manifest) -> String {
    format!("data:{}", manifest.dataset.name)
}

/// The dataset, with its licence and source where it is here to say them.
fn data(manifest: &Manifest, dataset: Option<&Dataset>) -> Value {
    let contents = manifest
        .dataset
        .files
        .iter()
        .map(|(name, sha256)| json!({ "type": "file", "name": name, "hashes": hashes(sha256) }));
    let mut data = json!({
        "type": "data",
        "bom-ref": data_reference(manifest),
        "name": manifest.dataset.name,
        "data": [{ "type": "dataset", "name": manifest.dataset.name }],
        "components": contents.collect::<Vec<_>>(),
    });
    if let Some(dataset) = dataset {
        data["description"] = json!(dataset.description.title);
        data["licenses"] = json!([{ "license": { "name": dataset.description.licence } }]);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_uuids_of_version_8() {
        let number = serial_number(&Digest::of(b"abc"));
        assert_eq!(number, "urn:uuid:ba7816bf-8f01-8fea-8141-40de5dae2223");
    }
}

//! A folder for the Hugging Face Hub: card with `model-index`, weights, network, config.
//!
//! Source: <https://huggingface.co/docs/hub/model-cards> and, for `model-index`,
//! <https://github.com/huggingface/hub-docs/blob/main/modelcard.md>.

use std::path::{Path, PathBuf};

use datasets::Digest;
use serde_json::{Map, Value, json};
use zoo::{MANIFEST, MAX_FILE_BYTES, Manifest, VersionDir};

use super::folder;
use crate::error::Result;

/// Files that are copied as they are.
const COPIED: [&str; 4] = [zoo::ONNX, "model.safetensors", "recipe.yaml", "history.csv"];

/// Writes a version into `dir` and returns the files.
///
/// # Errors
/// [`Error::Zoo`](crate::Error::Zoo) for a damaged file, or one that cannot be written.
pub fn hugging_face(version: &VersionDir, dir: &Path) -> Result<Vec<PathBuf>> {
    let card = version.read("README.md")?;
    let card = format!("---\n{}---\n\n{}", front_matter(&version.manifest)?, without_pictures(&card));
    let config =
        serde_json::to_string_pretty(&config(&version.manifest)).expect("a JSON value always serialises");
    let mut files = vec![("config.json", format!("{config}\n").into_bytes())];
    for name in COPIED.into_iter().filter(|name| version.manifest.files.contains_key(*name)) {
        files.push((name, version.read(name)?));
    }
    // The card and the manifest last: they tell of the others.
    files.extend([("README.md", card.into_bytes()), (MANIFEST, version.read(MANIFEST)?)]);
    folder::write(dir, &files, &of_version_before(dir))
}

/// Files of a version that was written there before: not all may have successors. Only those with the hashes of its manifest,
/// not what somebody else put there.
fn of_version_before(dir: &Path) -> Vec<PathBuf> {
    let Ok(before) = datasets::yaml::read::<Manifest>(&dir.join(MANIFEST)) else { return Vec::new() };
    let is_its = |name: &str| {
        let bytes = datasets::files::read(&dir.join(name), MAX_FILE_BYTES);
        before.files.get(name).zip(bytes.ok()).is_some_and(|(file, bytes)| file.sha256 == Digest::of(&bytes))
    };
    COPIED.into_iter().filter(|name| is_its(name)).map(|name| dir.join(name)).collect()
}

/// The card's text, without pictures that do not go along.
fn without_pictures(card: &[u8]) -> String {
    let text = String::from_utf8_lossy(card);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("!["));
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn front_matter(manifest: &Manifest) -> Result<String> {
    let test = &manifest.test.correct;
    // Rounded as it is printed everywhere else; the exact count is in the name.
    let accuracy = (test.share() * 1e6).round() / 1e6;
    let results = json!([{
        "task": { "type": "image-classification", "name": "Image classification" },
        "dataset": { "type": manifest.dataset.name, "name": manifest.dataset.name, "split": "test" },
        "metrics": [{ "type": "accuracy", "value": accuracy, "name": format!("Accuracy ({test})") }],
    }]);
    let mut tags = vec!["onnx", "image-classification"];
    tags.extend(manifest.files.contains_key("model.safetensors").then_some("safetensors"));
    // What was trained elsewhere cannot be trained again from what is here.
    tags.extend(manifest.training.is_some().then_some("reproducible"));
    let matter = json!({
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "datasets": [manifest.dataset.name],
        "metrics": ["accuracy"],
        "tags": tags,
        "model-index": [{ "name": manifest.name, "results": results }],
    });
    Ok(datasets::yaml::to_string(&matter)?)
}

fn config(manifest: &Manifest) -> Value {
    let shape = manifest.image_shape();
    let numbered = manifest.labels.iter().enumerate();
    let id2label: Map<String, Value> =
        numbered.clone().map(|(id, label)| (id.to_string(), json!(label))).collect();
    let label2id: Map<String, Value> = numbered.map(|(id, label)| (label.clone(), json!(id))).collect();
    json!({
        "model_type": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "id2label": id2label,
        "label2id": label2id,
        "num_channels": shape.channels,
        "image_size": [shape.height, shape.width],
        "preprocessing": manifest.preprocessing,
        "input": manifest.input,
        "output": manifest.output,
        "parameters": manifest.network.parameters,
        "sha256": manifest.files.iter().map(|(path, record)| (path.clone(), json!(record.sha256))).collect::<Map<_, _>>(),
    })
}

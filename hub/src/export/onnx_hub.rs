//! `ONNX_HUB_MANIFEST.json`: the list that `onnx.hub` reads from a repository's root.
//!
//! Source: `onnx/hub.py` and the manifest of <https://github.com/onnx/models>.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zoo::{Dim, ONNX, TensorInfo, VersionDir, write_atomic};

use crate::error::{Error, Result};

/// Name of the file.
pub const ONNX_HUB_MANIFEST: &str = "ONNX_HUB_MANIFEST.json";

/// Writes the list of versions, whose files were checked, into `dir`; their paths are written from there.
///
/// # Errors
/// [`Error::Usage`] for a version that is not below `dir`, [`Error::Zoo`] if it cannot be written.
pub fn onnx_hub(versions: &[VersionDir], dir: &Path) -> Result<PathBuf> {
    let root = dir.canonicalize().map_err(Error::io(dir))?;
    let entries = versions.iter().map(|version| entry(version, &root)).collect::<Result<Vec<_>>>()?;
    let text = serde_json::to_string_pretty(&entries).expect("JSON values always serialise");
    let path = dir.join(ONNX_HUB_MANIFEST);
    write_atomic(&path, format!("{text}\n").as_bytes())?;
    Ok(path)
}

fn entry(version: &VersionDir, root: &Path) -> Result<Value> {
    let (manifest, onnx) = (&version.manifest, version.path.join(ONNX));
    let file = onnx.canonicalize().map_err(Error::io(&onnx))?;
    let below = file.strip_prefix(root).map_err(|_| {
        Error::Usage(format!("{}: not below {}, so no path leads there", file.display(), root.display()))
    })?;
    let path: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    let record = manifest.files.get(ONNX);
    Ok(json!({
        "model": manifest.name,
        "model_path": path.join("/"),
        "onnx_version": onnx_version(manifest.onnx.opset),
        "opset_version": manifest.onnx.opset,
        "metadata": {
            "model_sha": record.map(|record| record.sha256),
            "model_bytes": record.map(|record| record.bytes),
            "tags": ["vision", "classification", manifest.dataset.name],
            "io_ports": {
                "inputs": [port(&manifest.input)],
                "outputs": [port(&manifest.output)],
            },
            "version": manifest.version,
            "description": manifest.description,
            "preprocessing": manifest.preprocessing,
            "test_accuracy": manifest.test.correct.share(),
        },
    }))
}

fn port(tensor: &TensorInfo) -> Value {
    let dtype = if tensor.dtype == "float32" { "float" } else { &tensor.dtype };
    let shape = tensor.shape.iter().map(|dim| match dim {
        Dim::Fixed(length) => json!(length),
        Dim::Free(name) => json!(name),
    });
    json!({ "name": tensor.name, "shape": shape.collect::<Vec<_>>(), "type": format!("tensor({dtype})") })
}

/// The first release of ONNX with an operator set (<https://github.com/onnx/onnx/blob/main/docs/Versioning.md>):
/// 1.2 had 7, and each later one has one more.
fn onnx_version(opset: u32) -> String {
    format!("1.{}", opset.saturating_sub(5).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_operator_sets() {
        for (opset, version) in [(7, "1.2"), (13, "1.8"), (17, "1.12"), (21, "1.16")] {
            assert_eq!(onnx_version(opset), version);
        }
    }
}

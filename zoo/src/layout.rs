//! What other engines ask of a model repository, so that they load a zoo's `models` as it is.
//!
//! Sources: Triton's `docs/user_guide/model_repository.md`, OpenVINO Model Server's
//! `docs/models_repository.md`, and for KServe the names that Kubernetes allows (RFC 1123 labels).

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::names::{check_name, parse_version};
use crate::store::folder_names;
use crate::{ONNX, Zoo};

/// An engine that loads model repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// NVIDIA's Triton Inference Server, with the onnxruntime backend.
    Triton,
    /// KServe's `InferenceService`, which names a Kubernetes service after the model.
    KServe,
    /// OpenVINO Model Server.
    OpenVino,
}

/// Something that an engine would not load, or would load as something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The file or folder.
    #[serde(serialize_with = "datasets::serialize_path")]
    pub path: PathBuf,
    /// Whose rule it breaks.
    pub engines: Vec<Engine>,
    /// What is there, and what was expected.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engines: Vec<String> = self.engines.iter().map(|engine| format!("{engine:?}")).collect();
        write!(f, "{}: {} ({})", self.path.display(), self.problem, engines.join(", "))
    }
}

/// Endings of files that Triton or OpenVINO Model Server would take for a model.
const MODEL_ENDINGS: [&str; 9] = ["onnx", "xml", "bin", "pb", "tflite", "pdmodel", "pt", "plan", "graphdef"];

impl Zoo {
    /// Everything in `models` that an engine would stumble over.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn layout_violations(&self) -> Result<Vec<Violation>> {
        use Engine::{KServe, OpenVino, Triton};
        let mut found = Vec::new();
        for name in sorted(folder_names(&self.models_dir())?) {
            let dir = self.models_dir().join(&name);
            let mut add = |path: &Path, engines: &[Engine], problem: String| {
                found.push(Violation { path: path.to_owned(), engines: engines.to_vec(), problem });
            };
            if let Err(expected) = check_name(&name) {
                let problem = format!("every folder here is a model; expected {expected}");
                add(&dir, &[Triton, KServe], problem);
            }
            // No UTF-8: under this name it is not found.
            if name.contains(char::REPLACEMENT_CHARACTER) {
                continue;
            }
            if name.contains('_') || name.ends_with('-') || name.len() > 63 {
                let expected = "letters, digits and `-`, 63 at most, the last one no `-`";
                add(&dir, &[KServe], format!("cannot name a Kubernetes service; expected {expected}"));
            }
            let versions = sorted(folder_names(&dir)?);
            if !versions.iter().any(|version| parse_version(version).is_some()) {
                add(&dir, &[Triton, OpenVino], "no version; expected a folder `1`".into());
            }
            for version in versions {
                let dir = dir.join(&version);
                if parse_version(&version).is_none() {
                    let problem = "not a version; expected a number from 1 without leading zeros";
                    add(&dir, &[Triton, OpenVino], problem.into());
                    continue;
                }
                let models = models_in(&dir)?;
                if models != [ONNX] {
                    let problem = format!("model files {models:?}, expected {:?} alone", [ONNX]);
                    add(&dir, &[Triton, OpenVino], problem);
                }
            }
        }
        Ok(found)
    }
}

/// Names of the files directly in a version's folder that look like models.
fn models_in(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let entry = entry.map_err(Error::io(dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_model = name.rsplit_once('.').is_some_and(|(_, ending)| MODEL_ENDINGS.contains(&ending));
        // A folder may be one too: TensorFlow's `saved_model`, or one called like a file.
        if is_model || (name == "saved_model" && entry.path().is_dir()) {
            names.push(name);
        }
    }
    Ok(sorted(names))
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(paths: &[&str]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let zoo = Zoo::new(root.path());
        for path in paths {
            let path = zoo.models_dir().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let below = |v: Violation| {
            let path = v.path.strip_prefix(zoo.models_dir()).unwrap().display().to_string();
            format!("{path} {:?}: {}", v.engines, v.problem)
        };
        zoo.layout_violations().unwrap().into_iter().map(below).collect()
    }

    #[test]
    fn a_zoo_as_it_should_be() {
        let files =
            ["a/1/model.onnx", "a/1/manifest.yaml", "a/1/test_data_set_0/input_0.pb", "a/12/model.onnx"];
        assert_eq!(violations(&files), [""; 0]);
    }

    #[test]
    fn each_rule() {
        for (files, expected) in [
            (vec!["A/1/model.onnx"], "A [Triton, KServe]: every folder here is a model"),
            (vec![".git/1/model.onnx"], ".git [Triton, KServe]: every folder here is a model"),
            (vec!["a_b/1/model.onnx"], "a_b [KServe]: cannot name a Kubernetes service"),
            (vec!["a/README.md"], "a [Triton, OpenVino]: no version"),
            (vec!["a/1/model.onnx", "a/01/model.onnx"], "a/01 [Triton, OpenVino]: not a version"),
            (vec!["a/1/model.onnx", "a/latest/model.onnx"], "a/latest [Triton, OpenVino]: not a version"),
            (vec!["a/1/manifest.yaml"], "a/1 [Triton, OpenVino]: model files []"),
            (
                vec!["a/1/model.onnx", "a/1/other.onnx"],
                "a/1 [Triton, OpenVino]: model files [\"model.onnx\", \"o",
            ),
            (vec!["a/1/net.xml"], "a/1 [Triton, OpenVino]: model files [\"net.xml\"]"),
        ] {
            let found = violations(&files);
            assert!(found.iter().any(|line| line.starts_with(expected)), "{files:?}: {found:?}");
        }
    }
}

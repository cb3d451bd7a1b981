//! `manifest.yaml`: what a published version is, what it claims, and the hash of every file.

use std::collections::BTreeMap;
use std::path::Path;

use datasets::{Dataset, Digest, ImageShape, Preprocessing, yaml};
use serde::{Deserialize, Serialize};

use crate::Count;
use crate::confidence::Confidence;
use crate::error::{Error, Result};
use crate::names::{check_name, parse_version};
use crate::origin::Origin;
use crate::training::TrainingInfo;

/// Name of the manifest in a version's folder.
pub const MANIFEST: &str = "manifest.yaml";
/// Name of the network in a version's folder.
pub const ONNX: &str = "model.onnx";

/// The version of this format.
pub const SCHEMA: u32 = 1;
/// Most bytes of a file: protobuf, and so ONNX, has no longer ones. They are read whole into memory.
pub const MAX_FILE_BYTES: u64 = 2 << 30;
/// Most bytes of all files of a version: its network, its weights, and room for pictures and golden data.
const MAX_VERSION_BYTES: u64 = 3 * MAX_FILE_BYTES;

/// The content of a `manifest.yaml`. An unknown key is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name of the model, the name of its folder.
    pub name: String,
    /// Version, from 1, the name of the version's folder.
    pub version: u32,
    /// One line for people.
    pub description: String,
    /// Class names; output `k` is the probability of `labels[k]`.
    pub labels: Vec<String>,
    /// What the network takes.
    pub input: TensorInfo,
    /// What it gives.
    pub output: TensorInfo,
    /// How a foreign image becomes the input.
    pub preprocessing: Preprocessing,
    /// What it was trained and tested on.
    pub dataset: DatasetInfo,
    /// Result on the test split.
    pub test: TestResult,
    /// Result on the held-out training images that the choice was made by; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Count>,
    /// How far the probabilities can be believed; absent from versions that promise nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// Right answers on the damaged test split, by kind of damage, for strengths 1 to 5; absent where not
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unique_if_any")]
    pub corruptions: Option<BTreeMap<String, Vec<Count>>>,
    /// Size of the network.
    pub network: NetworkInfo,
    /// The ONNX file's versions.
    pub onnx: OnnxInfo,
    /// How it was trained; absent from versions that were not trained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingInfo>,
    /// Where it comes from, if it was not trained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What was checked before it was published.
    pub self_check: SelfCheckInfo,
    /// Versions of the programs that made it.
    #[serde(deserialize_with = "yaml::unique")]
    pub tools: BTreeMap<String, String>,
    /// Every other file of the version, by path.
    #[serde(deserialize_with = "yaml::unique")]
    pub files: BTreeMap<String, FileRecord>,
}

/// Name, type and shape of an input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TensorInfo {
    /// Name in the ONNX graph.
    pub name: String,
    /// ONNX element type, lower case.
    pub dtype: String,
    /// Dimensions, outermost first.
    pub shape: Vec<Dim>,
}

impl TensorInfo {
    /// `uint8 [N, C, H, W]`; `batch` is the name of N.
    pub fn images(name: &str, batch: &str, ImageShape { channels, height, width }: ImageShape) -> TensorInfo {
        TensorInfo::with_batch(name, "uint8", batch, &[channels, height, width])
    }

    /// `float32 [N, classes]`; `batch` is the name of N.
    pub fn probabilities(name: &str, batch: &str, classes: usize) -> TensorInfo {
        TensorInfo::with_batch(name, "float32", batch, &[classes])
    }

    fn with_batch(name: &str, dtype: &str, batch: &str, each: &[usize]) -> TensorInfo {
        let each = each.iter().map(|&length| Dim::Fixed(length));
        let shape = std::iter::once(Dim::Free(batch.into())).chain(each).collect();
        TensorInfo { name: name.into(), dtype: dtype.into(), shape }
    }
}

/// A dimension: a number, or a name for one that is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Dim {
    /// Always this.
    Fixed(usize),
    /// Any number, e.g. `N`.
    Free(String),
}

/// The data that a model was trained and tested on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DatasetInfo {
    /// Name of the dataset.
    pub name: String,
    /// sha256 of each file's decompressed bytes, by file name.
    #[serde(deserialize_with = "yaml::unique")]
    pub files: BTreeMap<String, Digest>,
}

impl DatasetInfo {
    /// The dataset as a manifest names it.
    pub fn of(dataset: &Dataset) -> DatasetInfo {
        DatasetInfo {
            name: dataset.description.name.clone(),
            files: dataset.files().into_iter().map(|entry| (entry.file.clone(), entry.sha256)).collect(),
        }
    }
}

/// Result on the test split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TestResult {
    /// Right answers out of all.
    pub correct: Count,
    /// The same for each class, in label order.
    pub per_class: Vec<ClassCount>,
    /// sha256 of the predicted classes, one byte per test image in file order.
    pub predictions_sha256: Digest,
}

/// Right answers within one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClassCount {
    /// The class.
    pub label: String,
    /// Right answers out of all of that class.
    pub correct: Count,
}

/// Size of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NetworkInfo {
    /// Trainable values.
    pub parameters: u64,
    /// Multiply-accumulates for one image.
    pub macs: u64,
}

/// Versions in the ONNX file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OnnxInfo {
    /// Operator set.
    pub opset: u32,
    /// File format.
    pub ir_version: u32,
    /// Whether `trainer` wrote the shapes of the values between nodes, and what each node is for.
    #[serde(default, rename = "annotated", skip_serializing_if = "std::ops::Not::not")]
    pub is_annotated: bool,
}

/// What was checked before the version was published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SelfCheckInfo {
    /// Images in `test_data_set_0`, whose outputs come from libtorch.
    pub golden_images: u64,
    /// Largest allowed difference of a probability between `infer` and libtorch on them.
    pub tolerance: f64,
    /// Test images on which `infer` and libtorch name the same class: all of them.
    pub identical_predictions: Count,
}

/// Length and hash of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Length.
    pub bytes: u64,
    /// Digest of its content.
    pub sha256: Digest,
}

impl Manifest {
    /// sha256 of `recipe.yaml`, of versions that have one.
    pub fn recipe_sha256(&self) -> Option<Digest> {
        match (&self.training, &self.origin) {
            (Some(training), _) => Some(training.recipe_sha256),
            (_, Some(Origin::Weights(weights))) => Some(weights.recipe_sha256),
            _ => None,
        }
    }

    /// sha256 of all parameters, of versions whose weights are those of a recipe's network.
    pub fn parameters_sha256(&self) -> Option<Digest> {
        match (&self.training, &self.origin) {
            (Some(training), _) => Some(training.parameters_sha256),
            (_, Some(Origin::Weights(weights))) => Some(weights.parameters_sha256),
            _ => None,
        }
    }

    /// Whether its network may have any operator, and not only those of the recipes.
    pub fn is_adopted(&self) -> bool {
        matches!(self.origin, Some(Origin::Adopted(_)))
    }

    /// Shape of one input image.
    pub fn image_shape(&self) -> ImageShape {
        let dim = |index: usize| match self.input.shape.get(index) {
            Some(Dim::Fixed(length)) => *length,
            _ => 0,
        };
        ImageShape { channels: dim(1), height: dim(2), width: dim(3) }
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`Error::Manifest`] names the field.
    pub fn check(&self, path: &Path) -> Result<()> {
        let refuse = |field: &str, found: &dyn ToString, expected: &str| {
            Err(Error::Manifest {
                path: path.to_owned(),
                field: field.into(),
                found: found.to_string(),
                expected: expected.into(),
            })
        };
        if self.schema != SCHEMA {
            return refuse("schema", &self.schema, &format!("{SCHEMA}, the only one this program knows"));
        }
        check_name(&self.name).or_else(|expected| refuse("name", &format!("`{}`", self.name), &expected))?;
        if parse_version(&self.version.to_string()).is_none() {
            return refuse("version", &self.version, "1 to 1000000");
        }
        let classes = self.labels.len();
        if !(2..=256).contains(&classes) {
            return refuse("labels", &classes, "2 to 256 labels");
        }
        if !datasets::is_plain_name(&self.dataset.name) {
            return refuse("dataset.name", &format!("`{}`", self.dataset.name), datasets::PLAIN_NAME);
        }
        self.check_tensors(&refuse)?;
        match (&self.training, &self.origin) {
            (Some(training), None) if training.epochs_sha256.len() != training.epochs as usize => {
                let expected = format!("{}, one for each epoch", training.epochs);
                return refuse("training.epochs_sha256", &training.epochs_sha256.len(), &expected);
            }
            (Some(_), None) | (None, Some(_)) => {}
            (Some(_), Some(_)) => return refuse("origin", &"together with training", "one of the two"),
            (None, None) => return refuse("training", &"nothing, and no origin", "one of the two"),
        }
        if let Some(Err((field, found, expected))) = self.confidence.as_ref().map(Confidence::check) {
            return refuse(&format!("confidence.{field}"), &found, &expected);
        }
        self.check_counts(&refuse)?;
        self.check_files(&refuse)
    }

    fn check_tensors(&self, refuse: &dyn Fn(&str, &dyn ToString, &str) -> Result<()>) -> Result<()> {
        let shape = self.image_shape();
        let sides = 1..=4096;
        let good_input = matches!(self.input.shape.as_slice(), [Dim::Free(_), ..])
            && self.input.shape.len() == 4
            && matches!(shape.channels, 1 | 3)
            && sides.contains(&shape.height)
            && sides.contains(&shape.width);
        if !good_input {
            return refuse(
                "input.shape",
                &format!("{:?}", self.input.shape),
                "[N, C, H, W] with C 1 or 3, H and W 1 to 4096",
            );
        }
        if let Err((field, found, expected)) = self.preprocessing.check(shape.channels) {
            return refuse(&format!("preprocessing{field}"), &found, &expected);
        }
        if self.input.dtype != "uint8" {
            return refuse("input.dtype", &self.input.dtype, "uint8");
        }
        if !matches!(self.output.shape.as_slice(), [Dim::Free(_), Dim::Fixed(count)] if *count == self.labels.len())
        {
            return refuse(
                "output.shape",
                &format!("{:?}", self.output.shape),
                &format!("[N, {}], one for each label", self.labels.len()),
            );
        }
        if self.output.dtype != "float32" {
            return refuse("output.dtype", &self.output.dtype, "float32");
        }
        Ok(())
    }

    fn check_counts(&self, refuse: &dyn Fn(&str, &dyn ToString, &str) -> Result<()>) -> Result<()> {
        let names: Vec<&str> = self.test.per_class.iter().map(|class| class.label.as_str()).collect();
        if names != self.labels {
            return refuse(
                "test.per_class",
                &format!("{names:?}"),
                "one entry for each of `labels`, in order",
            );
        }
        let sum = |part: fn(&Count) -> u64| {
            self.test.per_class.iter().map(|c| part(&c.correct)).fold(0, u64::saturating_add)
        };
        let total = Count { correct: sum(|c| c.correct), total: sum(|c| c.total) };
        if total != self.test.correct {
            return refuse(
                "test.correct",
                &self.test.correct,
                &format!("{total}, the sum over test.per_class"),
            );
        }
        Ok(())
    }

    fn check_files(&self, refuse: &dyn Fn(&str, &dyn ToString, &str) -> Result<()>) -> Result<()> {
        for (path, record) in &self.files {
            let plain = |part: &str| {
                !part.is_empty()
                    && !part.starts_with('.')
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            };
            if !path.split('/').all(plain) || path == crate::MANIFEST {
                return refuse(
                    "files",
                    &format!("`{path}`"),
                    "paths inside the version's folder, of letters, digits, `.`, `_`, `-` and `/`",
                );
            }
            if record.bytes > MAX_FILE_BYTES {
                return refuse(
                    &format!("files.{path}.bytes"),
                    &record.bytes,
                    &format!("at most {MAX_FILE_BYTES}"),
                );
            }
        }
        let total = self.files.values().map(|record| record.bytes).fold(0, u64::saturating_add);
        if total > MAX_VERSION_BYTES {
            return refuse(
                "files",
                &format!("{total} bytes in all"),
                &format!("at most {MAX_VERSION_BYTES}"),
            );
        }
        let onnx = self.files.keys().filter(|path| path.ends_with(".onnx")).count();
        if !self.files.contains_key(crate::ONNX) || onnx != 1 {
            return refuse("files", &format!("{onnx} *.onnx files"), "model.onnx and no other *.onnx");
        }
        Ok(())
    }
}

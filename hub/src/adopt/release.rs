//! The files of an adopted version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::{Digest, ImageShape};
use infer::golden::Golden;
use infer::{Evaluation, Session};
use prost::Message;
use tract_onnx::pb::{ModelProto, StringStringEntryProto};
use zoo::{
    Adopted, DatasetInfo, FileRecord, Manifest, NetworkInfo, OnnxInfo, Origin, SCHEMA, SelfCheckInfo,
    TensorInfo, TestResult,
};

use super::{Form, Request, card, graph, proto};

/// What a file says of itself (licence, author, names of classes), by the keys under which a version keeps it: its own keys
/// could be ours.
pub(super) fn of_original(model: &ModelProto) -> Vec<(String, String)> {
    let entries =
        model.metadata_props.iter().map(|entry| (format!("original.{}", entry.key), entry.value.clone()));
    let description = (!model.doc_string.is_empty()).then(|| (DESCRIPTION.into(), model.doc_string.clone()));
    description.into_iter().chain(entries).collect()
}

/// The key of a file's description.
const DESCRIPTION: &str = "original_description";

/// A version in the making.
pub(super) struct Release<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) form: &'a Form,
    pub(super) session: &'a Session,
    pub(super) golden: Option<Golden>,
    pub(super) adopted: Adopted,
    pub(super) evaluation: Evaluation,
    pub(super) shape: ImageShape,
}

impl Release<'_> {
    /// Writes every file of the version, the manifest last.
    pub(super) fn write(&self, dir: &Path, version: u32) -> zoo::Result<()> {
        let onnx = self.onnx(version);
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        if let Some(golden) = &self.golden {
            let (input, output) = golden.to_files();
            files.insert(infer::golden::INPUT.into(), input);
            files.insert(infer::golden::OUTPUT.into(), output);
        }
        let damaged = |problem: String| zoo::Error::Damaged { path: PathBuf::from(zoo::ONNX), problem };
        let summary = infer::describe_adopted(&onnx).map_err(damaged)?;
        let mut manifest = self.manifest(version, &summary);
        files
            .insert("graph.svg".into(), infer::drawing::of(&onnx, self.shape).map_err(damaged)?.into_bytes());
        files.insert(zoo::ONNX.into(), onnx);
        files.insert(
            "README.md".into(),
            card::write(&manifest, self.request.dataset, &of_original(&self.form.model)).into_bytes(),
        );
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| zoo::Error::Io { path, source }
        };
        for (name, bytes) in &files {
            let path = dir.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(io(parent))?;
            }
            std::fs::write(&path, bytes).map_err(io(&path))?;
            let record = FileRecord { bytes: bytes.len() as u64, sha256: Digest::of(bytes) };
            manifest.files.insert(name.clone(), record);
        }
        let path = dir.join(zoo::MANIFEST);
        std::fs::write(&path, datasets::yaml::to_string(&manifest)?).map_err(io(&path))
    }

    /// The network with what every version's says of itself.
    fn onnx(&self, version: u32) -> Vec<u8> {
        let mut model = self.form.model.clone();
        model.model_version = version.into();
        if let Some(graph) = model.graph.as_mut().filter(|graph| graph.name.is_empty()) {
            // ONNX asks for one.
            graph.name = self.request.name.into();
        }
        let of_original = of_original(&self.form.model);
        model.doc_string = self.request.description.into();
        let labels = &self.request.dataset.description.classes;
        let labels = serde_json::to_string(labels).expect("texts always serialise");
        model.metadata_props = [
            ("model", self.request.name.to_owned()),
            ("version", version.to_string()),
            ("labels", labels),
            ("original_sha256", self.adopted.sha256.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .chain(of_original)
        .map(|(key, value)| StringStringEntryProto { key, value })
        .collect();
        model.encode_to_vec()
    }

    fn manifest(&self, version: u32, summary: &infer::Summary) -> Manifest {
        let Release { request, evaluation, shape, .. } = self;
        let description = &request.dataset.description;
        let none = zoo::Count { correct: 0, total: 0 };
        let golden_images = self.golden.as_ref().map_or(0, |golden| golden.shape[0] as u64);
        Manifest {
            schema: SCHEMA,
            name: request.name.into(),
            version,
            description: request.description.into(),
            labels: description.classes.clone(),
            input: TensorInfo::images(graph::INPUT, proto::BATCH, *shape),
            output: TensorInfo::probabilities(graph::OUTPUT, proto::BATCH, description.classes.len()),
            preprocessing: description.preprocessing.clone(),
            dataset: DatasetInfo::of(request.dataset),
            test: TestResult {
                correct: evaluation.correct,
                per_class: evaluation.per_class.clone(),
                predictions_sha256: evaluation.predictions_sha256(),
            },
            validation: None,
            confidence: None,
            corruptions: None,
            network: NetworkInfo { parameters: summary.parameters, macs: self.session.macs() },
            onnx: OnnxInfo { opset: summary.opset, ir_version: summary.ir_version, is_annotated: false },
            training: None,
            origin: Some(Origin::Adopted(self.adopted.clone())),
            self_check: SelfCheckInfo {
                golden_images,
                tolerance: self.form.tolerance,
                identical_predictions: none,
            },
            tools: BTreeMap::from([("zoo".into(), env!("CARGO_PKG_VERSION").into())]),
            files: BTreeMap::new(),
        }
    }
}

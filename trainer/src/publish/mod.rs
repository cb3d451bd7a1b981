//! From a finished run to a new version in a zoo.

pub(crate) mod artefacts;
pub(crate) mod calibration;
mod card;
mod chosen;
mod drawings;
mod plots;
mod refusal;

use std::collections::BTreeMap;
use std::path::Path;

use datasets::{Dataset, Digest, Samples, Split};
use infer::golden::Golden;
use infer::{Evaluation, Session};
use tch::Device;
use zoo::{
    DatasetInfo, FileRecord, ForeignWeights, Manifest, NetworkInfo, NumericProfileInfo, OnnxInfo, Origin,
    SCHEMA, SelfCheckInfo, TensorInfo, TestResult, TrainingInfo, ValidationRun, VersionDir, Zoo,
};

use crate::error::{Error, Result};
use crate::evaluate::Evaluator;
use crate::history::EpochRow;
use crate::network::Network;
use crate::normaliser::Normaliser;
use crate::onnx::{self, Identity};
use crate::parameters::Parameters;
use crate::recipe::{self, RecipeFile};
use crate::run::{self, FinishedRun, RunSummary};
use crate::weights;
use artefacts::Artefacts;
pub use refusal::refusal;

/// Largest allowed difference of a probability between `infer` and libtorch.
const TOLERANCE: f64 = 1e-5;

/// Publishes a finished run as the next version of its recipe's name.
///
/// Reads the test split, once. Nothing appears in the zoo unless `infer` gives what
/// libtorch gives on the golden images and on every test image.
///
/// `chosen_by` is a folder of runs: those of the same recipe with other seeds or with images held out are named in the
/// manifest.
///
/// # Errors
/// [`Error::SelfCheck`] if it does not; else what is wrong with run, data or zoo.
pub fn publish(run: &Path, chosen_by: Option<&Path>, dataset: &Dataset, zoo: &Zoo) -> Result<VersionDir> {
    let FinishedRun { recipe, network, summary, history, parameters } = run::read(run, dataset)?;
    let chosen_by = chosen_by.map(|runs| chosen::runs(&recipe, &summary, runs)).transpose()?;
    release(
        Source::Trained { summary: Box::new(summary), history, chosen_by: chosen_by.unwrap_or_default() },
        recipe,
        network,
        parameters,
        dataset,
        zoo,
    )
}

/// Publishes weights that were trained elsewhere for a recipe's network, under the same checks. Nothing is fitted on
/// validation images, which the weights may have been trained on.
///
/// # Errors
/// As for [`publish`], and what is wrong with the weights.
pub fn publish_weights(
    recipe: RecipeFile,
    file: &Path,
    names: &BTreeMap<String, String>,
    dataset: &Dataset,
    zoo: &Zoo,
) -> Result<VersionDir> {
    let network = recipe.build_network(&dataset.description)?;
    let (parameters, sha256) = weights::read_foreign(file, &network, names)?;
    let origin = ForeignWeights {
        file: file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        sha256,
        recipe_sha256: recipe.sha256(),
        parameters_sha256: parameters.sha256(),
    };
    release(Source::Weights(origin), recipe, network, parameters, dataset, zoo)
}

fn release(
    source: Source,
    recipe: RecipeFile,
    network: Network,
    parameters: Parameters,
    dataset: &Dataset,
    zoo: &Zoo,
) -> Result<VersionDir> {
    let release = Release {
        temperature: 1.0,
        normaliser: Normaliser::new(&dataset.description.normalisation),
        test: dataset.load(Split::Test)?,
        recipe,
        network,
        parameters,
        source,
        dataset,
    };
    let profile = release.recipe.recipe.numeric_profile.clone();
    let (release, test) = profile.run(move || {
        let Release { recipe, network, parameters, .. } = &release;
        let temperature = match &release.source {
            Source::Trained { .. } => calibration::temperature(recipe, dataset, network, parameters)?,
            Source::Weights(_) => 1.0,
        };
        let test = release.measure();
        Ok((Release { temperature, ..release }, test))
    })?;
    zoo.publish(&release.recipe.recipe.name, |dir, version| release.write(dir, version, &test))
}

/// The version that was made by the same recipe from the same data, if the newest one was.
///
/// # Errors
/// If the zoo cannot be read.
pub fn already_published(zoo: &Zoo, recipe: &RecipeFile, dataset: &Dataset) -> Result<Option<VersionDir>> {
    let spec = zoo::Spec::latest(&recipe.recipe.name);
    let newest = match zoo.version(&spec) {
        Ok(version) => version,
        Err(zoo::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let manifest = &newest.manifest;
    let same = manifest.training.as_ref().is_some_and(|training| training.recipe_sha256 == recipe.sha256())
        && manifest.dataset == DatasetInfo::of(dataset);
    Ok(same.then_some(newest))
}

/// Where weights come from.
enum Source {
    /// A finished run, with its history as text and the runs that its recipe was chosen by.
    Trained { summary: Box<RunSummary>, history: String, chosen_by: Vec<ValidationRun> },
    /// A file from elsewhere.
    Weights(ForeignWeights),
}

struct Release<'a> {
    recipe: RecipeFile,
    network: Network,
    parameters: Parameters,
    source: Source,
    dataset: &'a Dataset,
    normaliser: Normaliser,
    test: Samples,
    /// What the logits are divided by.
    temperature: f32,
}

impl Release<'_> {
    fn labels(&self) -> &[String] {
        &self.dataset.description.classes
    }

    /// What libtorch says about the test split.
    fn measure(&self) -> Evaluation {
        let evaluator = Evaluator {
            network: &self.network,
            parameters: &self.parameters,
            normaliser: &self.normaliser,
            samples: &self.test,
            device: Device::Cpu,
        };
        let all: Vec<usize> = (0..self.test.len()).collect();
        let found = evaluator.evaluate(&all);
        Evaluation::new(found.predictions, &self.test, self.labels())
    }

    fn artefacts(&self, version: u32) -> Artefacts<'_> {
        let recipe = &self.recipe;
        Artefacts {
            network: &self.network,
            parameters: &self.parameters,
            normaliser: &self.normaliser,
            test: &self.test,
            temperature: self.temperature,
            identity: Identity {
                name: &recipe.recipe.name,
                version,
                description: &recipe.recipe.description,
                labels: self.labels(),
                recipe_sha256: recipe.sha256().to_string(),
                trainer: env!("CARGO_PKG_VERSION"),
                is_annotated: true,
            },
        }
    }

    /// Writes every file of the version, the manifest last.
    fn write(&self, dir: &Path, version: u32, test: &Evaluation) -> Result<()> {
        let recipe = &self.recipe;
        let artefacts = self.artefacts(version);
        let golden = artefacts.golden();
        let mut files = artefacts.files(&golden)?;
        let session = self.self_check(&files[zoo::ONNX], &golden, test)?;
        let output = &recipe.recipe.output;
        let is_trained = matches!(self.source, Source::Trained { .. });
        let confidence =
            if output.confidence && is_trained { Some(self.confidence(&session)?) } else { None };
        let corruptions =
            if output.corruptions { Some(infer::corruptions::measure(&session, &self.test)?) } else { None };
        let mut rows = Vec::new();
        let confusion = drawings::confusion(&test.predictions, &self.test.labels, self.labels());
        files.extend([
            (recipe::FILE, recipe.text.clone().into_bytes()),
            (card::CONFUSION, drawings::confusion_matrix(&confusion, self.labels())?.into_bytes()),
        ]);
        let drawn = infer::drawing::of(&files[zoo::ONNX], self.test.shape);
        let drawn = drawn.map_err(|problem| Error::Drawing(format!("{}: {problem}", zoo::ONNX)))?;
        files.insert(card::GRAPH, drawn.into_bytes());
        if let Source::Trained { history, .. } = &self.source {
            rows = crate::history::parse_csv(history, Path::new(run::HISTORY))?;
            files.insert(run::HISTORY, history.clone().into_bytes());
            files.insert(card::LEARNING_CURVE, drawings::learning_curve(&rows)?.into_bytes());
        }
        if let Some(filters) = drawings::filters(&self.network, &self.parameters)? {
            files.insert(card::FILTERS, filters);
        }
        if let Some(confidence) = &confidence {
            files.insert(card::RELIABILITY, plots::reliability(confidence)?.into_bytes());
        }
        if let Some(corruptions) = &corruptions {
            files.insert(card::CORRUPTIONS, plots::corruptions(corruptions)?.into_bytes());
        }
        let manifest = self.manifest(version, test, &golden, &rows);
        let mut manifest = Manifest { confidence, corruptions, ..manifest };
        let card = card::write(
            &manifest,
            &self.network,
            &self.dataset.description,
            &confusion,
            files.contains_key(card::FILTERS),
        );
        files.insert(card::FILE, card.into_bytes());
        for (name, bytes) in &files {
            let path = dir.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
            }
            std::fs::write(&path, bytes).map_err(Error::io(&path))?;
            let record = FileRecord { bytes: bytes.len() as u64, sha256: Digest::of(bytes) };
            manifest.files.insert((*name).into(), record);
        }
        let path = dir.join(zoo::MANIFEST);
        std::fs::write(&path, datasets::yaml::to_string(&manifest)?).map_err(Error::io(&path))
    }

    /// Proves that the file that will be published behaves as the trained network.
    fn self_check(&self, onnx: &[u8], golden: &Golden, test: &Evaluation) -> Result<Session> {
        let failed = |check: &str, found: String, expected: String| {
            Err(Error::SelfCheck { check: check.into(), found, expected })
        };
        let session =
            Session::load(onnx.to_vec(), self.test.shape, self.labels().len(), Path::new(zoo::ONNX))?;
        let difference = golden.max_difference(&session)?;
        if f64::from(difference) > TOLERANCE {
            return failed(
                "golden images, max |infer - libtorch|",
                format!("{difference:.2e}"),
                format!("at most {TOLERANCE:.0e}"),
            );
        }
        let found = infer::evaluate(&session, &self.test, self.labels())?;
        let differing = found.predictions.iter().zip(&test.predictions).filter(|(a, b)| a != b).count();
        if differing > 0 {
            return failed(
                "test predictions that differ between infer and libtorch",
                differing.to_string(),
                "0".into(),
            );
        }
        Ok(session)
    }

    /// What the probabilities promise, fitted on the validation images as `infer` sees them.
    fn confidence(&self, session: &Session) -> Result<zoo::Confidence> {
        let samples = self.dataset.load(Split::Train)?;
        let (_, validation) = crate::split::split(&self.recipe, &samples)?;
        let validation = samples.select(&validation);
        let probabilities = infer::probabilities(session, &validation)?;
        let of_test = infer::probabilities(session, &self.test)?;
        let predictions = |probabilities, labels| infer::confidence::Predictions {
            probabilities,
            labels,
            classes: self.labels().len(),
        };
        let fitted = infer::confidence::fit(
            self.temperature,
            predictions(&probabilities, &validation.labels),
            predictions(&of_test, &self.test.labels),
        );
        Ok(fitted.expect("a temperature was fitted on validation images, so there are some"))
    }

    /// The manifest without its `files`.
    fn manifest(&self, version: u32, test: &Evaluation, golden: &Golden, rows: &[EpochRow]) -> Manifest {
        let recipe = &self.recipe;
        let shape = self.test.shape;
        let all = self.test.len() as u64;
        let (summary, origin) = match &self.source {
            Source::Trained { summary, .. } => (Some(summary), None),
            Source::Weights(weights) => (None, Some(Origin::Weights(weights.clone()))),
        };
        let chosen_by = match &self.source {
            Source::Trained { chosen_by, .. } => chosen_by.clone(),
            Source::Weights(_) => Vec::new(),
        };
        Manifest {
            schema: SCHEMA,
            name: recipe.recipe.name.clone(),
            version,
            description: recipe.recipe.description.clone(),
            labels: self.labels().to_vec(),
            input: TensorInfo::images(onnx::INPUT, onnx::BATCH, shape),
            output: TensorInfo::probabilities(onnx::OUTPUT, onnx::BATCH, self.labels().len()),
            preprocessing: self.dataset.description.preprocessing.clone(),
            dataset: DatasetInfo::of(self.dataset),
            test: TestResult {
                correct: test.correct,
                per_class: test.per_class.clone(),
                predictions_sha256: test.predictions_sha256(),
            },
            validation: summary.and_then(|summary| summary.validation),
            confidence: None,
            corruptions: None,
            network: NetworkInfo {
                parameters: self.network.parameter_count() as u64,
                macs: self.network.macs(),
            },
            onnx: OnnxInfo { opset: onnx::OPSET, ir_version: onnx::IR_VERSION, is_annotated: true },
            training: summary
                .map(|summary| TrainingInfo { chosen_by, ..training_info(recipe, summary, rows) }),
            origin,
            self_check: SelfCheckInfo {
                golden_images: golden.shape[0] as u64,
                tolerance: TOLERANCE,
                identical_predictions: zoo::Count { correct: all, total: all },
            },
            tools: BTreeMap::from([
                (
                    "libtorch".into(),
                    summary
                        .map_or_else(|| crate::LIBTORCH_VERSION.into(), |summary| summary.libtorch.clone()),
                ),
                ("trainer".into(), env!("CARGO_PKG_VERSION").into()),
            ]),
            files: BTreeMap::new(),
        }
    }
}

fn training_info(recipe: &RecipeFile, summary: &RunSummary, rows: &[EpochRow]) -> TrainingInfo {
    let profile = &recipe.recipe.numeric_profile;
    TrainingInfo {
        recipe_sha256: recipe.sha256(),
        seed: recipe.recipe.seed,
        epochs: summary.epochs,
        selected_epoch: summary.selected_epoch,
        parameters_sha256: summary.parameters_sha256,
        epochs_sha256: rows.iter().map(|row| row.parameters_sha256).collect(),
        numeric_profile: NumericProfileInfo {
            threads: profile.threads,
            isa: profile.isa.name().into(),
            in_force: summary.numeric_profile_in_force,
        },
        fingerprint: summary.fingerprint,
        cpu: summary.cpu.clone(),
        chosen_by: Vec::new(),
    }
}

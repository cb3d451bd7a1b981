//! Whether a version's files fit together: manifest and recipe, history and weights, weights and network.

use std::collections::BTreeMap;

use datasets::{Dataset, Digest, yaml};
use serde::Deserialize;
use zoo::{Manifest, TrainingInfo, VersionDir};

use super::{Outcome, weights};
use crate::network::Description;

/// Collects what does not hold.
#[derive(Default)]
pub(super) struct Differences(Vec<String>);

impl Differences {
    /// Notes that `field` is not what it was expected to be.
    pub(super) fn expect<T: PartialEq + std::fmt::Debug>(&mut self, field: &str, claimed: T, found: T) {
        if claimed != found {
            self.0.push(format!("{field}: {claimed:?}, expected {found:?}"));
        }
    }

    pub(super) fn note(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    pub(super) fn outcome(self, good: impl Into<String>) -> Outcome {
        if self.0.is_empty() { Ok(good.into()) } else { Err(self.0.join("; ")) }
    }
}

/// What a manifest repeats of the recipe; `trainer` reads the rest.
#[derive(Deserialize)]
struct Recipe {
    name: String,
    description: String,
    dataset: String,
    seed: u64,
    epochs: u32,
    /// What a recipe leaves out, `trainer` has its own values for.
    numeric_profile: Option<NumericProfile>,
    split: Option<Split>,
    network: Vec<weights::Layer>,
    output: Option<Output>,
}

#[derive(Deserialize)]
struct Output {
    /// Views over which logits are averaged.
    #[serde(default)]
    average: Vec<String>,
}

#[derive(Deserialize)]
struct NumericProfile {
    threads: Option<u32>,
    isa: Option<String>,
}

#[derive(Deserialize)]
struct Split {
    validation: Option<u64>,
}

fn text(version: &VersionDir, file: &str) -> std::result::Result<String, String> {
    let bytes = version.read(file).map_err(|e| e.to_string())?;
    String::from_utf8(bytes).map_err(|e| format!("{file}: {e}"))
}

/// The recipe has the hash that the manifest names and says what the manifest repeats of it.
pub(super) fn check_recipe(version: &VersionDir) -> Outcome {
    let manifest = &version.manifest;
    let text = text(version, RECIPE)?;
    let recipe = parse_recipe(version, &text)?;
    let mut differences = Differences::default();
    let found = Digest::of(text.as_bytes());
    differences.expect("recipe_sha256", manifest.recipe_sha256(), Some(found));
    differences.expect("name", &manifest.name, &recipe.name);
    differences.expect("description", &manifest.description, &recipe.description);
    differences.expect("dataset.name", &manifest.dataset.name, &recipe.dataset);
    if let Some(training) = &manifest.training {
        compare_training(manifest, training, recipe, &mut differences);
    }
    differences.outcome(format!("sha256 {found}"))
}

fn compare_training(
    manifest: &Manifest,
    training: &TrainingInfo,
    recipe: Recipe,
    differences: &mut Differences,
) {
    differences.expect("training.seed", training.seed, recipe.seed);
    let profile = &training.numeric_profile;
    if let Some(asked) = &recipe.numeric_profile {
        let asked_threads = asked.threads.unwrap_or(profile.threads);
        differences.expect("training.numeric_profile.threads", profile.threads, asked_threads);
        let isa = asked.isa.as_ref().unwrap_or(&profile.isa);
        differences.expect("training.numeric_profile.isa", &profile.isa, isa);
    }
    if training.epochs > recipe.epochs
        || training.selected_epoch > training.epochs
        || training.selected_epoch == 0
    {
        let (epochs, selected) = (training.epochs, training.selected_epoch);
        differences
            .note(format!("training.epochs: {epochs} of {}, the {selected}th selected", recipe.epochs));
    }
    let images = manifest.validation.map_or(0, |count| count.total);
    if let Some(validation) = recipe.split.and_then(|split| split.validation) {
        differences.expect("validation", images, validation);
    }
    if let Some(confidence) = &manifest.confidence {
        differences.expect("confidence.images", confidence.images, images);
    }
}

const RECIPE: &str = "recipe.yaml";

fn parse_recipe(version: &VersionDir, text: &str) -> std::result::Result<Recipe, String> {
    yaml::parse(text, &version.path.join(RECIPE)).map_err(|e| e.to_string())
}

/// The history has the manifest's chain of hashes and its result on validation images, and the chain ends in the
/// weights.
pub(super) fn check_history(version: &VersionDir, training: &TrainingInfo) -> Outcome {
    let text = text(version, "history.csv")?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        let place = header.iter().position(|other| *other == name);
        place.ok_or_else(|| format!("history.csv: without a column {name}"))
    };
    let (epoch, hash, validation) =
        (column("epoch")?, column("parameters_sha256")?, column("validation_accuracy")?);
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let cell = |row: &[&str], column: usize| row.get(column).copied().unwrap_or_default().to_owned();
    let mut differences = Differences::default();
    let chain: Vec<String> = training.epochs_sha256.iter().map(Digest::to_string).collect();
    let found: Vec<String> = rows.iter().map(|row| cell(row, hash)).collect();
    match chain.iter().zip(&found).position(|(claimed, found)| claimed != found) {
        Some(place) => differences.note(format!("training.epochs_sha256: epoch {} differs", place + 1)),
        None => differences.expect("training.epochs", chain.len(), found.len()),
    }
    if rows.iter().enumerate().any(|(index, row)| cell(row, epoch) != (index + 1).to_string()) {
        differences.note("history.csv: epochs are not 1, 2, 3 and so on");
    }
    let selected = (training.selected_epoch as usize).wrapping_sub(1);
    let last = training.epochs_sha256.get(selected);
    differences.expect("training.parameters_sha256", Some(&training.parameters_sha256), last);
    let found = rows.get(selected).and_then(|row| cell(row, validation).parse::<f64>().ok());
    if version.manifest.validation.is_none() && found.is_some() {
        differences.note("validation: absent, though the history has it");
    }
    if let Some(claimed) = version.manifest.validation {
        let is_same = found.is_some_and(|found| (found - claimed.share()).abs() < 1e-6);
        if !is_same {
            differences.note(format!("validation: {claimed}, expected {found:?} of the images"));
        }
    }
    differences.outcome(format!("{} epochs", rows.len()))
}

/// The ONNX file is of the versions, names and shapes that the manifest says.
pub(super) fn check_network(manifest: &Manifest, network: &Description, macs: u64) -> Outcome {
    let mut differences = Differences::default();
    differences.expect("onnx.opset", i64::from(manifest.onnx.opset), network.opset);
    differences.expect("onnx.ir_version", i64::from(manifest.onnx.ir_version), network.ir_version);
    differences.expect("input", &manifest.input, &network.input);
    differences.expect("output", &manifest.output, &network.output);
    differences.expect("network.macs", manifest.network.macs, macs);
    if !manifest.is_adopted() {
        differences.expect("onnx.annotated", manifest.onnx.is_annotated, network.is_annotated);
    } else {
        differences.expect("network.parameters", manifest.network.parameters, network.parameters);
    }
    // What trainer writes into the file too; files from elsewhere need not have it.
    if let Some(text) = network.metadata.get("labels") {
        match serde_json::from_str::<Vec<String>>(text) {
            Ok(found) => differences.expect("labels", &manifest.labels, &found),
            Err(error) => differences.note(format!("model.onnx: labels: {error}")),
        }
    }
    if let Some(found) = network.metadata.get("recipe_sha256") {
        let claimed = manifest.recipe_sha256().map(|sha256| sha256.to_string()).unwrap_or_default();
        differences.expect("recipe_sha256", &claimed, found);
    }
    for (field, claimed) in [("model", manifest.name.clone()), ("version", manifest.version.to_string())] {
        let found = network.metadata.get(field);
        differences.expect(field, &claimed, found.unwrap_or(&claimed));
    }
    if network.metadata.contains_key("model") {
        differences.expect("description", &manifest.description, &network.doc_string);
        differences.expect("version", i64::from(manifest.version), network.model_version);
        if let Some(trainer) = manifest.tools.get("trainer") {
            differences.expect("tools.trainer", trainer, &network.producer_version);
        }
    }
    differences.outcome(format!("opset {}, {macs} multiply-accumulates", network.opset))
}

/// The weights have the hash that the manifest names, the network has these weights, and the first layer is theirs.
pub(super) fn check_weights(
    version: &VersionDir,
    network: &Description,
    dataset: Option<&Dataset>,
) -> Outcome {
    let manifest = &version.manifest;
    let read = |file: &str| {
        let bytes = version.read(file).map_err(|e| e.to_string())?;
        weights::parse(&bytes).map_err(|problem| format!("{file}: {problem}"))
    };
    let whole = read("model.safetensors")?;
    let recipe = parse_recipe(version, &text(version, RECIPE)?)?;
    let layers = weights::layers(&recipe.network)?;
    let mut differences = Differences::default();
    let mut ordered = Vec::new();
    for name in layers.iter().flat_map(weights::Place::tensors).filter(|name| whole.contains_key(name)) {
        ordered.push(name);
    }
    differences.expect("tensors of model.safetensors that the recipe has", ordered.len(), whole.len());
    let values = ordered.iter().filter_map(|name| whole.get(name)).flat_map(|(_, values)| values);
    let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
    let hash = Digest::of(&bytes);
    differences.expect("parameters_sha256", manifest.parameters_sha256(), Some(hash));
    let trainable = whole.iter().filter(|(name, _)| !name.contains(".running_"));
    let parameters: usize = trainable.map(|(_, (_, values))| values.len()).sum();
    differences.expect("network.parameters", manifest.network.parameters, parameters as u64);

    let mut expected = weights::exported(&layers, &whole, manifest.labels.len());
    if let Some(dataset) = dataset {
        expected.extend(weights::normalisation(dataset));
    }
    let temperature = manifest.confidence.as_ref().map_or(1.0, |confidence| confidence.temperature);
    if temperature != 1.0 {
        let classes = manifest.labels.len();
        expected.insert("temperature.constant".into(), (vec![1, classes], vec![1.0 / temperature; classes]));
    }
    let views = recipe.output.map_or(0, |output| output.average.len());
    if views > 0 {
        let (classes, share) = (manifest.labels.len(), 1.0 / (1 + views) as f32);
        expected.insert("average.constant".into(), (vec![1, classes], vec![share; classes]));
    }
    compare(&network.constants, &expected, dataset.is_some(), &mut differences);

    let first = read("first_layer.safetensors")?;
    let differs = first.iter().find(|(name, tensor)| whole.get(*name) != Some(tensor)).map(|(name, _)| name);
    if let Some(name) = differs {
        differences.note(format!("first_layer.safetensors: {name} is not that of model.safetensors"));
    }
    if first.is_empty() {
        differences.note("first_layer.safetensors: no tensor");
    }
    differences.outcome(format!("{parameters} parameters, sha256 {hash}"))
}

/// The network's constants are those that these weights give; `all` if none may be left out.
fn compare(
    found: &BTreeMap<String, weights::Tensor>,
    expected: &BTreeMap<String, weights::Tensor>,
    all: bool,
    differences: &mut Differences,
) {
    for (name, tensor) in expected {
        match found.get(name) {
            // A normalisation's constants have a shape that fits what they are multiplied with.
            Some(found) if found.1 == tensor.1 && (found.0 == tensor.0 || name.ends_with("constant")) => {}
            Some(_) => differences.note(format!("model.onnx: {name} is not that of model.safetensors")),
            None => differences.note(format!("model.onnx: without {name}")),
        }
    }
    let own = |name: &&String| all || !["scale.constant", "shift.constant"].contains(&name.as_str());
    if let Some(name) = found.keys().filter(own).find(|name| !expected.contains_key(*name)) {
        differences.note(format!("model.onnx: {name} comes from no weight"));
    }
}

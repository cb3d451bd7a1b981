//! The model card: `README.md` of a version.

use std::fmt::Write;

use datasets::Description;
use datasets::markdown::{code, escaped, origin};
use zoo::{Count, Manifest, Origin, ValidationRun};

use super::drawings::Confusion;
use crate::network::Network;
use crate::table::table;

/// File name of the card.
pub(crate) const FILE: &str = "README.md";
/// File name of the learning curve.
pub(crate) const LEARNING_CURVE: &str = "learning_curve.svg";
/// File name of the drawing of the network.
pub(crate) const GRAPH: &str = "graph.svg";
/// File name of the confusion matrix.
pub(crate) const CONFUSION: &str = "confusion_matrix.svg";
/// File name of the reliability plot.
pub(crate) const RELIABILITY: &str = "reliability.svg";
/// File name of the plot of accuracy on damaged images.
pub(crate) const CORRUPTIONS: &str = "corruptions.svg";
/// File name of the first layer's filters.
pub(crate) const FILTERS: &str = "first_layer.png";

/// The card as Markdown.
pub(crate) fn write(
    manifest: &Manifest,
    network: &Network,
    data: &Description,
    confusion: &Confusion,
    has_filters: bool,
) -> String {
    let mut card = String::new();
    sections(&mut card, manifest, network, data, confusion, has_filters)
        .expect("writing into a string cannot fail");
    card
}

fn sections(
    out: &mut String,
    manifest: &Manifest,
    network: &Network,
    data: &Description,
    confusion: &Confusion,
    has_filters: bool,
) -> std::fmt::Result {
    let Manifest { name, version, test, .. } = manifest;
    let row = |what: &str, count: Count| format!("| {what} | {count} | {:.2} % |\n", 100.0 * count.share());
    writeln!(out, "# {name} {version}\n\n{}\n", escaped(&manifest.description))?;
    writeln!(out, "| images | right | accuracy |\n|---|---|---|")?;
    write!(out, "{}", row("test split", test.correct))?;
    if let Some(validation) = manifest.validation {
        write!(out, "{}", row("validation, held out of the training split", validation))?;
    }
    if let Some(training) = manifest.training.as_ref().filter(|training| !training.chosen_by.is_empty()) {
        write!(out, "\n{}", chosen_by(&training.chosen_by))?;
    }
    use_section(out, manifest, network)?;
    network_section(out, network)?;
    training_section(out, manifest)?;
    classes_section(out, manifest, confusion)?;
    if let Some(confidence) = &manifest.confidence {
        confidence_section(out, confidence)?;
    }
    if let Some(corruptions) = &manifest.corruptions {
        writeln!(
            out,
            "## Damaged images\n\n{:.2} % right on average over {} kinds of damage in five strengths, on all test images.\n\n\
             ![accuracy by damage and strength]({CORRUPTIONS})\n",
            100.0 * infer::corruptions::mean(corruptions),
            corruptions.len(),
        )?;
    }
    if has_filters {
        writeln!(out, "## First layer\n\n![the filters of the first layer]({FILTERS})\n")?;
    }
    writeln!(out, "## Data\n\n{}", origin(data))
}

fn use_section(out: &mut String, manifest: &Manifest, network: &Network) -> std::fmt::Result {
    let Manifest { name, version, .. } = manifest;
    writeln!(
        out,
        "\n## Use\n\n```\ninfer predict image.png --model {name}@{version}\ninfer verify {name}@{version}{}\n```\n",
        if manifest.training.is_some() {
            format!("\ntrainer reproduce {name}@{version}")
        } else {
            String::new()
        }
    )?;
    writeln!(
        out,
        "`model.onnx` takes `{}`, raw pixels 0 to 255, `{} {}`, and gives `{}`, `{} {}`; normalisation is inside. \
         `model.safetensors` has the weights under their state-dict names, `first_layer.safetensors` those of the first layer.\n",
        manifest.input.name,
        manifest.input.dtype,
        shape(&manifest.input.shape),
        manifest.output.name,
        manifest.output.dtype,
        shape(&manifest.output.shape),
    )?;
    if network.parameters().iter().any(|tensor| tensor.name.contains("batch_norm")) {
        writeln!(
            out,
            "In `model.onnx`, batch normalisation after a convolution or dense layer is folded into that layer: its `weight` \
             and `bias` have the names of those in `model.safetensors`, and other values.\n"
        )?;
    }
    Ok(())
}

fn network_section(out: &mut String, network: &Network) -> std::fmt::Result {
    writeln!(out, "## Network\n\n```\n{}```\n", table(network))?;
    writeln!(out, "As in `model.onnx`: [operators, shapes, parameters]({GRAPH}).\n")
}

fn classes_section(out: &mut String, manifest: &Manifest, confusion: &Confusion) -> std::fmt::Result {
    writeln!(
        out,
        "## Result by class\n\n| class | right | accuracy | most often taken for |\n|---|---|---|---|"
    )?;
    for (index, class) in manifest.test.per_class.iter().enumerate() {
        let mistake = most_frequent_mistake(confusion, index)
            .and_then(|(other, count)| Some(format!("{} ({count})", escaped(manifest.labels.get(other)?))))
            .unwrap_or_else(|| "-".into());
        writeln!(
            out,
            "| {} | {} | {:.2} % | {mistake} |",
            escaped(&class.label),
            class.correct,
            100.0 * class.correct.share()
        )?;
    }
    writeln!(out, "\n![confusion matrix]({CONFUSION})\n")
}

/// What the recipe was chosen by.
fn chosen_by(runs: &[ValidationRun]) -> String {
    let shares: Vec<f64> = runs.iter().map(|run| 100.0 * run.validation.share()).collect();
    let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    let (low, high) = shares
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &share| (low.min(share), high.max(share)));
    let seeds: Vec<String> = runs.iter().map(|run| run.seed.to_string()).collect();
    let images = runs.iter().map(|run| run.validation.total).max().unwrap_or(0);
    if let [seed] = seeds.as_slice() {
        return format!(
            "The recipe was chosen by a run with {images} images held out: {mean:.2} % right on them (seed {seed}).\n"
        );
    }
    format!(
        "The recipe was chosen by runs with {images} images held out: {mean:.2} % right on them ({low:.2} to {high:.2}; seeds {}).\n",
        seeds.join(", ")
    )
}

fn training_section(out: &mut String, manifest: &Manifest) -> std::fmt::Result {
    writeln!(out, "## Training\n")?;
    if let Some(Origin::Weights(weights)) = &manifest.origin {
        writeln!(
            out,
            "Not trained here: the weights are those of {} (sha256 `{}`), for the network of `recipe.yaml`. How they were \
             trained, and whether they saw the test split, is not known.\n",
            code(&weights.file),
            weights.sha256
        )?;
    }
    let Some(training) = &manifest.training else { return Ok(()) };
    writeln!(
        out,
        "![learning curve]({LEARNING_CURVE})\n\n\
         `recipe.yaml` determines everything; seed {}, the weights of epoch {} of {}, {} thread{}, {}. \
         `history.csv` has the losses, accuracies and a sha256 of the parameters for each epoch.\n",
        training.seed,
        training.selected_epoch,
        training.epochs,
        training.numeric_profile.threads,
        if training.numeric_profile.threads == 1 { "" } else { "s" },
        training.numeric_profile.isa,
    )
}

fn confidence_section(out: &mut String, confidence: &zoo::Confidence) -> std::fmt::Result {
    writeln!(
        out,
        "## How far to believe it\n\nFitted on {} validation images, counted on the test split. Logits are divided by \
         {:.4} inside the graph; expected calibration error {:.4}.\n\n![reliability]({RELIABILITY})\n",
        confidence.images, confidence.temperature, confidence.calibration_error,
    )?;
    writeln!(
        out,
        "| promised | sets that hold the truth | sets of one label | labels with at least |\n|---|---|---|---|"
    )?;
    for coverage in &confidence.coverage {
        writeln!(
            out,
            "| {:.1} % | {:.2} % | {:.2} % | {:.3} % |",
            100.0 * coverage.promised,
            100.0 * coverage.covered.share(),
            100.0 * coverage.single.share(),
            100.0 * coverage.threshold,
        )?;
    }
    let unlike = &confidence.unlike;
    writeln!(
        out,
        "\nAn image whose `-mean(ln p)` is below {:.3} is `unlike` the training images: {} of the test split are not.\n",
        unlike.threshold, unlike.accepted
    )
}

fn shape(dims: &[zoo::Dim]) -> String {
    let names: Vec<String> = dims
        .iter()
        .map(|dim| match dim {
            zoo::Dim::Fixed(length) => length.to_string(),
            zoo::Dim::Free(name) => name.clone(),
        })
        .collect();
    format!("[{}]", names.join(", "))
}

/// The class that `actual` is most often taken for, and how often.
fn most_frequent_mistake(confusion: &Confusion, actual: usize) -> Option<(usize, u64)> {
    let row = confusion.get(actual)?;
    let wrong =
        row.iter().copied().enumerate().filter(|&(predicted, count)| predicted != actual && count > 0);
    // Of equals the first: `max_by_key` takes the last, so go from the end.
    wrong.rev().max_by_key(|&(_, count)| count)
}

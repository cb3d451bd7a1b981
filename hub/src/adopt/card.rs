//! The card of an adopted version.

use std::fmt::Write;

use datasets::Dataset;
use datasets::markdown::{code, escaped, origin};
use zoo::{Manifest, Origin};

/// Characters of what the original says of itself that are shown.
const SHOWN: usize = 200;
/// Entries of it that are shown.
const MAX_ENTRIES: usize = 32;

/// The card as Markdown; `of_original` is what the original says of itself.
pub(super) fn write(manifest: &Manifest, dataset: &Dataset, of_original: &[(String, String)]) -> String {
    let mut card = String::new();
    sections(&mut card, manifest, dataset, of_original).expect("writing into a string cannot fail");
    card
}

fn sections(
    out: &mut String,
    manifest: &Manifest,
    dataset: &Dataset,
    of_original: &[(String, String)],
) -> std::fmt::Result {
    let Manifest { name, version, test, .. } = manifest;
    writeln!(out, "# {name} {version}\n\n{}\n", escaped(&manifest.description))?;
    writeln!(out, "| images | right | accuracy |\n|---|---|---|")?;
    writeln!(out, "| test split | {} | {:.2} % |", test.correct, 100.0 * test.correct.share())?;
    writeln!(
        out,
        "\n## Use\n\n```\ninfer predict image.png --model {name}@{version}\ninfer verify {name}@{version}\n```\n\n\
         `model.onnx` takes `image`, raw pixels 0 to 255, `uint8 [N, C, H, W]`, and gives `probabilities`.\n"
    )?;
    if let Some(Origin::Adopted(adopted)) = &manifest.origin {
        writeln!(
            out,
            "## Origin\n\nAdopted, not trained here: how it was trained, and whether it saw the test split, is not known. The \
             original is {}, sha256 `{}`{}.\n",
            code(&adopted.file),
            adopted.sha256,
            if adopted.producer.is_empty() {
                String::new()
            } else {
                format!(", made by {}", code(&adopted.producer))
            }
        )?;
        for change in &adopted.changes {
            writeln!(out, "- {}", escaped(change))?;
        }
        said(out, of_original)?;
        let golden = adopted.golden.as_deref();
        writeln!(
            out,
            "\nGolden data: {}.\n",
            golden.unwrap_or(
                "none that is independent of the runtime, so only its own results can be re-checked"
            )
        )?;
    }
    writeln!(
        out,
        "## Network\n\nopset {}, {} parameters, {} multiply-accumulates an image.\n\n![operators, shapes, parameters](graph.svg)\n",
        manifest.onnx.opset,
        zoo::grouped(manifest.network.parameters),
        zoo::grouped(manifest.network.macs)
    )?;
    writeln!(out, "## Result by class\n\n| class | right | accuracy |\n|---|---|---|")?;
    for class in &test.per_class {
        let label = escaped(&class.label);
        writeln!(out, "| {label} | {} | {:.2} % |", class.correct, 100.0 * class.correct.share())?;
    }
    writeln!(out, "\n## Data\n\n{}", origin(&dataset.description))
}

/// What the original says of itself; nobody has checked it.
fn said(out: &mut String, of_original: &[(String, String)]) -> std::fmt::Result {
    if of_original.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWhat the original says of itself, as `model.onnx` has it:\n")?;
    for (key, value) in of_original.iter().take(MAX_ENTRIES) {
        let [key, value] = [key, value].map(|text| match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{} ...", code(&text[..end])),
            None => code(text),
        });
        writeln!(out, "- {key}: {value}")?;
    }
    match of_original.len().saturating_sub(MAX_ENTRIES) {
        0 => Ok(()),
        more => writeln!(out, "- and {more} more"),
    }
}

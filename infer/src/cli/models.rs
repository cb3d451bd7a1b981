//! What is in a zoo: `list` and `show`.

use datasets::markdown::escaped;
use serde_json::json;
use terminal::ExitStatus;
use zoo::{Spec, VersionDir, Zoo};

use super::args::{ZooArgs, report};
use super::render;
use crate::error::{Error, Result};

/// Arguments of `show`.
#[derive(clap::Args)]
pub struct ShowArgs {
    /// NAME or NAME@VERSION.
    model: String,
    /// Also draw the network as SVG: operators, shapes, parameters.
    #[cfg(feature = "adopted")]
    #[arg(long)]
    graph: Option<std::path::PathBuf>,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// Prints every version of a zoo; those that cannot be read are told and make the status
/// [`ExitStatus::Usage`].
///
/// # Errors
/// If there is no zoo.
pub fn list(args: &ZooArgs) -> Result<ExitStatus> {
    let zoo = args.open()?;
    let header = ["model", "version", "dataset", "test accuracy", "parameters", "MACs"];
    let mut rows = vec![header.map(String::from).to_vec()];
    let mut entries = Vec::new();
    let mut status = ExitStatus::Success;
    let (models, unreadable) = zoo.models_and_unreadable()?;
    for name in unreadable {
        status = ExitStatus::Usage;
        terminal::error(&format_args!("models/{name}: cannot be listed"), None);
    }
    for (name, versions) in models {
        for version in versions {
            let opened = match zoo.version(&Spec::version(&name, version)) {
                Ok(opened) => opened.manifest,
                Err(error) => {
                    status = report(&error.into());
                    continue;
                }
            };
            rows.push(vec![
                name.clone(),
                version.to_string(),
                opened.dataset.name.clone(),
                format!("{:.2} % ({})", 100.0 * opened.test.correct.share(), opened.test.correct),
                opened.network.parameters.to_string(),
                opened.network.macs.to_string(),
            ]);
            entries.push(json!({
                "model": name,
                "version": version,
                "dataset": opened.dataset.name,
                "test_correct": opened.test.correct,
                "parameters": opened.network.parameters,
                "macs": opened.network.macs,
            }));
        }
    }
    if args.json {
        terminal::json(&entries);
    } else {
        terminal::print(render::columns(&rows));
    }
    Ok(status)
}

/// Prints a version's card, or its manifest as JSON.
///
/// # Errors
/// If there is no such version, or it is damaged.
pub fn show(args: &ShowArgs) -> Result<ExitStatus> {
    let spec: Spec = args.model.parse().map_err(Error::Usage)?;
    let zoo = args.zoo.open()?;
    let version = zoo.version(&spec)?;
    #[cfg(feature = "adopted")]
    if let Some(path) = &args.graph {
        let onnx = version.read(zoo::ONNX)?;
        let svg = crate::drawing::of(&onnx, version.manifest.image_shape());
        let svg = svg.map_err(|problem| Error::model(&version.path.join(zoo::ONNX), problem))?;
        zoo::write_output(path, svg.as_bytes())?;
    }
    if args.zoo.json {
        terminal::json(&version.manifest);
    } else {
        let card = version.read("README.md")?;
        terminal::line(String::from_utf8_lossy(&card).trim_end());
        terminal::print(reproductions(&zoo, &version)?);
    }
    Ok(ExitStatus::Success)
}

/// Who says to have retrained a version; empty if nobody does. It stands outside the card, which never
/// changes.
fn reproductions(zoo: &Zoo, version: &VersionDir) -> Result<String> {
    let mut reports = Vec::new();
    for report in zoo.reproductions(version)? {
        match report {
            Ok(report) => reports.push(report),
            Err(error) => terminal::log(format_args!("warning: a report is passed over: {error}")),
        }
    }
    if reports.is_empty() {
        return Ok(String::new());
    }
    let processors = zoo::signature::processors(&reports);
    let plural = if processors.len() == 1 { "" } else { "s" };
    let mut text = format!(
        "\n## Reproductions\n\nRetrained bit for bit on {} kind{plural} of processor, as reports say (their \
         signatures are not checked here).\n\n| outcome | epochs retrained | processor | key |\n|---|---|---|---|\n",
        processors.len()
    );
    // Anybody may have written a report.
    for report in &reports {
        let epochs = report.epochs_retrained.map_or("?".into(), |epochs| epochs.to_string());
        let key: String = report.key.chars().take(8).collect();
        let processor = escaped(report.processor.as_deref().unwrap_or("?"));
        text += &format!("| {} | {epochs} | {processor} | {} |\n", escaped(&report.test), escaped(&key));
    }
    Ok(text)
}

//! `zoo export`.

use std::path::PathBuf;

use clap::ValueEnum;
use datasets::Dataset;
use infer::cli::ZooArgs;
use serde_json::json;
use terminal::ExitStatus;
use zoo::{Spec, VersionDir};

use crate::error::{Error, Result};
use crate::export;

#[derive(clap::Args)]
pub(super) struct ExportArgs {
    /// Which form.
    form: Form,
    /// Where to.
    dir: PathBuf,
    /// NAME or NAME@VERSION; the newest version of every model if none is given.
    models: Vec<String>,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// A hub's form.
#[derive(Clone, Copy, ValueEnum)]
enum Form {
    /// Hugging Face: a folder for each model with a card, safetensors, config and ONNX file.
    Hf,
    /// CycloneDX 1.6: a bill of materials for each model, with its card and the hashes of files and data.
    Bom,
    /// PyTorch: a folder for each model with a readable model.py and the weights that it loads.
    Torch,
    /// `ONNX_HUB_MANIFEST.json`, with paths from the folder in which it is.
    OnnxHub,
}

/// Writes what other hubs read, and prints the names of the files.
pub(super) fn export(args: &ExportArgs) -> Result<ExitStatus> {
    let zoo = args.zoo.open()?;
    let specs: Vec<Spec> = if args.models.is_empty() {
        zoo.models()?.into_iter().map(|(name, _)| Spec::latest(name)).collect()
    } else {
        args.models.iter().map(|model| model.parse().map_err(Error::Usage)).collect::<Result<_>>()?
    };
    let versions = specs.iter().map(|spec| Ok(zoo.version(spec)?)).collect::<Result<Vec<_>>>()?;
    let mut written = Vec::new();
    match args.form {
        Form::Torch => {
            one_of_each(&versions)?;
            for version in &versions {
                written.extend(export::torch(version, &args.dir.join(&version.manifest.name))?);
            }
        }
        Form::Hf => {
            one_of_each(&versions)?;
            for version in &versions {
                written.extend(export::hugging_face(version, &args.dir.join(&version.manifest.name))?);
            }
        }
        Form::Bom => {
            std::fs::create_dir_all(&args.dir).map_err(Error::io(&args.dir))?;
            let datasets = zoo.datasets(None);
            for version in &versions {
                let name = &version.manifest.dataset.name;
                let dataset = match Dataset::find(&datasets, name) {
                    Ok(dataset) => Some(dataset),
                    Err(error @ datasets::Error::Missing { .. }) => {
                        terminal::log(format_args!(
                            "the bill lacks the licence and title of the data: {error}"
                        ));
                        None
                    }
                    Err(error) => return Err(error.into()),
                };
                written.push(export::bom(version, dataset.as_ref(), &args.dir)?);
            }
        }
        Form::OnnxHub => written.push(export::onnx_hub(&versions, &args.dir)?),
    }
    if args.zoo.json {
        // A name that is not UTF-8 has no other form in JSON.
        let files: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        terminal::json(&json!({ "files": files }));
    } else {
        written.iter().for_each(|path| terminal::line(path.display()));
    }
    Ok(ExitStatus::Success)
}

/// Each model has one folder.
fn one_of_each(versions: &[VersionDir]) -> Result<()> {
    let mut names: Vec<&str> = versions.iter().map(|version| &*version.manifest.name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => {
            let problem = "named twice; each model has one folder, expected one version of it";
            Err(Error::Usage(format!("{}: {problem}", twice[0])))
        }
        None => Ok(()),
    }
}

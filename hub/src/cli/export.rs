//! `zoo export`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use datasets::Dataset;
use infer::cli::ZooArgs;
use serde_json::json;
use terminal::ExitStatus;
use zoo::{DatasetInfo, Spec, VersionDir, Zoo};

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
    zoo::refuse_published(&args.dir)?;
    let versions = versions(args, &zoo)?;
    // What is damaged is found before anything is written.
    versions.iter().try_for_each(VersionDir::check)?;
    let written = match args.form {
        Form::Torch => folders(args, &versions, export::torch)?,
        Form::Hf => folders(args, &versions, export::hugging_face)?,
        Form::Bom => {
            std::fs::create_dir_all(&args.dir).map_err(Error::io(&args.dir))?;
            let datasets = zoo.datasets(None);
            let bill = |version| export::bom(version, dataset_of(version, &datasets)?.as_ref(), &args.dir);
            versions.iter().map(bill).collect::<Result<_>>()?
        }
        Form::OnnxHub => vec![export::onnx_hub(&versions, &args.dir)?],
    };
    if args.zoo.json {
        // A name that is not UTF-8 has no other form in JSON.
        let files: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        terminal::json(&json!({ "files": files }));
    } else {
        written.iter().for_each(|path| terminal::line(path.display()));
    }
    Ok(ExitStatus::Success)
}

/// The versions that are named, each once, or the newest of every model that has this form.
fn versions(args: &ExportArgs, zoo: &Zoo) -> Result<Vec<VersionDir>> {
    let open = |spec: &Spec| Ok(zoo.version(spec)?);
    if !args.models.is_empty() {
        let specs: Vec<Spec> =
            args.models.iter().map(|model| model.parse().map_err(Error::Usage)).collect::<Result<_>>()?;
        let versions = specs.iter().map(open).collect::<Result<Vec<_>>>()?;
        once_each(&versions, args.form)?;
        return Ok(versions);
    }
    let (models, unreadable) = zoo.models_and_unreadable()?;
    if let Some(name) = unreadable.first() {
        return Err(Error::Usage(format!("{}: cannot be listed", zoo.models_dir().join(name).display())));
    }
    let mut versions =
        models.into_iter().map(|(name, _)| open(&Spec::latest(name))).collect::<Result<Vec<_>>>()?;
    if matches!(args.form, Form::Torch) {
        versions.retain(|version| {
            let manifest = &version.manifest;
            let has_recipe = manifest.recipe_sha256().is_some();
            if !has_recipe {
                let (name, number) = (&manifest.name, manifest.version);
                terminal::log(format_args!("{name}@{number} left out: it has no recipe to make a module of"));
            }
            has_recipe
        });
    }
    Ok(versions)
}

/// A folder for each version.
fn folders(
    args: &ExportArgs,
    versions: &[VersionDir],
    write: fn(&VersionDir, &Path) -> Result<Vec<PathBuf>>,
) -> Result<Vec<PathBuf>> {
    let each = versions.iter().map(|version| write(version, &args.dir.join(&version.manifest.name)));
    Ok(each.collect::<Result<Vec<_>>>()?.concat())
}

/// The dataset of a version, for its licence and title; `None`, and said, if it is not here, or another one has its name.
fn dataset_of(version: &VersionDir, folder: &Path) -> Result<Option<Dataset>> {
    let claimed = &version.manifest.dataset;
    let lacks = |why: &dyn std::fmt::Display| {
        terminal::log(format_args!("the bill lacks the licence and title of the data: {why}"));
    };
    match Dataset::find(folder, &claimed.name) {
        Ok(dataset) if DatasetInfo::of(&dataset) == *claimed => Ok(Some(dataset)),
        Ok(dataset) => {
            lacks(&format_args!(
                "{}: its files have other hashes than those of the version",
                dataset.dir.display()
            ));
            Ok(None)
        }
        Err(error @ datasets::Error::Missing { .. }) => {
            lacks(&error);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Each version is named once; where each model has one folder, each model.
fn once_each(versions: &[VersionDir], form: Form) -> Result<()> {
    let has_folders = matches!(form, Form::Torch | Form::Hf);
    let mut names: Vec<(&str, u32)> = versions
        .iter()
        .map(|version| (&*version.manifest.name, if has_folders { 0 } else { version.manifest.version }))
        .collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some([(name, _), _]) if has_folders => {
            let problem = "named twice; each model has one folder, expected one version of it";
            Err(Error::Usage(format!("{name}: {problem}")))
        }
        Some(twice) => {
            let (name, version) = twice[0];
            Err(Error::Usage(format!("{name}@{version}: named twice, expected once")))
        }
        None => Ok(()),
    }
}

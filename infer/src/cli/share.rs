//! Models for other hubs: `infer push`, `pull`, `export`.

use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use infer::{Error, Result, export};
use serde_json::json;
use zoo::{Spec, Zoo};

use super::{ZooArgs, print_json};

/// A hub's form.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Form {
    /// Hugging Face: a folder for each model with a card, safetensors, config and ONNX file.
    Hf,
    /// `ONNX_HUB_MANIFEST.json`, with paths from the folder in which it is.
    OnnxHub,
}

/// How to reach a registry.
#[cfg(feature = "registry")]
#[derive(clap::Args)]
pub(super) struct RegistryArgs {
    /// Speak HTTP instead of HTTPS.
    #[arg(long)]
    plain_http: bool,
    /// User's name.
    #[arg(long, env = "INFER_REGISTRY_USER")]
    user: Option<String>,
    /// The environment variable that holds the password.
    #[arg(long, default_value = "INFER_REGISTRY_PASSWORD")]
    password_variable: String,
}

#[cfg(feature = "registry")]
impl RegistryArgs {
    fn registry(&self) -> Result<infer::oci::Registry> {
        let Some(user) = &self.user else { return infer::oci::Registry::new(self.plain_http, None) };
        let password = std::env::var(&self.password_variable);
        let password = password
            .map_err(|e| Error::Usage(format!("environment variable {}: {e}", self.password_variable)))?;
        infer::oci::Registry::new(self.plain_http, Some((user.clone(), password)))
    }
}

#[cfg(feature = "registry")]
pub(super) fn push(
    model: &str,
    reference: &str,
    registry: &RegistryArgs,
    args: &ZooArgs,
) -> Result<ExitCode> {
    let version = Zoo::open(args.path())?.version(&model.parse().map_err(Error::Usage)?)?;
    let pushed = registry.registry()?.push(&version, reference)?;
    if args.json {
        print_json(&json!({ "reference": pushed.reference, "digest": pushed.digest }));
    } else {
        println!("{} {}", pushed.reference, pushed.digest);
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "registry")]
pub(super) fn pull(reference: &str, registry: &RegistryArgs, args: &ZooArgs) -> Result<ExitCode> {
    let zoo = Zoo::create(args.path())?;
    let version = registry.registry()?.pull(reference, &zoo)?;
    let (name, number) = (&version.manifest.name, version.manifest.version);
    if args.json {
        print_json(&json!({ "model": name, "version": number, "path": version.path }));
    } else {
        println!("{name}@{number} {}", version.path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes what other hubs read, and prints the names of the files.
pub(super) fn export(form: Form, dir: &Path, models: &[String], args: &ZooArgs) -> Result<ExitCode> {
    let zoo = Zoo::open(args.path())?;
    let specs: Vec<Spec> = if models.is_empty() {
        zoo.models()?.into_iter().map(|(name, _)| Spec::latest(name)).collect()
    } else {
        models.iter().map(|model| model.parse().map_err(Error::Usage)).collect::<Result<_>>()?
    };
    let versions = specs.iter().map(|spec| Ok(zoo.version(spec)?)).collect::<Result<Vec<_>>>()?;
    let mut written = Vec::new();
    match form {
        Form::Hf => {
            let mut names: Vec<&str> = versions.iter().map(|version| &*version.manifest.name).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                let problem = "named twice; each model has one folder, expected one version of it";
                return Err(Error::Usage(format!("{}: {problem}", twice[0])));
            }
            for version in &versions {
                written.extend(export::hugging_face(version, &dir.join(&version.manifest.name))?);
            }
        }
        Form::OnnxHub => written.push(export::onnx_hub(&versions, dir)?),
    }
    if args.json {
        print_json(&json!({ "files": written }));
    } else {
        for path in written {
            println!("{}", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

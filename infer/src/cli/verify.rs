//! `verify`.

use std::path::PathBuf;

use serde_json::json;
use terminal::ExitStatus;
use zoo::Spec;
use zoo::signature::Policy;

use super::args::{ZooArgs, read_public_key};
use super::render;
use crate::error::{Error, Result};
use crate::verify::{FIELDS, Options, Proof, Report, verify_all, verify_zoo};

/// Arguments of `verify`.
#[derive(clap::Args)]
pub struct VerifyArgs {
    /// NAME or NAME@VERSION; all versions of all models if none is given.
    models: Vec<String>,
    /// Also check that this P-256 public key (PEM) signed every version.
    #[arg(long)]
    key: Option<PathBuf>,
    /// Folder of the datasets [default: `datasets` beside the zoo, else ./datasets].
    #[arg(long)]
    datasets: Option<PathBuf>,
    /// Also check that every version fulfils this policy (YAML): trusted keys, and how many must have retrained it.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// Say for each field of a manifest how it is held to the truth, and check nothing.
    #[arg(long, conflicts_with_all = ["models", "key", "policy", "corruptions", "datasets"])]
    fields: bool,
    /// Also measure anew how the versions bear damaged images, where they claim it: a minute for each.
    #[arg(long)]
    corruptions: bool,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// Re-checks what versions claim, and prints a line for each check.
///
/// # Errors
/// If there is no such zoo or version.
pub fn verify(args: &VerifyArgs) -> Result<ExitStatus> {
    if args.fields {
        if args.zoo.json {
            let field =
                |(path, proof, by): &(&str, Proof, &str)| json!({ "field": path, "proof": proof, "by": by });
            terminal::json(&FIELDS.iter().map(field).collect::<Vec<_>>());
        } else {
            terminal::print(render::fields(FIELDS));
        }
        return Ok(ExitStatus::Success);
    }
    let zoo = args.zoo.open()?;
    let key = args.key.as_deref().map(read_public_key).transpose()?;
    let specs: Vec<Spec> = if args.models.is_empty() {
        // What cannot be listed is told by the check of the zoo.
        let all = zoo.models()?.into_iter();
        all.flat_map(|(name, versions)| {
            versions.into_iter().map(move |version| Spec::version(&name, version))
        })
        .collect()
    } else {
        args.models.iter().map(|model| model.parse().map_err(Error::Usage)).collect::<Result<_>>()?
    };
    if specs.is_empty() && zoo.models_and_unreadable()?.1.is_empty() {
        let path = args.zoo.path().display();
        return Err(Error::Usage(format!("{path}: the zoo is empty; expected models to verify")));
    }
    // A mistyped folder is no failed check.
    if let Some(folder) = args.datasets.as_deref().filter(|folder| !folder.is_dir()) {
        return Err(Error::Usage(format!("--datasets {}: no such folder", folder.display())));
    }
    let datasets = zoo.datasets(args.datasets.as_deref());
    let policy = args.policy.as_deref().map(Policy::read).transpose()?;
    let options = Options {
        datasets: &datasets,
        key: key.as_ref(),
        policy: policy.as_ref(),
        corruptions: args.corruptions,
    };
    let mut reports = verify_all(&zoo, &specs, &options)?;
    if args.models.is_empty() {
        reports.push(verify_zoo(&zoo)?);
    }
    if args.zoo.json {
        terminal::json(&reports);
    } else {
        terminal::print(render::reports(&reports));
    }
    Ok(ExitStatus::of_check(reports.iter().all(Report::ok)))
}

//! `zoo sign`.

use std::path::PathBuf;

use infer::cli::ZooArgs;
use serde_json::json;
use terminal::ExitStatus;
use zoo::Spec;
use zoo::signature::{PrivateKey, SIGNED};

use crate::error::{Error, Result};

#[derive(clap::Args)]
pub(super) struct SignArgs {
    /// NAME or NAME@VERSION.
    model: String,
    /// P-256 private key, PEM (`openssl ecparam -name prime256v1 -genkey -noout -out key.pem`).
    #[arg(long)]
    key: PathBuf,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// Signs a version and prints the folder of its signatures.
pub(super) fn sign(args: &SignArgs) -> Result<ExitStatus> {
    let spec: Spec = args.model.parse().map_err(Error::Usage)?;
    let key = PrivateKey::from_pem(&datasets::yaml::read_text(&args.key)?)
        .map_err(|problem| Error::Usage(format!("{}: {problem}", args.key.display())))?;
    let zoo = args.zoo.open()?;
    let version = zoo.version(&spec)?;
    let own = key.public().hint();
    let earlier = zoo.attestations(&version)?.into_iter().flatten();
    let replaced: Vec<_> =
        earlier.filter(|other| other.key != own && SIGNED.contains(&other.file.as_str())).collect();
    let folder = zoo.sign(&version, &key)?;
    for other in replaced {
        terminal::log(format_args!("{} was signed with the key {}: replaced", other.file, other.key));
    }
    if args.zoo.json {
        let (name, number) = (&version.manifest.name, version.manifest.version);
        terminal::json(
            &json!({ "model": name, "version": number, "signatures": folder.display().to_string() }),
        );
    } else {
        terminal::line(folder.display());
    }
    Ok(ExitStatus::Success)
}

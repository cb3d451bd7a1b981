//! `zoo push` and `zoo pull`.

use infer::cli::ZooArgs;
use serde_json::json;
use terminal::ExitStatus;
use zoo::Zoo;

use crate::error::{Error, Result};
use crate::oci::Registry;

#[derive(clap::Args)]
pub(super) struct PushArgs {
    /// NAME or NAME@VERSION.
    model: String,
    /// HOST/REPOSITORY or HOST/REPOSITORY:TAG; the tag is the version's number if there is none.
    reference: String,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    zoo: ZooArgs,
}

#[derive(clap::Args)]
pub(super) struct PullArgs {
    /// HOST/REPOSITORY:TAG or HOST/REPOSITORY@DIGEST.
    reference: String,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// How to reach a registry.
#[derive(clap::Args)]
struct RegistryArgs {
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

impl RegistryArgs {
    fn registry(&self) -> Result<Registry> {
        let Some(user) = &self.user else { return Registry::new(self.plain_http, None) };
        let password = std::env::var(&self.password_variable);
        let password = password
            .map_err(|e| Error::Usage(format!("environment variable {}: {e}", self.password_variable)))?;
        Registry::new(self.plain_http, Some((user.clone(), password)))
    }
}

/// Copies a version into a registry and prints where it went.
pub(super) fn push(args: &PushArgs) -> Result<ExitStatus> {
    let version = args.zoo.open()?.version(&args.model.parse().map_err(Error::Usage)?)?;
    let pushed = args.registry.registry()?.push(&version, &args.reference)?;
    if args.zoo.json {
        terminal::json(&json!({ "reference": pushed.reference, "digest": pushed.digest }));
    } else {
        terminal::line(format_args!("{} {}", pushed.reference, pushed.digest));
    }
    Ok(ExitStatus::Success)
}

/// Copies a version into the zoo and prints where it is.
pub(super) fn pull(args: &PullArgs) -> Result<ExitStatus> {
    let registry = args.registry.registry()?;
    let version = registry.pull(&args.reference, &Zoo::create(args.zoo.path())?)?;
    let (name, number) = (&version.manifest.name, version.manifest.version);
    if args.zoo.json {
        terminal::json(
            &json!({ "model": name, "version": number, "path": version.path.display().to_string() }),
        );
    } else {
        terminal::line(format_args!("{name}@{number} {}", version.path.display()));
    }
    Ok(ExitStatus::Success)
}

//! `zoo push` and `zoo pull`.

use std::path::PathBuf;
use std::time::Duration;

use infer::cli::ZooArgs;
use serde_json::json;
use terminal::ExitStatus;
use zoo::Zoo;
use zoo::signature::Policy;

use crate::error::{Error, Result};
use crate::oci::{PullOptions, Pulled, Registry};

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
    /// Take only what fulfils this policy (YAML): trusted keys, and how many must have retrained it.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// Take a version that is older than the newest one here.
    #[arg(long)]
    allow_rollback: bool,
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
    #[arg(long, default_value = "INFER_REGISTRY_PASSWORD", requires = "user")]
    password_variable: String,
    /// Seconds that a registry may take for what is small; files may take longer, but no less than 20 kB a second.
    #[arg(long, default_value_t = 60.0)]
    timeout: f64,
}

impl RegistryArgs {
    fn registry(&self) -> Result<Registry> {
        let time = match self.timeout {
            0.1..=3600.0 => Duration::from_secs_f64(self.timeout),
            other => return Err(Error::Usage(format!("--timeout {other}: expected 0.1 to 3600 seconds"))),
        };
        // A variable that is there and empty is as none.
        if self.user.as_deref() == Some("") {
            terminal::log("the user's name is empty: without one");
        }
        let Some(user) = self.user.as_ref().filter(|user| !user.is_empty()) else {
            return Registry::new(self.plain_http, None, time);
        };
        let password = std::env::var(&self.password_variable);
        let password = password
            .map_err(|e| Error::Usage(format!("environment variable {}: {e}", self.password_variable)))?;
        Registry::new(self.plain_http, Some((user.clone(), password)), time)
    }
}

/// Copies a version into a registry and prints where it went.
pub(super) fn push(args: &PushArgs) -> Result<ExitStatus> {
    let zoo = args.zoo.open()?;
    let version = zoo.version(&args.model.parse().map_err(Error::Usage)?)?;
    let pushed = args.registry.registry()?.push(&zoo, &version, &args.reference)?;
    if args.zoo.json {
        terminal::json(&json!({
            "reference": pushed.reference,
            "digest": pushed.digest,
            "attestations": pushed.attestations,
        }));
    } else {
        terminal::line(format_args!("{} {}", pushed.reference, pushed.digest));
    }
    Ok(ExitStatus::Success)
}

/// Copies a version into the zoo and prints where it is.
pub(super) fn pull(args: &PullArgs) -> Result<ExitStatus> {
    let registry = args.registry.registry()?;
    let policy = args.policy.as_deref().map(Policy::read).transpose()?;
    let options = PullOptions { policy: policy.as_ref(), allow_rollback: args.allow_rollback };
    let Pulled { version, attestations, passed_over } =
        registry.pull(&args.reference, &Zoo::new(args.zoo.path()), &options)?;
    for problem in passed_over {
        terminal::log(format_args!("passed over: {problem}"));
    }
    let (name, number) = (&version.manifest.name, version.manifest.version);
    if args.zoo.json {
        terminal::json(&json!({
            "model": name,
            "version": number,
            "path": version.path.display().to_string(),
            "attestations": attestations,
        }));
    } else {
        terminal::line(format_args!("{name}@{number} {}", version.path.display()));
    }
    Ok(ExitStatus::Success)
}

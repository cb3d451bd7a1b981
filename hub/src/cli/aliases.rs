//! `zoo alias`.

use infer::cli::ZooArgs;
use terminal::ExitStatus;
use zoo::Spec;

use crate::error::{Error, Result};

#[derive(clap::Args)]
pub(super) struct AliasArgs {
    /// NAME or NAME@VERSION.
    model: String,
    /// The alias to set.
    alias: Option<String>,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// Sets an alias, or lists those of a model.
pub(super) fn alias(args: &AliasArgs) -> Result<ExitStatus> {
    let spec: Spec = args.model.parse().map_err(Error::Usage)?;
    let zoo = args.zoo.open()?;
    let entries = match &args.alias {
        Some(alias) => vec![zoo.set_alias(&spec, alias)?],
        None => zoo.alias_history()?.into_iter().filter(|entry| entry.model == spec.name).collect(),
    };
    if args.zoo.json {
        terminal::json(&entries);
    } else {
        for entry in entries {
            terminal::line(format_args!(
                "{}@{} -> {}@{}",
                entry.model, entry.alias, entry.model, entry.version
            ));
        }
    }
    Ok(ExitStatus::Success)
}

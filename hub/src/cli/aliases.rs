//! `zoo alias`.

use infer::cli::ZooArgs;
use terminal::ExitStatus;
use zoo::{Selector, Spec};

use crate::compare::{Side, is_worse};
use crate::error::{Error, Result};

#[derive(clap::Args)]
pub(super) struct AliasArgs {
    /// NAME or NAME@VERSION.
    model: String,
    /// The alias to set.
    alias: Option<String>,
    /// Set it only if the version is not significantly worse than this one on the test split: an alias, or a number. By
    /// McNemar's exact test at 5 %.
    #[arg(long, requires = "alias")]
    not_worse_than: Option<String>,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// Sets an alias, or lists those of a model.
pub(super) fn alias(args: &AliasArgs) -> Result<ExitStatus> {
    let spec: Spec = args.model.parse().map_err(Error::Usage)?;
    let zoo = args.zoo.open()?;
    if !zoo.models()?.iter().any(|(name, _)| *name == spec.name) {
        // The error says which there are.
        zoo.version(&Spec::latest(&spec.name))?;
    }
    // The version that is compared is the one that the alias gets, even if a newer one is published meanwhile.
    let spec = match &args.alias {
        Some(_) => Spec::version(&spec.name, zoo.version(&spec)?.manifest.version),
        None => spec,
    };
    if let (Some(alias), Some(previous)) = (&args.alias, &args.not_worse_than) {
        let previous: Spec = format!("{}@{previous}", spec.name).parse().map_err(Error::Usage)?;
        let (a, b) = (Side::version(&zoo, &previous)?, Side::version(&zoo, &spec)?);
        if let Some(found) = is_worse(&zoo, &a, &b)? {
            let problem = format!(
                "{alias} stays: {} is worse than {}; only {} of both are right on {} images, only the other on {}, p {:.4}",
                b.name, a.name, a.name, found.only_a, found.only_b, found.probability
            );
            if args.zoo.json {
                terminal::json(&serde_json::json!({ "refused": problem, "mcnemar": found }));
            }
            terminal::error(&problem, None);
            return Ok(ExitStatus::CheckFailed);
        }
    }
    if args.alias.is_none() && spec.selector != Selector::Latest {
        let problem = "without an alias to set; expected the model's name alone, whose aliases are listed";
        return Err(Error::Usage(format!("{spec}: {problem}")));
    }
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

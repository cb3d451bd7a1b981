//! `trainer reproduce`.

use std::path::{Path, PathBuf};

use terminal::ExitStatus;
use trainer::profile::{Isa, NumericProfile};
use trainer::reproduce::{self, Reproduction, Verdict};
use trainer::{Error, Result};

use super::common::{Common, open_version, options, read_key, whole_dataset};
use super::numeric_profile::enter_profile;
use crate::progress::TrainingBar;

#[derive(clap::Args)]
pub(super) struct ReproduceArgs {
    /// NAME or NAME@VERSION.
    model: String,
    /// Compare only the first epochs, for a check in minutes.
    #[arg(long)]
    epochs: Option<u32>,
    /// Compute under another instruction set than the recipe's, to see what that changes.
    #[arg(long, value_enum)]
    isa: Option<Isa>,
    /// Train in this folder and keep it; else in a temporary one.
    #[arg(long)]
    run: Option<PathBuf>,
    /// Go on from the checkpoint in the run folder.
    #[arg(long, requires = "run")]
    resume: bool,
    /// The zoo.
    #[arg(long, default_value = "zoo")]
    zoo: PathBuf,
    /// Sign the outcome with this P-256 private key (PEM), beside the version's signatures.
    #[arg(long)]
    key: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn command(args: &ReproduceArgs) -> Result<ExitStatus> {
    let key = args.key.as_deref().map(read_key).transpose()?;
    let (zoo, version) = open_version(&args.zoo, &args.model)?;
    let recipe = reproduce::published_recipe(&version)?;
    let profile = &recipe.recipe.numeric_profile;
    enter_profile(&NumericProfile { isa: args.isa.unwrap_or(profile.isa), ..profile.clone() })?;
    let dataset = whole_dataset(&args.common.datasets, &recipe.recipe.dataset)?;
    let temporary = tempfile::tempdir().map_err(Error::io(Path::new("temporary folder")))?;
    let run = args.run.clone().unwrap_or_else(|| temporary.path().join("run"));
    let options = options(args.resume, &args.common)?;
    let outcome =
        reproduce::reproduce(&version, &dataset, &run, args.epochs, &options, &mut TrainingBar::default())?;
    if let Some(key) = &key {
        let path = outcome.sign(&zoo, &version, key)?;
        terminal::log(format_args!("signed report: {}", path.display()));
    }
    if args.common.json {
        terminal::json(&outcome);
    } else {
        print(&outcome);
    }
    Ok(ExitStatus::of_check(outcome.verdict != Verdict::Different))
}

fn print(outcome: &Reproduction) {
    let Reproduction { model, epochs_compared, .. } = outcome;
    match outcome.verdict {
        Verdict::BitIdentical => {
            terminal::line(format_args!("{model}: bit-identical over {epochs_compared} epochs"))
        }
        Verdict::Equivalent => terminal::line(format_args!("{model}: equivalent, not bit-identical")),
        Verdict::Different => terminal::line(format_args!("{model}: different")),
    }
    if let Some(epoch) = outcome.first_different_epoch {
        terminal::line(format_args!("  first different epoch: {epoch} of {epochs_compared}"));
    }
    if let Some(difference) = &outcome.difference {
        terminal::line(format_args!("  max |delta| of a parameter: {:.3e}", difference.max_delta));
        terminal::line(format_args!("  test {} (published {})", difference.test, difference.published_test));
        terminal::line(format_args!("  same predictions: {}", difference.same_predictions));
    }
    if !outcome.numeric_profile_in_force {
        terminal::line(format_args!(
            "  not under the recipe's numeric profile (processor here: {})",
            outcome.cpu
        ));
    }
}

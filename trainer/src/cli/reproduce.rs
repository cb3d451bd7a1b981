//! `trainer reproduce`.

use std::path::{Path, PathBuf};

use terminal::ExitStatus;
use trainer::machine::Processor;
use trainer::profile::{Isa, NumericProfile};
use trainer::recipe::RecipeFile;
use trainer::reproduce::{self, Claim, FileComparison, Reproduction, Request, Start, Verdict};
use trainer::{Error, Result};

use super::common::{Common, open_version, options, read_key, whole_dataset};
use super::numeric_profile::enter_profile;
use crate::progress::TrainingBar;

#[derive(clap::Args)]
pub(super) struct ReproduceArgs {
    /// NAME or NAME@VERSION.
    model: String,
    /// Compare only the first epochs, for a check in minutes.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
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
    let trained_on = &reproduce::training(&version)?.cpu;
    let recipe = RecipeFile::of_version(&version)?;
    let profile = &recipe.recipe.numeric_profile;
    let here = Processor::detect();
    if !profile.isa.is_portable() && !trained_on.starts_with(&here.name) {
        terminal::log(format_args!(
            "note: numeric profile {profile} gives equal bytes on one kind of processor; published from {trained_on}, here is {here}"
        ));
    }
    enter_profile(&NumericProfile { isa: args.isa.unwrap_or(profile.isa), ..profile.clone() })?;
    let dataset = whole_dataset(&args.common.datasets, &recipe.recipe.dataset)?;
    let temporary = tempfile::tempdir().map_err(Error::io(Path::new("temporary folder")))?;
    let run = args.run.clone().unwrap_or_else(|| temporary.path().join("run"));
    let options = options(args.resume, &args.common, &args.zoo)?;
    let request = Request { run: &run, epochs: args.epochs, isa: args.isa };
    let outcome = reproduce::reproduce(&version, &dataset, &request, &options, &mut TrainingBar::default())?;
    // First of all: hours of training are in it, and signing may fail.
    if args.common.json {
        terminal::json(&outcome);
    } else {
        print(&outcome);
    }
    match &key {
        Some(key) if outcome.epochs_retrained > 0 => {
            let path = outcome.sign(&zoo, &version, key)?;
            terminal::log(format_args!("signed report: {}", path.display()));
        }
        Some(_) => terminal::log("nothing was retrained, so nothing was signed"),
        None => {}
    }
    Ok(ExitStatus::of_check(outcome.verdict.passed()))
}

fn print(outcome: &Reproduction) {
    let Reproduction { model, epochs, epochs_retrained, processor, .. } = outcome;
    let plural = |count: u32| if count == 1 { "epoch" } else { "epochs" };
    let verdict = match outcome.verdict {
        Verdict::BitIdentical => "bit-identical",
        Verdict::Equivalent => "equivalent, not bit-identical",
        Verdict::Different => "different",
        Verdict::Inconsistent => "inconsistent: its files contradict each other; nothing was trained",
        Verdict::OtherArithmetic => "cannot be retrained here to the same bytes; nothing was trained",
    };
    let retrained = match outcome.claim {
        Claim::Nothing => String::new(),
        Claim::Whole => format!(", all {epochs} {} retrained here", plural(*epochs)),
        Claim::FirstEpochs => format!(", the first {epochs_retrained} of {epochs} epochs retrained here"),
        Claim::Segment => {
            format!(", {epochs_retrained} of {epochs} epochs retrained here, from a checkpoint")
        }
    };
    terminal::line(format_args!("{model}: {verdict}{retrained}"));
    if let Some(Start { run, checkpoint_sha256, finished_epochs, .. }) = &outcome.start {
        terminal::line(format_args!(
            "  began after epoch {finished_epochs} from the checkpoint in {run}, sha256 {checkpoint_sha256}, which is believed"
        ));
    }
    for problem in &outcome.problems {
        terminal::line(format_args!("  {problem}"));
    }
    if let Some(epoch) = outcome.first_different_epoch {
        terminal::line(format_args!("  first different epoch: {epoch}"));
    }
    let same = outcome.files.iter().filter(|file| file.identical).count();
    if !outcome.files.is_empty() {
        terminal::line(format_args!("  files with the same bytes: {same} of {}", outcome.files.len()));
    }
    for FileComparison { file, .. } in outcome.files.iter().filter(|file| !file.identical) {
        terminal::line(format_args!("    {file}: other bytes"));
    }
    if let Some(difference) = &outcome.difference {
        terminal::line(format_args!("  max |delta| of a parameter: {:.3e}", difference.max_delta));
        terminal::line(format_args!("  test {} (published {})", difference.test, difference.published_test));
        terminal::line(format_args!("  same predictions: {}", difference.same_predictions));
    }
    if !outcome.numeric_profile_in_force && outcome.epochs_retrained > 0 {
        terminal::line("  not under the recipe's numeric profile");
    }
    let published = terminal::one_line(&outcome.published_processor);
    terminal::line(format_args!("  processor {processor}, published from {published}"));
}

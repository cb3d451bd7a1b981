//! `trainer audit`.

use std::path::{Path, PathBuf};

use datasets::Split;
use trainer::audit::{Audit, Request, audit, runs_folder};
use trainer::recipe::RecipeFile;
use trainer::{Result, starter};

use super::common::{Common, options, whole_dataset};
use super::init::minutes;
use super::numeric_profile::enter_profile;
use crate::progress::TrainingBar;

/// Issues that are printed; all are in the files.
const SHOWN: usize = 10;

#[derive(clap::Args)]
pub(super) struct AuditArgs {
    /// Name of the dataset.
    dataset: String,
    /// Recipe of the networks that judge [default: what `trainer init` makes for so many minutes].
    #[arg(long)]
    recipe: Option<PathBuf>,
    /// Parts of the training images, each judged by a network fitted to the others.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=50))]
    folds: u8,
    /// About how long all of it may take, on two cores; more finds more.
    #[arg(long, default_value_t = 4.0, value_parser = minutes, conflicts_with = "recipe")]
    minutes: f64,
    /// Folder of the results [default: audits/<dataset>].
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn command(args: &AuditArgs) -> Result<()> {
    let dataset = whole_dataset(&args.common.datasets, &args.dataset)?;
    let folds = usize::from(args.folds);
    let recipe = match &args.recipe {
        Some(path) => RecipeFile::read(path)?,
        None => {
            let samples = dataset.load(Split::Train)?;
            // Each network is fitted to all parts but one.
            let minutes = args.minutes / (folds as f64 - 1.0);
            let text = starter::recipe(&dataset.description, &samples, minutes);
            RecipeFile::parse(text, &dataset.dir)?
        }
    };
    enter_profile(&recipe.recipe.numeric_profile)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("audits").join(&args.dataset));
    let runs = runs_folder(&recipe, &dataset, folds);
    let request = Request { recipe: &recipe, folds, runs: &runs, out: &out };
    let found = audit(
        &request,
        &dataset,
        &options(true, &args.common, Path::new("zoo"))?,
        &mut TrainingBar::default(),
    )?;
    if args.common.json {
        terminal::json(&found);
    } else {
        print(&found);
    }
    Ok(())
}

fn print(found: &Audit) {
    let Audit { images, agreed, issues, path, .. } = found;
    terminal::line(format_args!(
        "{}: {} of {images} labels are probably wrong; networks that had not seen the images agree with {agreed} labels",
        found.dataset,
        issues.len()
    ));
    for issue in issues.iter().take(SHOWN) {
        let origin = issue.origin.as_deref();
        let origin = origin.map_or(String::new(), |origin| format!("  {}", terminal::one_line(origin)));
        terminal::line(format_args!(
            "no. {}: {}, or {}?  {:.4}{origin}",
            issue.index, issue.class, issue.suggested, issue.self_confidence
        ));
    }
    if issues.len() > SHOWN {
        terminal::line(format_args!("and {} more", issues.len() - SHOWN));
    }
    terminal::line(format_args!(
        "look at {}; trainer import --exclude or --relabel takes {}",
        path.join("report.html").display(),
        path.join("issues.csv").display()
    ));
}

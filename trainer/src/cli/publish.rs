//! `trainer publish`.

use std::path::{Path, PathBuf};

use datasets::Dataset;
use trainer::profile::NumericProfile;
use trainer::publish;
use trainer::recipe::{self, RecipeFile};
use trainer::run;
use trainer::{Error, Result};
use zoo::{VersionDir, Zoo};

use super::common::Common;
use super::numeric_profile::enter_profile;
use super::train::train_recipe;

#[derive(clap::Args)]
pub(super) struct PublishArgs {
    /// Recipes. One whose newest version was made by the same recipe from the same data is skipped.
    #[arg(required_unless_present = "run")]
    recipes: Vec<PathBuf>,
    /// Publish this finished run instead of training.
    #[arg(long, conflicts_with = "recipes")]
    run: Option<PathBuf>,
    /// Publish these weights (safetensors), trained elsewhere for the recipe's network, instead of training.
    #[arg(long, conflicts_with_all = ["run", "again"], requires = "recipes")]
    weights: Option<PathBuf>,
    /// A YAML file that leads from names of the recipe's tensors (`conv1.weight`) to those in the weights.
    #[arg(long, requires = "weights")]
    names: Option<PathBuf>,
    /// A folder of runs: those of the same recipe with other seeds or with images held out are named in the manifest, as
    /// what the recipe was chosen by.
    #[arg(long, conflicts_with = "weights")]
    chosen_by: Option<PathBuf>,
    /// Publish a new version even if the newest one is by the same recipe.
    #[arg(long)]
    again: bool,
    /// The zoo.
    #[arg(long, default_value = "zoo")]
    zoo: PathBuf,
    #[command(flatten)]
    common: Common,
}

pub(super) fn publish_command(args: &PublishArgs) -> Result<()> {
    let runs: Vec<PathBuf> = args.run.iter().cloned().collect();
    let from_runs = runs.iter().map(|run| (run.join(recipe::FILE), Some(run.clone())));
    let from_recipes = args.recipes.iter().map(|recipe| (recipe.clone(), None));
    let jobs = from_runs
        .chain(from_recipes)
        .map(|(path, run)| Ok((RecipeFile::read(&path)?, run)))
        .collect::<Result<Vec<_>>>()?;
    let profiles: Vec<&NumericProfile> =
        jobs.iter().map(|(recipe, _)| &recipe.recipe.numeric_profile).collect();
    if let Some(profile) = profiles.first() {
        if profiles.iter().any(|other| other != profile) {
            let problem = "the recipes have different numeric profiles; publish them one by one";
            return Err(Error::run(Path::new("numeric_profile"), problem));
        }
        enter_profile(profile)?;
    }
    if args.weights.is_some() && jobs.len() != 1 {
        return Err(Error::run(Path::new("--weights"), format!("for {} recipes, expected one", jobs.len())));
    }
    let zoo = Zoo::new(&args.zoo);
    let mut published = Vec::new();
    let outcome = jobs.iter().try_for_each(|(recipe, run)| {
        published.push(publish_one(recipe, run.as_deref(), &zoo, args)?);
        Ok(())
    });
    // Those that were published before one failed, too.
    if args.common.json && (outcome.is_ok() || !published.is_empty()) {
        terminal::json(&published);
    }
    outcome
}

fn publish_one(
    recipe: &RecipeFile,
    run: Option<&Path>,
    zoo: &Zoo,
    args: &PublishArgs,
) -> Result<serde_json::Value> {
    let dataset = Dataset::find(&args.common.datasets, &recipe.recipe.dataset)?;
    let skips = !args.again && args.weights.is_none();
    let existing = publish::already_published(zoo, recipe, &dataset)?.filter(|_| skips);
    let new = existing.is_none();
    if new {
        // Before hours of training are.
        zoo.check_writable()?;
        if let Some(runs) = &args.chosen_by {
            std::fs::read_dir(runs).map_err(Error::io(runs))?;
        }
    }
    let version = match (existing, &args.weights) {
        (Some(version), _) => version,
        (None, Some(weights)) => publish_weights(recipe, weights, args.names.as_deref(), &dataset, zoo)?,
        (None, None) => publish_recipe(recipe, run, &dataset, zoo, args)?,
    };
    let manifest = &version.manifest;
    if !args.common.json {
        let share = 100.0 * manifest.test.correct.share();
        let verb = if new { "published" } else { "already published by this recipe:" };
        terminal::line(format_args!(
            "{verb} {}@{}  test {} = {share:.2} %  {}",
            manifest.name,
            manifest.version,
            manifest.test.correct,
            version.path.display()
        ));
    }
    Ok(serde_json::json!({ "new": new, "path": version.path.display().to_string(), "manifest": manifest }))
}

fn publish_weights(
    recipe: &RecipeFile,
    weights: &Path,
    names: Option<&Path>,
    dataset: &Dataset,
    zoo: &Zoo,
) -> Result<VersionDir> {
    let read = |path: &Path| {
        let text = datasets::yaml::read_text(path)?;
        datasets::yaml::check_values(&text, path)?;
        datasets::yaml::parse(&text, path)
    };
    let names = names.map(read).transpose()?.unwrap_or_default();
    if recipe.recipe.promises_confidence() {
        terminal::log(
            "note: nothing is calibrated, since the weights may have been trained on the validation images",
        );
    }
    publish::publish_weights(recipe.clone(), weights, &names, dataset, zoo)
}

fn publish_recipe(
    recipe: &RecipeFile,
    run: Option<&Path>,
    dataset: &Dataset,
    zoo: &Zoo,
    args: &PublishArgs,
) -> Result<VersionDir> {
    let path = run.map_or_else(|| run::default_path(recipe), Path::to_owned);
    if run.is_none() {
        if let Some(refusal) = publish::refusal(recipe, dataset)? {
            return Err(refusal.into());
        }
        train_recipe(recipe, &path, true, None, (&args.common, &args.zoo))?;
    }
    publish::publish(&path, args.chosen_by.as_deref(), dataset, zoo)
}

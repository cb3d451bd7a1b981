//! The runs that a recipe was chosen by.

use std::path::{Path, PathBuf};

use zoo::ValidationRun;

use crate::error::{Error, Result};
use crate::recipe::{self, Recipe, RecipeFile};
use crate::run::{self, RunSummary};

/// Every finished run in a folder of runs that held images out, had the same data and differs from `recipe` by seed and
/// split at most, ascending by seed. All that are there: who publishes cannot leave out the ones that came out badly.
///
/// # Errors
/// [`Error::Run`] if there is none, or if any finished run in the folder is damaged: it may be one of them.
pub(super) fn runs(recipe: &RecipeFile, summary: &RunSummary, folder: &Path) -> Result<Vec<ValidationRun>> {
    let mut found = Vec::new();
    for path in folders(folder)? {
        let (recipe_path, summary_path) = (path.join(recipe::FILE), path.join(run::SUMMARY));
        if !summary_path.exists() {
            continue;
        }
        let other = RecipeFile::read(&recipe_path)?;
        let run = run::read_summary(&summary_path)?;
        if run.recipe_sha256 != other.sha256() {
            let problem = format!("recipe sha256 {}, expected {}", other.sha256(), run.recipe_sha256);
            return Err(Error::run(&recipe_path, problem));
        }
        if asked(&other.recipe) != asked(&recipe.recipe) {
            continue;
        }
        if let Some(validation) = run.validation.filter(|_| run.data_sha256 == summary.data_sha256) {
            let seed = other.recipe.seed;
            found.push(ValidationRun { seed, validation, parameters_sha256: run.parameters_sha256 });
        }
    }
    if found.is_empty() {
        let problem = "no finished run of this recipe with validation images; expected some, with other seeds or another split";
        return Err(Error::run(folder, problem));
    }
    found.sort_by_key(|run| (run.seed, run.validation.total, run.parameters_sha256.to_string()));
    Ok(found)
}

/// What a recipe asks for, but for seed, split, texts for people, and the threads of the portable profiles, which change
/// the rounding of sums at most.
fn asked(recipe: &Recipe) -> Recipe {
    let mut asked = recipe.clone();
    asked.name.clear();
    asked.description.clear();
    (asked.seed, asked.split) = (0, recipe::Split { validation: 0, train: None });
    if asked.numeric_profile.isa.is_portable() {
        asked.numeric_profile.threads = 1;
    }
    // What is measured after training.
    (asked.output.confidence, asked.output.corruptions) = (false, false);
    asked
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

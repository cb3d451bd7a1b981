//! A study as a Slurm job array: Slurm schedules, we do not.

use std::path::{Path, PathBuf};

use super::execute::write_recipe;
use super::file::StudyFile;
use super::plan::Plan;
use super::results;
use crate::error::{Error, Result};

/// Most tasks of one array: Slurm's default `MaxArraySize` is 1001. Each then trains several runs.
const MAX_TASKS: usize = 1000;

/// Writes `<dir>/slurm.sh` and the recipes of every run that is not finished. To be submitted
/// with `sbatch` from the folder in which it was written, shared by all nodes.
///
/// # Errors
/// [`Error::Study`] if nothing is left to train, or the files cannot be written.
pub fn write_job(
    file: &StudyFile,
    plan: &Plan,
    dir: &Path,
    trainer: &Path,
    datasets: &Path,
) -> Result<PathBuf> {
    let mut lines = Vec::new();
    for trial in plan.trials() {
        if !results::is_finished(trial)? {
            lines.push(format!("{}\t{}\n", write_recipe(dir, trial)?.display(), trial.run.display()));
        }
    }
    if lines.is_empty() {
        return Err(Error::Study("every run is finished; nothing to plan".into()));
    }
    let list = dir.join("slurm-runs.txt");
    zoo::write_atomic(&list, lines.concat().as_bytes())?;
    let tasks = lines.len().min(MAX_TASKS);
    let script = format!(
        "#!/bin/bash\n\
         #SBATCH --job-name={name}\n\
         #SBATCH --array=0-{last}\n\
         #SBATCH --cpus-per-task={threads}\n\
         #SBATCH --output={dir}/slurm-%a.log\n\
         set -euo pipefail\n\
         # Each line: recipe, run folder. Task t trains lines t, t + {tasks}, ...\n\
         mapfile -t runs < {list}\n\
         for ((i = SLURM_ARRAY_TASK_ID; i < ${{#runs[@]}}; i += {tasks})); do\n\
         \x20   IFS=$'\\t' read -r recipe run <<< \"${{runs[i]}}\"\n\
         \x20   {trainer} train \"$recipe\" --run \"$run\" --resume --datasets {datasets} --json\n\
         done\n",
        name = file.study.name,
        last = tasks - 1,
        threads = file.base.recipe.numeric_profile.threads,
        dir = quoted(dir),
        list = quoted(&list),
        trainer = quoted(trainer),
        datasets = quoted(datasets),
    );
    let path = dir.join("slurm.sh");
    zoo::write_atomic(&path, script.as_bytes())?;
    Ok(path)
}

/// For the shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

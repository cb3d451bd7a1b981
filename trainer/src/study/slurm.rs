//! A study as Slurm job arrays, stage after stage: Slurm schedules, we do not.

use std::path::{Path, PathBuf};

use datasets::Dataset;

use super::execute::write_recipe;
use super::file::{Design, Random, Seeds, StudyFile};
use super::plan::Plan;
use super::stage;
use crate::error::Result;

/// Most tasks of one array: Slurm's default `MaxArraySize` is 1001. Each then trains several runs.
const MAX_TASKS: usize = 1000;

/// The job array of the stage at hand.
const ARRAY: &str = "slurm.sh";
/// The job that plans, submits the array and, after it, itself.
const NEXT: &str = "slurm-next.sh";
/// The runs of the stage.
const RUNS: &str = "slurm-runs.txt";

/// What a job runs with.
pub struct Commands<'a> {
    /// This program.
    pub trainer: &'a Path,
    /// Folder of the datasets.
    pub datasets: &'a Path,
    /// The zoo that a teacher is in.
    pub zoo: &'a Path,
    /// `trainer study` with its arguments, to plan what comes next.
    pub plan: &'a [String],
    /// The same to write the report.
    pub collect: &'a [String],
}

/// Writes the recipes and the job array of what can be trained now into `dir`, and returns the job to submit with `sbatch`
/// from the folder in which it was written, shared by all nodes: the array, or, where what is trained later depends on
/// what comes out, a job that goes on by itself. `None` if nothing is left to train.
///
/// # Errors
/// If files cannot be written, or a run folder is damaged.
pub fn write_job(
    file: &StudyFile,
    plan: &Plan,
    dataset: &Dataset,
    dir: &Path,
    commands: &Commands<'_>,
) -> Result<Option<PathBuf>> {
    let Some(stage) = stage::next(file, plan, dataset)? else { return Ok(None) };
    let mut lines = Vec::new();
    for trial in &stage.trials {
        lines.push(format!("{}\t{}\n", write_recipe(dir, trial)?.display(), trial.run.display()));
    }
    let list = dir.join(RUNS);
    zoo::write_atomic(&list, lines.concat().as_bytes())?;
    let array = dir.join(ARRAY);
    let script = array_script(file, dir, &list, lines.len(), stage.epochs, commands);
    zoo::write_atomic(&array, script.as_bytes())?;
    if !has_stages(file) {
        return Ok(Some(array));
    }
    let next = dir.join(NEXT);
    let script = next_script(file, dir, [&list, &array, &next], commands);
    zoo::write_atomic(&next, script.as_bytes())?;
    Ok(Some(next))
}

/// The job array that trains the `runs` of a list, up to so many `epochs` if not to their end.
fn array_script(
    file: &StudyFile,
    dir: &Path,
    list: &Path,
    runs: usize,
    epochs: Option<u32>,
    commands: &Commands<'_>,
) -> String {
    let tasks = runs.min(MAX_TASKS);
    let stop_after = epochs.map_or(String::new(), |epochs| format!(" --stop-after {epochs}"));
    format!(
        "#!/bin/bash\n\
         #SBATCH --job-name={name}\n\
         #SBATCH --array=0-{last}\n\
         #SBATCH --cpus-per-task={threads}\n\
         #SBATCH --output={dir}/slurm-%a.log\n\
         set -uo pipefail\n\
         # Each line: recipe, run folder. Task t trains lines t, t + {tasks}, ...\n\
         # A run that diverges is noted in its folder; the others go on.\n\
         mapfile -t runs < {list}\n\
         failed=0\n\
         for ((i = SLURM_ARRAY_TASK_ID; i < ${{#runs[@]}}; i += {tasks})); do\n\
         \x20   IFS=$'\\t' read -r recipe run <<< \"${{runs[i]}}\"\n\
         \x20   {trainer} train \"$recipe\" --run \"$run\" --resume --datasets {datasets} --zoo {zoo} \\\n\
         \x20       --json{stop_after} ||\n\
         \x20       [[ -e $run/diverged.json ]] || failed=1\n\
         done\n\
         exit $failed\n",
        name = file.study.name,
        last = tasks - 1,
        threads = file.base.recipe.numeric_profile.threads,
        dir = quoted(dir),
        list = quoted(list),
        trainer = quoted(commands.trainer),
        datasets = quoted(commands.datasets),
        zoo = quoted(commands.zoo),
    )
}

/// The job that goes on by itself: it has the files' paths, its own last.
fn next_script(
    file: &StudyFile,
    dir: &Path,
    [list, array, next]: [&Path; 3],
    commands: &Commands<'_>,
) -> String {
    let words =
        |words: &[String]| words.iter().map(|word| quoted(Path::new(word))).collect::<Vec<_>>().join(" ");
    format!(
        "#!/bin/bash\n\
         #SBATCH --job-name={name}-next\n\
         #SBATCH --output={dir}/slurm-next.log\n\
         #SBATCH --open-mode=append\n\
         set -euo pipefail\n\
         # Plans the stage that comes next, submits it, and this job again after it.\n\
         job=$({trainer} {plan})\n\
         if [[ -z $job ]]; then\n\
         \x20   exec {trainer} {collect}\n\
         fi\n\
         if cmp -s {list} {before}; then\n\
         \x20   echo 'no run of the last stage was finished' >&2\n\
         \x20   exit 1\n\
         fi\n\
         cp {list} {before}\n\
         array=$(sbatch --parsable {array})\n\
         sbatch --dependency=\"afterany:$array\" {next}\n",
        name = file.study.name,
        dir = quoted(dir),
        trainer = quoted(commands.trainer),
        plan = words(commands.plan),
        collect = words(commands.collect),
        list = quoted(list),
        before = quoted(&list.with_extension("before.txt")),
        array = quoted(array),
        next = quoted(next),
    )
}

/// Whether what is trained later depends on what comes out.
fn has_stages(file: &StudyFile) -> bool {
    file.study.halving.is_some()
        || matches!(&file.study.seeds, Seeds::Looks(looks) if looks.looks.len() > 1)
        || matches!(&file.study.design, Design::Random(Random { minutes: Some(_), .. }))
}

/// For the shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

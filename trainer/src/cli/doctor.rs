//! `trainer doctor`.

use std::path::PathBuf;

use datasets::Dataset;
use serde_json::json;
use terminal::ExitStatus;
use trainer::Result;
use trainer::doctor::{self, Diagnosis};
use trainer::fingerprint;
use trainer::profile::{Isa, NumericProfile};
use trainer::recipe::RecipeFile;

use super::numeric_profile::enter_profile;

#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    /// Recipes whose first steps on fixed images are computed too.
    recipes: Vec<PathBuf>,
    /// Threads of the profile; by default those of the first recipe, or 2.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// Instruction set of the profile; by default that of the first recipe, or `portable`.
    #[arg(long, value_enum)]
    isa: Option<Isa>,
    /// Folder of the datasets; only their descriptions are read.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn command(args: &DoctorArgs) -> Result<ExitStatus> {
    let first = args.recipes.first().map(|path| RecipeFile::read(path)).transpose()?;
    let asked = first.map(|file| file.recipe.numeric_profile).unwrap_or_default();
    let profile =
        NumericProfile { threads: args.threads.unwrap_or(asked.threads), isa: args.isa.unwrap_or(asked.isa) };
    enter_profile(&profile)?;
    let diagnosis = doctor::examine(&profile)?;
    let mut recipes = Vec::new();
    for path in &args.recipes {
        let mut recipe = RecipeFile::read(path)?.recipe;
        recipe.numeric_profile = profile.clone();
        let dataset = Dataset::find(&args.datasets, &recipe.dataset)?;
        let digest = fingerprint::of_recipe(&recipe, &dataset.description)?;
        recipes.push((path.display().to_string(), recipe.name, digest));
    }
    if args.json {
        let recipes = recipes
            .iter()
            .map(|(path, name, digest)| json!({ "path": path, "name": name, "fingerprint": digest }))
            .collect::<Vec<_>>();
        terminal::json(&json!({ "diagnosis": diagnosis, "recipes": recipes }));
    } else {
        print(&diagnosis);
        for (path, _, digest) in &recipes {
            terminal::line(format_args!("recipe       {path}  {digest}"));
        }
    }
    Ok(ExitStatus::of_check(diagnosis.same_bytes_everywhere))
}

fn print(found: &Diagnosis) {
    let Diagnosis { processor, processors, operators, numeric_profile, fingerprint, .. } = found;
    let path = |path: &PathBuf| path.display().to_string();
    let instructions = processor.instructions.join(" ");
    terminal::line(format_args!("processor    {processor}, {processors} available, {instructions}"));
    terminal::line(format_args!(
        "libtorch     {}, {}",
        found.libtorch.as_deref().unwrap_or("of unknown version"),
        found.libtorch_path.as_ref().map_or("not found in memory".into(), path)
    ));
    let openmp: Vec<String> = found.openmp.iter().map(path).collect();
    terminal::line(format_args!("OpenMP       {}", openmp.join(", ")));
    terminal::line(format_args!("profile      {numeric_profile}"));
    let same = operators.iter().filter(|operator| operator.is_expected()).count();
    terminal::line(format_args!("fingerprint  {fingerprint}"));
    terminal::line(format_args!("operators    {same} of {} as on other machines", operators.len()));
    for operator in operators.iter().filter(|operator| !operator.is_expected()) {
        let reason = if operator.expected.is_some() { "differs" } else { "nothing to compare with" };
        terminal::line(format_args!("             {}: {reason}", operator.name));
    }
    for remark in found.obstacle.iter().chain(&found.notice) {
        terminal::line(format_args!("note         {remark}"));
    }
    terminal::line(match found.same_bytes_everywhere {
        true => {
            "promise      what is trained here has the bytes that it has on every machine that passes this"
        }
        false => "promise      none: what is trained here may have other bytes elsewhere",
    });
}

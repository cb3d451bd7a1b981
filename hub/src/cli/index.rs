//! `zoo index`.

use infer::cli::ZooArgs;
use terminal::ExitStatus;

use crate::error::Result;

#[derive(clap::Args)]
pub(super) struct IndexArgs {
    /// Write nothing; exit with 1 if index.json is not what the manifests say, or costs.json names versions that are not there.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// Writes the index, or compares it, and prints it, in Markdown with the costs that were measured.
pub(super) fn index(args: &IndexArgs) -> Result<ExitStatus> {
    let zoo = args.zoo.open()?;
    // Read before anything is written.
    let costs = zoo.costs()?;
    let index = zoo.index()?;
    let text = index.to_json();
    let mut differences = Vec::new();
    match args.check {
        true => differences = zoo.index_differences()?,
        false => zoo.write_index()?,
    }
    if !differences.is_empty() {
        if args.zoo.json {
            terminal::json(&serde_json::json!({ "differences": differences }));
        }
        for difference in differences {
            terminal::error(&difference, Some("`zoo index` writes it anew"));
        }
        return Ok(ExitStatus::CheckFailed);
    }
    terminal::print(if args.zoo.json { text } else { index.to_markdown(&costs) });
    for path in &index.unreadable {
        terminal::error(&format_args!("{path}: left out"), Some("`zoo verify` says what is wrong with it"));
    }
    let unknown = costs.unknown(&index);
    for version in &unknown {
        terminal::error(&format_args!("{}: costs of {version}: no such version", zoo::COSTS), None);
    }
    Ok(ExitStatus::of_check(index.unreadable.is_empty() && unknown.is_empty()))
}

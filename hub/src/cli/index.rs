//! `zoo index`.

use infer::cli::ZooArgs;
use terminal::ExitStatus;

use crate::error::Result;

#[derive(clap::Args)]
pub(super) struct IndexArgs {
    /// Write nothing; exit with 1 if index.json is not what the manifests say.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// Writes the index, or compares it, and prints it.
pub(super) fn index(args: &IndexArgs) -> Result<ExitStatus> {
    let zoo = args.zoo.open()?;
    let index = zoo.index()?;
    let text = index.to_json();
    let path = zoo.root().join(zoo::INDEX);
    if !args.check {
        zoo.write_index()?;
    } else if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
        let problem = format!("{}: is not what the manifests say", path.display());
        terminal::error(&problem, Some("`zoo index` writes it anew"));
        return Ok(ExitStatus::CheckFailed);
    }
    terminal::print(if args.zoo.json { text } else { index.to_markdown() });
    Ok(ExitStatus::Success)
}

//! `zoo lint`.

use infer::cli::ZooArgs;
use terminal::ExitStatus;

use crate::error::Result;

/// Prints what other engines would not load.
pub(super) fn lint(args: &ZooArgs) -> Result<ExitStatus> {
    let violations = args.open()?.layout_violations()?;
    if args.json {
        terminal::json(&violations);
    } else {
        violations.iter().for_each(terminal::line);
        terminal::log(format_args!("{} violations", violations.len()));
    }
    Ok(ExitStatus::of_check(violations.is_empty()))
}

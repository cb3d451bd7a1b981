//! Your own data: folders of images, CSV or IDX files become a described, hashed dataset.
//!
//! [`folder`], [`table`] and [`idx`] read a source into [`Source`]; [`import`] checks it, splits
//! it if it has no test split of its own, and writes `<datasets>/<name>/`. Foreign images go
//! through the preprocessing that `infer` will use on the images it is given.

mod check;
pub mod folder;
pub mod idx;
mod source;
pub mod table;
mod write;

use std::path::Path;

pub use source::{ClassInfo, Imported, Options, Sample, Source};

use crate::error::{Error, Result};

/// Checks a source and writes it as `<datasets>/<options.name>`.
///
/// # Errors
/// [`Error::Import`] naming what is wrong; nothing is written then.
pub fn import(source: Source, options: &Options, datasets: &Path) -> Result<Imported> {
    let path = datasets.join(&options.name);
    zoo::check_name(&options.name).map_err(|expected| {
        Error::import(Path::new(&options.name), format!("a dataset's name must be {expected}"))
    })?;
    if path.exists() {
        return Err(Error::import(&path, "is there already; choose another --name, or remove it first"));
    }
    if !source.unreadable.is_empty() && !options.skip_unreadable {
        let shown: Vec<&str> = source.unreadable.iter().take(5).map(String::as_str).collect();
        let more = source.unreadable.len().saturating_sub(5);
        let rest = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        let problem =
            format!("unreadable:\n  {}{rest}\n--skip-unreadable leaves them out", shown.join("\n  "));
        return Err(Error::import(&path, problem));
    }
    let checked = check::check(source, options)?;
    write::write(&checked, options, &path)
}

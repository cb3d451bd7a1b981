//! `infer run`.

use std::path::{Path, PathBuf};

use serde_json::json;
use terminal::ExitStatus;
use zoo::MAX_FILE_BYTES;

use crate::error::{Error, Result};
use crate::run::{Input, Ran, run};

#[derive(clap::Args)]
pub(super) struct RunArgs {
    /// The ONNX file.
    file: PathBuf,
    /// Folder with `input_0.pb`, `input_1.pb` and so on: `TensorProto`s, as in ONNX's test data.
    #[arg(long)]
    inputs: PathBuf,
    /// Folder for `output_0.pb` and so on.
    #[arg(long)]
    out: PathBuf,
    /// Run it so many times more, and say what the median of their times is.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    repeat: u32,
    /// Print the names of the outputs, and the time, as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs a network, and prints where its outputs are.
pub(super) fn run_file(args: &RunArgs) -> Result<ExitStatus> {
    let read = |path: &Path| datasets::files::read(path, MAX_FILE_BYTES).map_err(Error::io(path));
    zoo::refuse_published(&args.out)?;
    // With the inputs stand the outputs that are expected.
    zoo::refuse_same(&args.out, &[&args.inputs])?;
    let mut inputs = Vec::new();
    let files = input_files(&args.inputs)?;
    for (index, (number, path)) in files.into_iter().enumerate() {
        if number != index {
            let problem = format!("{}: expected input_{index}.pb before it", path.display());
            return Err(Error::Usage(problem));
        }
        inputs.push(Input::read(&read(&path)?, &path)?);
    }
    let ran = run(read(&args.file)?, &inputs, args.repeat as usize, &args.file);
    // Some networks take none.
    let Ran { outputs, times } = ran.map_err(|error| match inputs.is_empty() {
        true => Error::Usage(format!("{}: without input_0.pb: {error}", args.inputs.display())),
        false => error,
    })?;
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    let mut written = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        let path = args.out.join(format!("output_{index}.pb"));
        zoo::write_atomic(&path, output)?;
        written.push(path.display().to_string());
    }
    let median_us = times.get(times.len() / 2).map(|time| 1e6 * time.as_secs_f64());
    if args.json {
        terminal::json(&json!({ "outputs": written, "median_us": median_us }));
    } else {
        written.iter().for_each(terminal::line);
        if let Some(median_us) = median_us {
            terminal::line(format!("median of {} runs: {median_us:.1} us", times.len()));
        }
    }
    Ok(ExitStatus::Success)
}

/// Every `input_<number>.pb` of a folder, in the order of the numbers.
fn input_files(dir: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(number) = name.strip_prefix("input_").and_then(|rest| rest.strip_suffix(".pb")) else {
            continue;
        };
        match number.parse() {
            Ok(number) => files.push((number, path)),
            Err(_) => return Err(Error::Usage(format!("{}: expected input_<number>.pb", path.display()))),
        }
    }
    files.sort();
    Ok(files)
}

//! `infer run`.

use std::path::{Path, PathBuf};

use serde_json::json;
use terminal::ExitStatus;

use crate::error::{Error, Result};
use crate::run::run;

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
    /// Print the names of the outputs as JSON.
    #[arg(long)]
    json: bool,
}

/// Longest file of a network or tensor.
const MAX_BYTES: u64 = 2 << 30;

/// Runs a network, and prints where its outputs are.
pub(super) fn run_file(args: &RunArgs) -> Result<ExitStatus> {
    let read = |path: &Path| datasets::files::read(path, MAX_BYTES).map_err(Error::io(path));
    let mut inputs = Vec::new();
    loop {
        let path = args.inputs.join(format!("input_{}.pb", inputs.len()));
        if !path.exists() {
            break;
        }
        inputs.push(read(&path)?);
    }
    let outputs = run(read(&args.file)?, &inputs, &args.file)?;
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    let mut written = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        let path = args.out.join(format!("output_{index}.pb"));
        zoo::write_atomic(&path, output)?;
        written.push(path.display().to_string());
    }
    if args.json {
        terminal::json(&json!({ "outputs": written }));
    } else {
        written.iter().for_each(terminal::line);
    }
    Ok(ExitStatus::Success)
}

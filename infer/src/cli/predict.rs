//! `infer predict`.

use std::path::PathBuf;

use serde_json::json;
use terminal::ExitStatus;
use zoo::Spec;

use super::args::{ZooArgs, report};
use super::render;
use crate::error::{Error, Result};
use crate::{Predictor, Source, decode};

#[derive(clap::Args)]
pub(super) struct PredictArgs {
    /// Image files (PNG, JPEG, BMP, GIF, WebP), folders of them, or `-`.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// NAME or NAME@VERSION.
    #[arg(long, default_value = "mnist-cnn")]
    model: String,
    /// How many classes to print.
    #[arg(long, default_value_t = 3)]
    top_k: usize,
    /// Draw what the network sees.
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// The model asked for; the built-in one where no zoo is at hand.
fn open_predictor(args: &PredictArgs) -> Result<Predictor> {
    if args.zoo.is_there() {
        return Predictor::open(args.zoo.path(), &args.model);
    }
    let predictor = Predictor::built_in()?;
    let spec: Spec = args.model.parse().map_err(Error::Usage)?;
    let manifest = predictor.manifest();
    let fits =
        spec == Spec::latest(&manifest.name) || spec == Spec::version(&manifest.name, manifest.version);
    if !fits {
        let built_in = format!("{}@{}", manifest.name, manifest.version);
        return Err(Error::Usage(format!(
            "no zoo here, and the built-in model is {built_in}, not {spec}; name the zoo with --zoo DIR"
        )));
    }
    Ok(predictor)
}

/// Prints what is on each image.
pub(super) fn predict(args: &PredictArgs) -> Result<ExitStatus> {
    let predictor = open_predictor(args)?;
    let manifest = predictor.manifest();
    let embedded = *predictor.source() == Source::BuiltIn;
    if embedded && !args.zoo.json {
        terminal::log(format_args!("no zoo here: using the built-in {}@{}", manifest.name, manifest.version));
    }
    let mut status = ExitStatus::Success;
    let mut results = Vec::new();
    for path in &args.images {
        for file in decode::image_files(path).unwrap_or_else(|error| {
            status = report(&error);
            Vec::new()
        }) {
            let name = file.display().to_string();
            match decode::read_image(&file).and_then(|image| predictor.predict(&image)) {
                Ok(prediction) if args.zoo.json => results.push(json!({
                    "file": name,
                    "label": prediction.label,
                    "classes": prediction.classes.iter().take(args.top_k).collect::<Vec<_>>(),
                })),
                Ok(prediction) => {
                    terminal::line(render::prediction(&name, &prediction, args.top_k));
                    if args.show {
                        terminal::print(render::picture(&prediction, manifest));
                    }
                }
                Err(error) => status = report(&error),
            }
        }
    }
    if args.zoo.json {
        terminal::json(&json!({
            "model": manifest.name,
            "version": manifest.version,
            "model_sha256": manifest.files.get(zoo::ONNX).map(|record| record.sha256),
            "embedded": embedded,
            "predictions": results,
        }));
    }
    Ok(status)
}

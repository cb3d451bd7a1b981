//! `infer predict`.

use std::collections::HashSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use serde_json::{Value, json};
use terminal::ExitStatus;
use zoo::Spec;

use super::ahead::{Ahead, Image};
use super::args::{ZooArgs, report};
use super::render;
use crate::error::{Error, Result};
use crate::{Opening, Prediction, Predictor, Source};

/// Which model, and how to print.
#[derive(clap::Args)]
pub(super) struct ModelArgs {
    /// NAME or NAME@VERSION.
    #[arg(long, default_value = "mnist-robust")]
    model: String,
    #[command(flatten)]
    pub(super) zoo: ZooArgs,
}

#[derive(clap::Args)]
pub(super) struct PredictArgs {
    /// Image files (PNG, JPEG, BMP, GIF, WebP, TIFF), folders of them, or `-`.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// How many classes to print.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    top_k: u16,
    /// Also name the labels that hold the truth this often, for example 0.99.
    #[arg(long, allow_negative_numbers = true)]
    coverage: Option<f64>,
    /// Draw what each step of the preprocessing makes of the image, and what the network sees.
    #[arg(long, conflicts_with = "json")]
    show: bool,
    /// Write a picture of each step into this folder.
    #[arg(long, value_name = "DIR")]
    save_steps: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
}

/// The model asked for; the built-in one where no zoo is at hand.
pub(super) fn find_model(args: &ModelArgs) -> Result<Opening> {
    if args.zoo.is_there() {
        return Opening::of(args.zoo.path(), &args.model);
    }
    let opening = Opening::built_in()?;
    let spec: Spec = args.model.parse().map_err(Error::Usage)?;
    let manifest = opening.manifest();
    let fits =
        spec == Spec::latest(&manifest.name) || spec == Spec::version(&manifest.name, manifest.version);
    let built_in = format!("{}@{}", manifest.name, manifest.version);
    if !fits {
        return Err(Error::Usage(format!(
            "no zoo here, and the built-in model is {built_in}, not {spec}; name the zoo with --zoo DIR"
        )));
    }
    if !args.zoo.json {
        terminal::log(format_args!("no zoo here: using the built-in {built_in}"));
    }
    Ok(opening)
}

/// Prints what is on each image.
pub(super) fn predict(args: &PredictArgs) -> Result<ExitStatus> {
    // Images are read while the manifest is, prepared while the network is loaded, and each while the one before is
    // classified.
    let wants_steps = args.show || args.save_steps.is_some();
    let images = Ahead::start(args.images.clone(), wants_steps)?;
    let opening = find_model(&args.model)?;
    images.prepare_for(opening.manifest());
    let predictor = opening.load()?;
    let manifest = predictor.manifest();
    if let Some(coverage) = args.coverage {
        Prediction::check_coverage(manifest, coverage)?;
    }
    let mut status = ExitStatus::Success;
    let mut results = Vec::new();
    let mut steps = args.save_steps.as_deref().map(StepPictures::into_folder);
    for image in images {
        match image.and_then(|image| answer(args, &predictor, &image, steps.as_mut())) {
            Ok(result) => results.extend(result),
            Err(error) => status = report(&error),
        }
    }
    if args.model.zoo.json {
        terminal::json(&json!({
            "model": manifest.name,
            "version": manifest.version,
            "model_sha256": manifest.files.get(zoo::ONNX).map(|record| record.sha256),
            "embedded": *predictor.source() == Source::BuiltIn,
            "predictions": results,
        }));
    }
    Ok(status)
}

/// Answers for one image: printed, or the JSON that is to be.
fn answer(
    args: &PredictArgs,
    predictor: &Predictor,
    image: &Image,
    steps: Option<&mut StepPictures<'_>>,
) -> Result<Option<Value>> {
    let manifest = predictor.manifest();
    let prediction = predictor.predict_prepared(&image.prepared)?;
    let set = args.coverage.map(|coverage| prediction.set(manifest, coverage)).transpose()?;
    if let Some(steps) = steps {
        steps.save(&image.file, &image.steps)?;
    }
    let name = image.file.display().to_string();
    if args.model.zoo.json {
        return Ok(Some(as_json(&name, image, &prediction, args.top_k.into(), set.as_deref())));
    }
    terminal::line(render::prediction(&name, &prediction, args.top_k.into(), set.as_deref()));
    if args.show {
        // The last step's picture is what the network sees, at its own size.
        for (step, picture) in image.steps.iter().rev().skip(1).rev() {
            terminal::print(format!("{step}\n{}", render::thumbnail(picture)));
        }
        terminal::print(render::picture(&prediction, manifest));
    }
    Ok(None)
}

fn as_json(file: &str, image: &Image, prediction: &Prediction, top_k: usize, set: Option<&[&str]>) -> Value {
    let mut answer = json!({
        "file": file,
        "status": prediction.status,
        "label": prediction.label,
        "classes": prediction.classes.iter().take(top_k).collect::<Vec<_>>(),
        "image": { "width": image.size.0, "height": image.size.1, "has_more": image.has_more },
        "left_out": image.prepared.left_out,
        "objects": prediction.objects.iter().map(|bounds| bounds.scaled(image.scale)).collect::<Vec<_>>(),
    });
    if let Some(set) = set {
        answer["set"] = json!(set);
    }
    answer
}

/// Where the pictures of steps go.
struct StepPictures<'a> {
    dir: &'a Path,
    /// How names of pictures begin that are of other images of this run.
    taken: HashSet<String>,
}

impl StepPictures<'_> {
    fn into_folder(dir: &Path) -> StepPictures<'_> {
        StepPictures { dir, taken: HashSet::new() }
    }

    /// Writes `<image>-<number>-<step>.png` for each step.
    fn save(&mut self, file: &Path, steps: &[(&'static str, image::GrayImage)]) -> Result<()> {
        zoo::refuse_published(self.dir)?;
        std::fs::create_dir_all(self.dir).map_err(Error::io(self.dir))?;
        let image = self.name_of(file);
        for (index, (step, picture)) in steps.iter().enumerate() {
            let path = self.dir.join(format!("{image}-{:02}-{step}.png", index + 1));
            let mut png = Cursor::new(Vec::new());
            let encoded = picture.write_to(&mut png, ImageFormat::Png);
            encoded.map_err(|e| Error::image(&path, e.to_string()))?;
            zoo::write_atomic(&path, png.get_ref())?;
        }
        Ok(())
    }

    /// `a` of `folder/a.png`; `a.jpg` of another `a`, and `a.jpg-2` of one more.
    fn name_of(&mut self, file: &Path) -> String {
        let [stem, whole] = [file.file_stem(), file.file_name()]
            .map(|name| name.map_or("image".into(), |name| name.to_string_lossy().into_owned()));
        let numbered = (2..).map(|number| format!("{whole}-{number}"));
        let mut names = [stem, whole.clone()].into_iter().chain(numbered);
        let name = names.find(|name| !self.taken.contains(name)).expect("numbers do not end");
        self.taken.insert(name.clone());
        name
    }
}

//! `infer read`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::json;
use terminal::ExitStatus;
use zoo::Manifest;

use super::args::{image_files, report, say_left_out, say_more};
use super::predict::{ModelArgs, find_model};
use crate::decode::{self, Photo};
use crate::error::{Error, Result};
use crate::{Reading, Source, Status, preprocess};

#[derive(clap::Args)]
pub(super) struct ReadArgs {
    /// Image files, folders of them, or `-`.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Write a picture (SVG) of the image with what was found on it; only for one image.
    #[arg(long)]
    picture: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
}

/// Prints the numbers on each image, a line for each line of text.
pub(super) fn read(args: &ReadArgs) -> Result<ExitStatus> {
    let opening = find_model(&args.model)?;
    refuse_without_objects(opening.manifest())?;
    let predictor = opening.load()?;
    let mut files = Vec::new();
    let mut status = ExitStatus::Success;
    for path in &args.images {
        match image_files(path) {
            Ok(more) => files.extend(more),
            Err(error) => status = report(&error),
        }
    }
    if args.picture.is_some() && files.len() != 1 {
        return Err(Error::Usage(format!("--picture: {} images, expected 1", files.len())));
    }
    if let (Some(picture), [file]) = (args.picture.as_deref(), files.as_slice()) {
        zoo::refuse_same(picture, &[file])?;
    }
    let mut results = Vec::new();
    let mut to_draw = None;
    for file in &files {
        let image = decode::read_image(file);
        let reading = image.and_then(|image| Ok((predictor.read(&image)?.scaled(image.scale()), image)));
        let (reading, image) = match reading {
            Ok(read) => read,
            Err(error) => {
                status = report(&error);
                continue;
            }
        };
        say_more(file, &image);
        say_left_out(file, reading.left_out);
        if args.model.zoo.json {
            results.push(json!({
                "file": file.display().to_string(),
                "image": { "width": image.size.0, "height": image.size.1, "has_more": image.has_more },
                "text": reading.text(),
                "reading": reading,
            }));
        } else {
            print(file, &reading, files.len() > 1);
        }
        to_draw = args.picture.is_some().then_some((image, reading));
    }
    if args.model.zoo.json {
        let manifest = predictor.manifest();
        terminal::json(&json!({
            "model": manifest.name,
            "version": manifest.version,
            "model_sha256": manifest.files.get(zoo::ONNX).map(|record| record.sha256),
            "embedded": *predictor.source() == Source::BuiltIn,
            "readings": results,
        }));
    }
    // Last: what was read is told, even if no picture can be written.
    if let (Some(path), Some((image, reading))) = (&args.picture, to_draw) {
        write_picture(path, &image, &reading)?;
    }
    Ok(status)
}

/// Some models take any picture as one object: of a number they would read one digit.
fn refuse_without_objects(manifest: &Manifest) -> Result<()> {
    if manifest.preprocessing.finds_objects() {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{}@{}: its preprocessing finds no objects, expected a model that does, such as mnist-robust; `infer predict` takes a picture \
         as one",
        manifest.name, manifest.version
    )))
}

/// A file's name on one line.
fn name(file: &Path) -> String {
    terminal::one_line(&file.display().to_string()).into_owned()
}

fn print(file: &Path, reading: &Reading, several: bool) {
    if several {
        terminal::line(format_args!("{}:", name(file)));
    }
    if reading.rows.is_empty() {
        terminal::log(format_args!("{}: nothing is on this image", name(file)));
    }
    for row in &reading.rows {
        terminal::line(&row.text);
        for object in row.objects.iter().filter(|object| object.status != Status::Ok) {
            let b = object.bounds;
            terminal::log(format_args!(
                "{}: `{}` at row {}, column {} is {} ({:.1} %)",
                name(file),
                object.label,
                b.top,
                b.left,
                object.status.name(),
                100.0 * object.probability
            ));
        }
    }
}

/// Longest side of the image in a picture.
const PICTURE_SIDE: u32 = 1600;

fn write_picture(path: &Path, image: &Photo, reading: &Reading) -> Result<()> {
    use base64ct::{Base64, Encoding};

    let seen = preprocess::opaque(image);
    let shown = if seen.width().max(seen.height()) > PICTURE_SIDE {
        Cow::Owned(seen.thumbnail(PICTURE_SIDE, PICTURE_SIDE))
    } else {
        seen
    };
    let mut png = std::io::Cursor::new(Vec::new());
    let wrong = |e: image::ImageError| Error::image(path, e.to_string());
    shown.to_rgb8().write_to(&mut png, image::ImageFormat::Png).map_err(wrong)?;
    let (width, height) = image.size;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\">\n\
         <image width=\"{width}\" height=\"{height}\" href=\"data:image/png;base64,{}\"/>\n",
        Base64::encode_string(png.get_ref())
    );
    let stroke = f64::from(width.max(height)) / 300.0;
    for object in reading.rows.iter().flat_map(|row| &row.objects) {
        let b = object.bounds;
        let colour = if object.status == Status::Ok { "#0a7d38" } else { "#c2410c" };
        let size = (b.bottom - b.top) as f64 / 3.0;
        svg += &format!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{stroke:.1}\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" font-size=\"{size:.1}\" fill=\"{colour}\">{}</text>\n",
            b.left,
            b.top,
            b.right - b.left,
            b.bottom - b.top,
            b.left,
            b.top as f64 - stroke,
            escaped(&object.label),
        );
    }
    svg += "</svg>\n";
    Ok(zoo::write_output(path, svg.as_bytes())?)
}

/// Labels are anybody's text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

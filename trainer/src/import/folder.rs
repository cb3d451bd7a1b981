//! Folders of images: `<class>/<image>`, or `train/<class>/<image>` and `test/<class>/<image>`.

use std::path::{Path, PathBuf};

use datasets::{ImageShape, Preprocessing};
use image::DynamicImage;
use infer::{decode, preprocess};

use super::source::{Sample, Source};
use crate::error::{Error, Result};

/// How images are brought to one form.
#[derive(Debug, Clone)]
pub struct Form {
    /// `[height, width]`; without it all images must have the same.
    pub size: Option<[usize; 2]>,
    /// 1 or 3; without it, 1 if no image has a colour.
    pub channels: Option<usize>,
    /// What is done to each image.
    pub preprocessing: Preprocessing,
}

/// Reads a folder of folders.
///
/// # Errors
/// [`Error::Import`] if it has no classes, splits with different classes, or images of different
/// sizes and no size was asked for.
pub fn read(dir: &Path, form: &Form) -> Result<Source> {
    let subfolders = folders(dir)?;
    let named = |name: &str| subfolders.iter().find(|path| path.file_name().is_some_and(|n| n == name));
    let (train, test) = match (named("train"), named("test")) {
        (Some(train), Some(test)) if subfolders.len() == 2 => (train.clone(), Some(test.clone())),
        _ => (dir.to_owned(), None),
    };
    let classes = class_names(&train)?;
    if let Some(test) = &test {
        let other = class_names(test)?;
        if other != classes {
            return Err(Error::import(
                test,
                format!("classes {other:?}, expected those of train: {classes:?}"),
            ));
        }
    }
    let mut unreadable = Vec::new();
    let train = decoded(&train, &classes, &mut unreadable)?;
    let test = test.map_or(Ok(Vec::new()), |test| decoded(&test, &classes, &mut unreadable))?;
    let shape = shape(dir, form, train.iter().chain(&test))?;
    let samples = |images: Vec<Image>| {
        let sample = |image: Image| Sample {
            pixels: preprocess::preprocess(&image.image, &form.preprocessing, shape),
            label: image.label,
            origin: image.path.display().to_string(),
        };
        images.into_iter().map(sample).collect()
    };
    Ok(Source { shape, classes, train: samples(train), test: samples(test), unreadable })
}

struct Image {
    image: DynamicImage,
    label: usize,
    path: PathBuf,
}

/// The folders in a folder, by name; hidden ones are not looked at.
fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

fn class_names(dir: &Path) -> Result<Vec<String>> {
    let names: Vec<String> = folders(dir)?
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    if names.len() < 2 {
        let problem = format!("{} folders in it, expected one for each of two classes or more", names.len());
        return Err(Error::import(dir, problem));
    }
    Ok(names)
}

fn decoded(dir: &Path, classes: &[String], unreadable: &mut Vec<String>) -> Result<Vec<Image>> {
    let mut images = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        for path in decode::image_files(&dir.join(class))? {
            match decode::read_image(&path) {
                Ok(image) => images.push(Image { image: image.image, label, path }),
                Err(error) => unreadable.push(error.to_string()),
            }
        }
    }
    Ok(images)
}

fn shape<'a>(dir: &Path, form: &Form, images: impl Iterator<Item = &'a Image>) -> Result<ImageShape> {
    let (mut size, mut colour) = (form.size, false);
    for Image { image, path, .. } in images {
        let found = [image.height() as usize, image.width() as usize];
        match size {
            None => size = Some(found),
            Some(first) if form.size.is_none() && found != first => {
                let problem = format!(
                    "{}x{} pixels, others {}x{}; choose a --size",
                    found[0], found[1], first[0], first[1]
                );
                return Err(Error::import(path, problem));
            }
            Some(_) => {}
        }
        colour = colour || (form.channels.is_none() && has_colour(image));
    }
    let [height, width] = size.ok_or_else(|| Error::import(dir, "no readable images"))?;
    Ok(ImageShape { channels: form.channels.unwrap_or(if colour { 3 } else { 1 }), height, width })
}

fn has_colour(image: &DynamicImage) -> bool {
    image.color().has_color()
        && image.to_rgb8().pixels().any(|pixel| pixel.0[0] != pixel.0[1] || pixel.0[1] != pixel.0[2])
}

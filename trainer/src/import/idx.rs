//! IDX files of the user's own: images and labels, perhaps a test split too.

use std::path::{Path, PathBuf};

use datasets::{Dtype, Idx, ImageShape};

use super::source::{Sample, Source};
use crate::error::{Error, Result};

/// A split's files.
#[derive(Debug, Clone)]
pub struct Files {
    /// `uint8`, `[N, H, W]` or `[N, C, H, W]`.
    pub images: PathBuf,
    /// `uint8`, `[N]`.
    pub labels: PathBuf,
}

/// Reads one split or two; classes are called by their numbers unless `names` says otherwise.
///
/// # Errors
/// [`Error::Data`] or [`Error::Import`] naming the file.
pub fn read(train: &Files, test: Option<&Files>, names: &[String]) -> Result<Source> {
    let (shape, train_samples) = split(train)?;
    let test_samples = match test {
        Some(files) => {
            let (other, samples) = split(files)?;
            if other != shape {
                return Err(Error::import(&files.images, format!("images {other:?}, expected {shape:?}")));
            }
            samples
        }
        None => Vec::new(),
    };
    let labels = || train_samples.iter().chain(&test_samples).map(|sample| sample.label);
    let count = labels().max().map_or(0, |largest| largest + 1);
    if !names.is_empty() && names.len() < count {
        let problem = format!("label {}, but only {} class names", count - 1, names.len());
        return Err(Error::import(&train.labels, problem));
    }
    let classes = if names.is_empty() { (0..count).map(|k| k.to_string()).collect() } else { names.to_vec() };
    Ok(Source { shape, classes, train: train_samples, test: test_samples, unreadable: Vec::new() })
}

fn split(files: &Files) -> Result<(ImageShape, Vec<Sample>)> {
    let images = bytes(&files.images)?;
    let labels = bytes(&files.labels)?;
    let (count, shape) = match images.shape.as_slice() {
        &[count, height, width] => (count, ImageShape { channels: 1, height, width }),
        &[count, channels @ (1 | 3), height, width] => (count, ImageShape { channels, height, width }),
        other => {
            let problem = format!("shape {other:?}, expected [N, H, W] or [N, C, H, W] with 1 or 3 channels");
            return Err(Error::import(&files.images, problem));
        }
    };
    if labels.shape != [count] || shape.numel() == 0 {
        let problem = format!("shape {:?}, expected [{count}], one for each image", labels.shape);
        return Err(Error::import(&files.labels, problem));
    }
    let samples = images.data.chunks_exact(shape.numel()).zip(&labels.data).enumerate();
    let sample = |(index, (pixels, &label)): (usize, (&[u8], &u8))| Sample {
        pixels: pixels.to_vec(),
        label: label.into(),
        origin: format!("{}[{index}]", files.images.display()),
    };
    Ok((shape, samples.map(sample).collect()))
}

fn bytes(path: &Path) -> Result<Idx> {
    let idx = Idx::read(path)?;
    if idx.dtype == Dtype::U8 {
        return Ok(idx);
    }
    Err(Error::import(path, format!("element type {}, expected {}", idx.dtype, Dtype::U8)))
}

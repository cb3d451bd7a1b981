//! Writing a dataset: four IDX files and their description.

use std::path::Path;

use datasets::{Description, Digest, FileEntry, Idx, ImageShape, Normalisation, SplitFiles};

use super::check::Checked;
use super::source::{ClassInfo, Imported, Options, Sample};
use crate::error::{Error, Result};

pub(super) fn write(checked: &Checked, options: &Options, path: &Path) -> Result<Imported> {
    let source = &checked.source;
    let normalisation = statistics(&source.train, source.shape).ok_or_else(|| {
        Error::import(
            path,
            "a channel has the same value in every pixel of every image; nothing to learn from",
        )
    })?;
    let parent = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    // Written beside and renamed: a dataset is there whole or not at all.
    let staging =
        tempfile::Builder::new().prefix(".import-").tempdir_in(parent).map_err(Error::io(parent))?;
    // A folder in it, because a temporary folder itself is readable by its owner only.
    let dir = staging.path().join(&options.name);
    let dir = dir.as_path();
    std::fs::create_dir(dir).map_err(Error::io(dir))?;
    let description = Description {
        name: options.name.clone(),
        title: options.title.clone(),
        licence: options.licence.clone(),
        source: options.source.clone(),
        mirrors: Vec::new(),
        classes: source.classes.clone(),
        image: source.shape,
        preprocessing: options.preprocessing.clone(),
        normalisation,
        train: write_split(dir, "train", &source.train, source.shape)?,
        test: write_split(dir, "test", &source.test, source.shape)?,
    };
    zoo::write_atomic(&dir.join("dataset.yaml"), datasets::yaml::to_string(&description)?.as_bytes())?;
    // Read back as training will read it, before it appears under its name.
    let dataset = datasets::Dataset::open(dir)?;
    dataset.load(datasets::Split::Train)?;
    dataset.load(datasets::Split::Test)?;
    std::fs::rename(dir, path).map_err(Error::io(path))?;
    let count = |samples: &[Sample], label| samples.iter().filter(|sample| sample.label == label).count();
    let classes = source.classes.iter().enumerate().map(|(label, name)| ClassInfo {
        name: name.clone(),
        train: count(&source.train, label),
        test: count(&source.test, label),
    });
    Ok(Imported {
        path: path.to_owned(),
        image: [source.shape.channels, source.shape.height, source.shape.width],
        classes: classes.collect(),
        duplicates: checked.duplicates,
        leaked: checked.leaked,
        contradictions: checked.contradictions.clone(),
        unreadable: source.unreadable.clone(),
        imbalance: checked.imbalance,
        warnings: checked.warnings.clone(),
    })
}

fn write_split(dir: &Path, name: &str, samples: &[Sample], shape: ImageShape) -> Result<SplitFiles> {
    let ImageShape { channels, height, width } = shape;
    let pixels = samples.iter().flat_map(|sample| sample.pixels.iter().copied()).collect();
    let labels = samples.iter().map(|sample| sample.label as u8).collect();
    Ok(SplitFiles {
        images: write_idx(dir, name, "images", &[samples.len(), channels, height, width], pixels)?,
        labels: write_idx(dir, name, "labels", &[samples.len()], labels)?,
    })
}

fn write_idx(dir: &Path, split: &str, kind: &str, shape: &[usize], data: Vec<u8>) -> Result<FileEntry> {
    let file = format!("{split}-{kind}-idx{}-ubyte", shape.len());
    let bytes = Idx::new_u8(shape, data)?.to_bytes();
    zoo::write_atomic(&dir.join(&file), &bytes)?;
    Ok(FileEntry { file, sha256: Digest::of(&bytes) })
}

/// Mean and standard deviation of every channel; `None` if one never varies.
fn statistics(samples: &[Sample], shape: ImageShape) -> Option<Normalisation> {
    let plane = shape.height * shape.width;
    let (mut mean, mut std) = (Vec::new(), Vec::new());
    for channel in 0..shape.channels {
        // Whole numbers, so that the order of the images does not matter.
        let (mut sum, mut squares) = (0u64, 0u64);
        for sample in samples {
            for &pixel in sample.pixels.iter().skip(channel * plane).take(plane) {
                sum += u64::from(pixel);
                squares += u64::from(pixel) * u64::from(pixel);
            }
        }
        let count = (samples.len() * plane) as f64;
        let average = sum as f64 / count;
        let deviation = (squares as f64 / count - average * average).max(0.0).sqrt();
        if deviation / 255.0 < 1e-6 {
            return None;
        }
        mean.push(average / 255.0);
        std.push(deviation / 255.0);
    }
    Some(Normalisation { mean, std })
}

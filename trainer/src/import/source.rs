//! What is read from a source, and what is made of it.

use std::path::PathBuf;

use datasets::{ImageShape, Preprocessing};
use serde::Serialize;

/// What is in a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Shape of every image.
    pub shape: ImageShape,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Training images, or all of them.
    pub train: Vec<Sample>,
    /// Test images; empty if the source has none of its own.
    pub test: Vec<Sample>,
    /// Files that are no usable images, with the reason.
    pub unreadable: Vec<String>,
}

/// One labelled image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Pixels `[C, H, W]`.
    pub pixels: Vec<u8>,
    /// Index of its class.
    pub label: usize,
    /// Where it came from: a file, or a line or index in one.
    pub origin: String,
}

/// What a dataset is called and how it is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the dataset and its folder.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Licence of the data.
    pub licence: String,
    /// Where the data was first published.
    pub source: String,
    /// How a foreign image is brought into the form of this dataset.
    pub preprocessing: Preprocessing,
    /// Share of the images that becomes the test split, if the source has none.
    pub test_share: f64,
    /// Seed of that split.
    pub seed: u64,
    /// Leave out unreadable files instead of refusing the source.
    pub skip_unreadable: bool,
}

/// What was found and what was made of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Imported {
    /// The dataset's folder.
    #[serde(serialize_with = "datasets::serialize_path")]
    pub path: PathBuf,
    /// `[C, H, W]`.
    pub image: [usize; 3],
    /// Images of each class.
    pub classes: Vec<ClassInfo>,
    /// Equal images with equal labels, of which one was kept.
    pub duplicates: usize,
    /// Training images left out because the test split has the same image.
    pub leaked: usize,
    /// Equal images with different labels, all left out.
    pub contradictions: Vec<String>,
    /// Files left out because they could not be read.
    pub unreadable: Vec<String>,
    /// Largest class divided by smallest.
    pub imbalance: f64,
    /// What to think about before training.
    pub warnings: Vec<String>,
}

/// Images of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassInfo {
    /// Its name.
    pub name: String,
    /// Training images.
    pub train: usize,
    /// Test images.
    pub test: usize,
}

//! What was found in a source and what was made of it.

use std::path::PathBuf;

use serde::Serialize;

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
    /// Training images left out because the test or validation split has the same image.
    pub leaked: usize,
    /// Equal images with different labels, all left out.
    pub contradictions: Vec<String>,
    /// Images whose pixels are all equal, kept.
    pub constant: Vec<String>,
    /// Images whose files are much larger or smaller than most, kept.
    pub size_outliers: Vec<String>,
    /// Images that got another class by `--relabel`.
    pub relabelled: usize,
    /// Files left out because they could not be read.
    pub unreadable: Vec<LeftOut>,
    /// Everything else that was left out.
    pub left_out: Vec<LeftOut>,
    /// Files and folders that file managers leave, not looked at.
    pub litter: usize,
    /// Pairs of images that are nearly equal, kept; across splits first.
    pub near: Vec<NearPair>,
    /// Largest class divided by smallest.
    pub imbalance: f64,
    /// How the source was understood.
    pub notes: Vec<String>,
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
    /// Images of the validation split that the source has.
    pub validation: usize,
    /// Test images.
    pub test: usize,
}

/// Something that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The file, or a line or index in one.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Two images that are nearly equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearPair {
    /// Where the first is from.
    pub one: String,
    /// Where the other is from.
    pub other: String,
    /// Whether one is trained on and the other is not.
    pub across_splits: bool,
    /// Whether they have different labels.
    pub different_labels: bool,
}

//! What is asked for.

use std::path::PathBuf;

use datasets::Preprocessing;

/// A source, and what is to be made of it.
#[derive(Debug, Clone)]
pub struct Request {
    /// A folder, an archive, or a file.
    pub source: PathBuf,
    /// Name of the dataset and its folder.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Licence of the data.
    pub licence: String,
    /// Where the data was first published.
    pub origin: String,
    /// How a foreign image is brought into the form of this dataset.
    pub preprocessing: Preprocessing,
    /// `[height, width]`; without it all images must have the same. Of rows of values it says how they lie.
    pub size: Option<[usize; 2]>,
    /// 1 or 3; without it, 1 if no image has a colour.
    pub channels: Option<usize>,
    /// Which folder below the source or split is the class: 1 is the first.
    pub class_level: Option<usize>,
    /// Share of the images that becomes the test split, if the source has none; without it a fifth.
    pub test_share: Option<f64>,
    /// Of so many parts of the images, the one that becomes the test split: `(part, parts)`, the first part is 1.
    pub fold: Option<(usize, usize)>,
    /// Seed of that split; without it 1.
    pub seed: Option<u64>,
    /// A pattern in an image's origin; images for which it finds the same text stay on one side of the split.
    pub group_by: Option<String>,
    /// Leave out unreadable files instead of refusing the source.
    pub skip_unreadable: bool,
    /// A file that names images to leave out, by the sha256 of their pixels.
    pub exclude: Option<PathBuf>,
    /// A file that names images and the classes that they have instead.
    pub relabel: Option<PathBuf>,
    /// The value that means white, in tables and arrays.
    pub white: Option<f64>,
    /// Tables: name of the column with the class, or its number from 1.
    pub label_column: Option<String>,
    /// Lists of files: the folder that names are relative to, if that is not the list's.
    pub images: Option<PathBuf>,
    /// IDX and numpy: the file of labels.
    pub labels: Option<PathBuf>,
    /// The file of the test split.
    pub test: Option<PathBuf>,
    /// IDX and numpy: labels of the test split.
    pub test_labels: Option<PathBuf>,
    /// Class names in label order, where labels are numbers.
    pub classes: Vec<String>,
    /// Arrays: rows and columns change places.
    pub transpose: bool,
}

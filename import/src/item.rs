//! What sources give: images with labels, one after another.

use serde::Serialize;

/// The split that an image belongs to, if its source has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// The source has no splits.
    All,
    Train,
    Validation,
    Test,
}

/// A labelled image.
pub(crate) struct Item {
    pub(crate) part: Part,
    pub(crate) label: String,
    /// A file, or a line or index in one.
    pub(crate) origin: String,
    pub(crate) content: Content,
    /// Whether it is meant as an image, whatever its name says.
    pub(crate) is_surely_image: bool,
}

pub(crate) enum Content {
    /// An image file.
    File(Vec<u8>),
    /// Pixels `[C, H, W]`, 0 to 255.
    Pixels { shape: [usize; 3], pixels: Vec<u8> },
    /// A row that does not say what it is.
    NoLabel,
    /// Nothing that can be read, and why.
    Unreadable(String),
}

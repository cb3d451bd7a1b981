//! Shapes between layers.

use std::fmt;

/// Shape of one sample between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `[C, H, W]`.
    Image {
        /// Channels.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// `[F]`.
    Vector(usize),
}

impl Shape {
    /// Values in one sample.
    pub fn numel(self) -> usize {
        self.lengths().iter().product()
    }

    /// Channels of an image, features of a vector.
    pub fn channels(self) -> usize {
        match self {
            Shape::Image { channels, .. } => channels,
            Shape::Vector(features) => features,
        }
    }

    /// `[C, H, W]` or `[F]`.
    pub fn lengths(self) -> Vec<usize> {
        match self {
            Shape::Image { channels, height, width } => vec![channels, height, width],
            Shape::Vector(features) => vec![features],
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.lengths())
    }
}

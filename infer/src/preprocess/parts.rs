//! Connected parts of the ink.

use image::Luma;
use imageproc::region_labelling::{Connectivity, connected_components};

use super::ink::Mask;
use super::plane::Bounds;

/// A group of connected pixels.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Indices of its pixels.
    pub pixels: Vec<usize>,
    /// The smallest rectangle that holds them.
    pub bounds: Bounds,
}

impl Part {
    pub(super) fn height(&self) -> usize {
        self.bounds.bottom - self.bounds.top
    }

    pub(super) fn width(&self) -> usize {
        self.bounds.right - self.bounds.left
    }

    /// Whether it reaches the border of the picture.
    pub(super) fn touches_edge(&self, mask: &Mask) -> bool {
        let Bounds { top, left, bottom, right } = self.bounds;
        top == 0 || left == 0 || bottom == mask.height || right == mask.width
    }

    /// Its longer side.
    pub(super) fn size(&self) -> usize {
        self.height().max(self.width())
    }
}

/// All parts, of eight neighbours, by their first pixel.
pub(super) fn parts(mask: &Mask) -> Vec<Part> {
    let Some(all) = mask.bounds() else { return Vec::new() };
    let labels = connected_components(&mask.part(all), Connectivity::Eight, Luma([0]));
    let count = labels.pixels().map(|label| label.0[0] as usize).max().unwrap_or(0);
    let nothing = Bounds { top: usize::MAX, left: usize::MAX, bottom: 0, right: 0 };
    let mut parts = vec![Part { pixels: Vec::new(), bounds: nothing }; count];
    for (row, labels) in (all.top..).zip(labels.rows()) {
        for (column, label) in (all.left..).zip(labels) {
            let Some(part) = (label.0[0] as usize).checked_sub(1).and_then(|label| parts.get_mut(label))
            else {
                continue;
            };
            part.pixels.push(row * mask.width + column);
            let b = &mut part.bounds;
            (b.top, b.left) = (b.top.min(row), b.left.min(column));
            (b.bottom, b.right) = (b.bottom.max(row + 1), b.right.max(column + 1));
        }
    }
    parts
}

/// Most parts that are looked at; of more, which only textures and noise have, the largest. What compares
/// parts with each other takes the square of their number.
const MOST: usize = 400;

/// All parts if they are not too many, else the largest; in the order of their first pixels.
pub(super) fn largest_parts(mask: &Mask) -> Vec<Part> {
    let mut all = parts(mask);
    if all.len() > MOST {
        all.sort_by_key(|part| std::cmp::Reverse(part.pixels.len()));
        all.truncate(MOST);
        all.sort_by_key(|part| part.pixels.first().copied());
    }
    all
}

/// Takes a part away.
pub(super) fn erase(mask: &mut Mask, part: &Part) {
    part.pixels.iter().for_each(|&index| mask.data[index] = false);
}

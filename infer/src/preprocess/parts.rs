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
    // It has no room for the label of a picture that is one pixel and all ink, hence the row below.
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

/// Most parts that are looked at; of more, the largest: more than fit on a page of writing, but textures and noise have
/// any number. What compares parts with each other takes the square of it.
pub(super) const MOST: usize = 3000;

/// All parts if they are not too many, else the largest, in the order of their first pixels; and the others.
pub(super) fn largest_parts(mask: &Mask) -> (Vec<Part>, Vec<Part>) {
    let mut all = parts(mask);
    if all.len() <= MOST {
        return (all, Vec::new());
    }
    all.sort_by_key(|part| std::cmp::Reverse(part.pixels.len()));
    let others = all.split_off(MOST);
    all.sort_by_key(|part| part.pixels.first().copied());
    (all, others)
}

/// Takes a part away.
pub(super) fn erase(mask: &mut Mask, part: &Part) {
    part.pixels.iter().for_each(|&index| mask.data[index] = false);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a mask by their definition: each pixel takes the smallest number around it until none changes.
    fn expected(mask: &Mask) -> Vec<Vec<usize>> {
        let place = |index: usize| (index / mask.width, index % mask.width);
        let touch = |a: usize, b: usize| {
            let ((y, x), (v, u)) = (place(a), place(b));
            y.abs_diff(v) <= 1 && x.abs_diff(u) <= 1
        };
        let ink: Vec<usize> = (0..mask.data.len()).filter(|&index| mask.data[index]).collect();
        let mut first = ink.clone();
        for _ in 0..ink.len() {
            for a in 0..ink.len() {
                for b in 0..ink.len() {
                    if touch(ink[a], ink[b]) {
                        first[a] = first[a].min(first[b]);
                    }
                }
            }
        }
        let firsts = ink.iter().zip(&first).filter(|(index, first)| index == first).map(|(index, _)| *index);
        firsts
            .map(|part| {
                ink.iter().zip(&first).filter(|(_, first)| **first == part).map(|(i, _)| *i).collect()
            })
            .collect()
    }

    #[test]
    fn parts_of_every_small_mask() {
        for (height, width) in [(1, 1), (1, 2), (2, 1), (1, 5), (5, 1), (2, 2), (3, 3), (3, 4)] {
            for bits in 0u32..1 << (height * width) {
                let data = (0..height * width).map(|index| bits >> index & 1 == 1).collect();
                let mask = Mask { height, width, data };
                let found = parts(&mask);
                let pixels: Vec<_> = found.iter().map(|part| part.pixels.clone()).collect();
                assert_eq!(pixels, expected(&mask), "{mask:?}");
                for part in found {
                    let rows = part.pixels.iter().map(|index| index / width);
                    let columns = part.pixels.iter().map(|index| index % width);
                    assert_eq!(
                        rows.clone().min().zip(rows.max()),
                        Some((part.bounds.top, part.bounds.bottom - 1))
                    );
                    let ends = columns.clone().min().zip(columns.max());
                    assert_eq!(ends, Some((part.bounds.left, part.bounds.right - 1)));
                }
            }
        }
    }
}

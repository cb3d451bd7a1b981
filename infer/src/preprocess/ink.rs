//! What is ink: a mask, and how strong the ink is.

use super::plane::{Bounds, Plane, histogram};

/// Ink on paper.
pub(super) struct Ink {
    /// How much it stands out, 0 to 1, row-major; whatever is not in `mask` does not count.
    pub strength: Plane,
    /// Where there is ink.
    pub mask: Mask,
    /// Contrast of a typical stroke.
    pub typical: f32,
}

/// Which pixels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mask {
    pub height: usize,
    pub width: usize,
    pub data: Vec<bool>,
}

impl Mask {
    pub(super) fn at(&self, row: usize, column: usize) -> bool {
        column < self.width && self.data.get(row * self.width + column).copied().unwrap_or(false)
    }

    /// The smallest rectangle that holds all of it.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        let mut bounds: Option<Bounds> = None;
        for (row, pixels) in self.data.chunks_exact(self.width.max(1)).enumerate() {
            let Some(left) = pixels.iter().position(|&is_ink| is_ink) else { continue };
            let right = pixels.iter().rposition(|&is_ink| is_ink).map_or(left, |last| last + 1);
            let own = Bounds { top: row, left, bottom: row + 1, right };
            bounds = Some(bounds.map_or(own, |bounds| bounds.union(own)));
        }
        bounds
    }

    /// A rectangle of it, white where the mask is, and a black row below.
    pub(super) fn part(&self, part: Bounds) -> image::GrayImage {
        let (height, width) = (part.bottom - part.top, part.right - part.left);
        let rows = self.data.chunks_exact(self.width.max(1)).skip(part.top).take(height);
        let pixels = rows.flat_map(|row| row.iter().skip(part.left).take(width));
        let mut levels: Vec<u8> = pixels.map(|&is_ink| if is_ink { 255 } else { 0 }).collect();
        levels.resize(width * (height + 1), 0);
        image::GrayImage::from_raw(width as u32, height as u32 + 1, levels).expect("a level for each pixel")
    }
}

/// Standard deviations of the noise below which nothing is ink.
const NOISE: f32 = 5.0;
/// Share of the threshold that is enough for what hangs together with ink.
const WEAK: f32 = 0.5;

/// The ink of an image, by how much each pixel stands out; `None` if nothing does.
///
/// `contrast` is the least contrast, `share` the share of the typical one that a stroke must reach.
pub(super) fn separate(strength: Plane, contrast: f64, share: f64) -> Option<Ink> {
    let least = (contrast as f32).max(NOISE * deviation(&strength));
    let typical = typical(&strength, least)?;
    let threshold = least.max(typical * share as f32);
    let mask = hysteresis(&strength, threshold, (WEAK * threshold).max(0.6 * least));
    Some(Ink { strength, mask, typical })
}

/// Standard deviation of the noise, from the median of what stands out: most of an image is ground, also
/// where there is ink.
fn deviation(strength: &Plane) -> f32 {
    let histogram: [usize; 1001] = histogram(strength.data.iter().map(|value| (value * 1000.0) as usize));
    let half = strength.data.len() / 2;
    let mut below = 0;
    let median = histogram.iter().position(|count| {
        below += count;
        below > half
    });
    // A normal distribution's median absolute deviation is 0.6745 standard deviations.
    median.unwrap_or(0) as f32 / 1000.0 / 0.6745
}

/// The contrast that a fifth of all ink exceeds.
fn typical(strength: &Plane, least: f32) -> Option<f32> {
    let mut ink: Vec<f32> = strength.data.iter().copied().filter(|&v| v > least).collect();
    let place = ink.len() * 4 / 5;
    (!ink.is_empty()).then(|| *ink.select_nth_unstable_by(place, f32::total_cmp).1)
}

/// Everything above `strong`, and what hangs together with it above `weak`.
fn hysteresis(strength: &Plane, strong: f32, weak: f32) -> Mask {
    let (height, width) = (strength.height, strength.width);
    let mut data: Vec<bool> = strength.data.iter().map(|&value| value > strong).collect();
    let mut next: Vec<usize> = (0..data.len()).filter(|&index| data[index]).collect();
    while let Some(index) = next.pop() {
        let (row, column) = (index / width, index % width);
        for y in row.saturating_sub(1)..(row + 2).min(height) {
            for x in column.saturating_sub(1)..(column + 2).min(width) {
                let other = y * width + x;
                if !data[other] && strength.data[other] > weak {
                    data[other] = true;
                    next.push(other);
                }
            }
        }
    }
    Mask { height, width, data }
}

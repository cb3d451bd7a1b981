//! One channel of an image, and the operations that both procedures need.

use image::DynamicImage;

/// Grey levels 0 to 255, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plane {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `height * width` values.
    pub data: Vec<f32>,
}

/// A rectangle of pixels, ends excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Bounds {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Row after the last.
    pub bottom: usize,
    /// Column after the last.
    pub right: usize,
}

impl Bounds {
    /// Number of pixels.
    pub fn area(&self) -> usize {
        (self.bottom - self.top) * (self.right - self.left)
    }

    /// The smallest rectangle that holds both.
    pub(crate) fn union(self, other: Bounds) -> Bounds {
        Bounds {
            top: self.top.min(other.top),
            left: self.left.min(other.left),
            bottom: self.bottom.max(other.bottom),
            right: self.right.max(other.right),
        }
    }

    /// The same places on the image at its other size.
    pub fn scaled(self, scale: Scale) -> Bounds {
        let along = |place: usize, from: u32, to: u32| {
            let place = place as f64 * f64::from(to) / f64::from(from.max(1));
            (place.round() as usize).min(to as usize)
        };
        let Scale { from, to } = scale;
        let [left, right] = [self.left, self.right].map(|column| along(column, from.0, to.0));
        let [top, bottom] = [self.top, self.bottom].map(|row| along(row, from.1, to.1));
        Bounds { top, left, bottom, right }
    }
}

/// An image at two sizes, width and height each: sides are rounded, so that no one factor fits both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    from: (u32, u32),
    to: (u32, u32),
}

impl Scale {
    /// From places on the image at one size to those at another.
    pub fn new(from: (u32, u32), to: (u32, u32)) -> Scale {
        Scale { from, to }
    }
}

impl Plane {
    /// All black.
    pub(crate) fn black(height: usize, width: usize) -> Plane {
        Plane { height, width, data: vec![0.0; height * width] }
    }

    /// The grey levels of an image, transparency laid on white (on black where white would hide everything).
    pub(crate) fn grey(image: &DynamicImage) -> Plane {
        if let DynamicImage::ImageLuma8(levels) = image {
            // The general conversion gives the same in several passes.
            let (width, height) = (levels.width() as usize, levels.height() as usize);
            return Plane { height, width, data: levels.iter().copied().map(f32::from).collect() };
        }
        let pixels = image.to_luma_alpha8();
        let (width, height) = (pixels.width() as usize, pixels.height() as usize);
        let on = |background: f32| Plane {
            height,
            width,
            data: pixels.pixels().map(|p| blend(p.0[0], p.0[1], background)).collect(),
        };
        let on_white = on(255.0);
        if image.color().has_alpha() && on_white.contrast() < 16.0 { on(0.0) } else { on_white }
    }

    /// Red, green and blue of an image, transparency laid on white: as the named procedures do.
    pub(crate) fn colours(image: &DynamicImage) -> [Plane; 3] {
        let pixels = image.to_rgba8();
        let (width, height) = (pixels.width() as usize, pixels.height() as usize);
        let channel = |c: usize| Plane {
            height,
            width,
            data: pixels.pixels().map(|p| blend(p.0[c.min(2)], p.0[3], 255.0)).collect(),
        };
        [channel(0), channel(1), channel(2)]
    }

    /// The value at a pixel, 0 outside.
    pub(crate) fn at(&self, row: usize, column: usize) -> f32 {
        if column >= self.width {
            return 0.0;
        }
        self.data.get(row * self.width + column).copied().unwrap_or(0.0)
    }

    /// Rounded and clamped to bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.data.iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect()
    }

    /// As a picture, values multiplied by `scale`.
    pub(super) fn to_image(&self, scale: f32) -> image::GrayImage {
        let level = |x: u32, y: u32| {
            let value = self.at(y as usize, x as usize) * scale;
            image::Luma([value.round().clamp(0.0, 255.0) as u8])
        };
        image::GrayImage::from_fn(self.width as u32, self.height as u32, level)
    }

    /// Black for white.
    pub(super) fn inverted(&self) -> Plane {
        Plane { data: self.data.iter().map(|v| 255.0 - v).collect(), ..*self }
    }

    /// Difference between the brightest and the darkest value.
    fn contrast(&self) -> f32 {
        let (low, high) = self.data.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        high - low
    }

    /// The brightest value.
    pub(super) fn max(&self) -> f32 {
        self.data.iter().copied().fold(0.0, f32::max)
    }

    /// Median of the outermost pixels.
    pub(super) fn border_median(&self) -> f32 {
        let (height, width) = (self.height, self.width);
        let rows = (0..width).flat_map(|x| [self.at(0, x), self.at(height - 1, x)]);
        let columns = (0..height).flat_map(|y| [self.at(y, 0), self.at(y, width - 1)]);
        median(rows.chain(columns).collect())
    }

    /// Median of the four corners, each a square of a fourteenth of the shorter side.
    pub(super) fn corner_median(&self) -> f32 {
        let size = (self.height.min(self.width) / 14).max(1);
        let (down, across) = (self.height - size, self.width - size);
        let cells = (0..size * size).map(|i| (i / size, i % size));
        let corners = cells.flat_map(|(y, x)| {
            [self.at(y, x), self.at(y, across + x), self.at(down + y, x), self.at(down + y, across + x)]
        });
        median(corners.collect())
    }

    /// The smallest rectangle that holds every pixel above `threshold`.
    pub(super) fn bounds(&self, threshold: f32) -> Option<Bounds> {
        let mut bounds: Option<Bounds> = None;
        for (index, _) in self.data.iter().enumerate().filter(|(_, v)| **v > threshold) {
            let (row, column) = (index / self.width, index % self.width);
            let b =
                bounds.get_or_insert(Bounds { top: row, left: column, bottom: row + 1, right: column + 1 });
            b.bottom = row + 1;
            b.left = b.left.min(column);
            b.right = b.right.max(column + 1);
        }
        bounds
    }

    /// A rectangle by itself.
    pub(super) fn part(&self, bounds: Bounds) -> Plane {
        let mut part = Plane::black(bounds.bottom - bounds.top, bounds.right - bounds.left);
        for row in 0..part.height {
            for column in 0..part.width {
                part.data[row * part.width + column] = self.at(bounds.top + row, bounds.left + column);
            }
        }
        part
    }

    /// A rectangle, put into the middle of a black square.
    pub(super) fn squared(&self, bounds: Bounds) -> Plane {
        let (height, width) = (bounds.bottom - bounds.top, bounds.right - bounds.left);
        let side = height.max(width);
        let (down, across) = ((side - height) / 2, (side - width) / 2);
        let mut square = Plane::black(side, side);
        for row in 0..height {
            for column in 0..width {
                let value = self.at(bounds.top + row, bounds.left + column);
                if let Some(pixel) = square.data.get_mut((down + row) * side + across + column) {
                    *pixel = value;
                }
            }
        }
        square
    }

    /// Resized so that each new pixel is the mean of the area that it covers.
    pub(crate) fn resize_area(&self, height: usize, width: usize) -> Plane {
        let across = resize_rows(&self.data, self.width, width);
        let turned = transpose(&across, self.height, width);
        let down = resize_rows(&turned, self.height, height);
        Plane { height, width, data: transpose(&down, width, height) }
    }
}

/// A level of a pixel that is so opaque, on a background.
pub(super) fn blend(value: u8, alpha: u8, background: f32) -> f32 {
    let share = f32::from(alpha) / 255.0;
    if alpha == 255 { value.into() } else { f32::from(value) * share + background * (1.0 - share) }
}

pub(super) fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// How often each of `N` values occurs.
pub(super) fn histogram<const N: usize>(values: impl Iterator<Item = usize>) -> [usize; N] {
    // In turn: most pixels of an image are alike, and each addition to a counter waits for the one before.
    let mut counts = [[0; N]; 4];
    for (index, value) in values.enumerate() {
        counts[index % 4][value] += 1;
    }
    std::array::from_fn(|value| counts.iter().map(|counts| counts[value]).sum())
}

/// Every row of length `from` becomes one of length `to`.
fn resize_rows(data: &[f32], from: usize, to: usize) -> Vec<f32> {
    let step = from as f64 / to as f64;
    // The pixels that each new one covers, and how much of each.
    let covered: Vec<(usize, Vec<f64>)> = (0..to)
        .map(|index| {
            let (start, end) = (index as f64 * step, (index + 1) as f64 * step);
            let share = |pixel: usize| (end.min(pixel as f64 + 1.0) - start.max(pixel as f64)).max(0.0);
            let first = start as usize;
            (first, (first..(end.ceil() as usize).min(from)).map(share).collect())
        })
        .collect();
    let mut out = Vec::with_capacity(data.len() / from.max(1) * to);
    for row in data.chunks_exact(from.max(1)) {
        out.extend(covered.iter().map(|(first, shares)| {
            let values = row[*first..].iter().zip(shares);
            let sum = values.fold(0.0, |sum, (&value, share)| sum + f64::from(value) * share);
            (sum / step) as f32
        }));
    }
    out
}

fn transpose(data: &[f32], height: usize, width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    for column in 0..width {
        out.extend((0..height).filter_map(|row| data.get(row * width + column)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn area_mean_of_whole_and_part_pixels() {
        let plane = Plane { height: 2, width: 4, data: vec![0.0, 2.0, 4.0, 6.0, 2.0, 4.0, 6.0, 8.0] };
        assert_eq!(plane.resize_area(1, 2).data, [2.0, 6.0]);
        let row = Plane { height: 1, width: 3, data: vec![0.0, 3.0, 6.0] };
        assert_eq!(row.resize_area(1, 2).data, [1.0, 5.0]);
        assert_eq!(row.resize_area(1, 3), row);
    }

    #[test]
    fn each_side_has_its_own_scale_and_nothing_is_outside() {
        let scale = Scale::new((126, 1626), (1001, 13_001));
        let bounds = Bounds { top: 813, left: 63, bottom: 1626, right: 126 };
        assert_eq!(bounds.scaled(scale), Bounds { top: 6501, left: 501, bottom: 13_001, right: 1001 });
        let scale = Scale::new((1024, 641), (1600, 1001));
        assert_eq!(Bounds { top: 0, left: 0, bottom: 641, right: 1024 }.scaled(scale).bottom, 1001);
    }

    proptest! {
        #[test]
        fn resizing_keeps_the_mean(height in 1usize..20, width in 1usize..20, to in 1usize..20, seed in any::<u32>()) {
            let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as f32;
            let plane = Plane { height, width, data: (0..height * width).map(value).collect() };
            let mean = |p: &Plane| p.data.iter().sum::<f32>() / p.data.len() as f32;
            prop_assert!((mean(&plane) - mean(&plane.resize_area(to, to))).abs() < 0.01);
        }
    }
}

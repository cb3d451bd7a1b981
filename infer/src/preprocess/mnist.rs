//! The MNIST procedure (<http://yann.lecun.com/exdb/mnist/>): bright ink on black, fitted
//! into a 20x20 box with its grey levels, placed so that its centre of mass is the centre
//! of 28x28. Before that, what a photo or a drawing needs: polarity, background, specks.

use super::plane::{Plane, histogram};

/// Share of the side that the longer side of the ink takes: 20 of 28.
const BOX_SHARE: f32 = 20.0 / 28.0;
/// Groups of connected ink below this share of the largest are specks.
const SPECK_SHARE: f32 = 0.02;
/// A border darker than this is the black that MNIST has.
const BLACK: f32 = 16.0;
/// MNIST rounds the centre of mass to the pixel right and below of the centre: in all its
/// 70,000 images it lies 0 to 1 pixel beyond the exact middle, 0.5 on average (measured).
const BEYOND_MIDDLE: f32 = 0.5;

/// A digit as MNIST would hold it, `height` x `width`.
pub(super) fn normalise(grey: &Plane, height: usize, width: usize) -> Plane {
    if is_normal_form(grey, height, width) {
        return grey.clone();
    }
    let ink = isolate_ink(grey);
    let Some(bounds) = ink.bounds(0.0) else { return Plane::black(height, width) };
    let side = ((height.min(width) as f32) * BOX_SHARE).round().max(1.0) as usize;
    let mut small = ink.squared(bounds).resize_area(side, side);
    let max = small.max();
    small.data.iter_mut().for_each(|v| *v *= 255.0 / max.max(1.0));
    paste_by_mass(&small, height, width)
}

/// Whether an image is as in MNIST already: right size, black border, ink within the
/// box and balanced about the middle. It must then pass unchanged.
fn is_normal_form(grey: &Plane, height: usize, width: usize) -> bool {
    if (grey.height, grey.width) != (height, width) || grey.border_median() > BLACK {
        return false;
    }
    fits(grey, height.min(width) as f32 * BOX_SHARE) == Some(true)
}

/// Whether an image of the right size looks like one of the dataset: black around content that is at
/// most `side` pixels long and balanced about the middle, or anywhere if `side` is 0.
pub(super) fn is_like_dataset(grey: &Plane, side: usize) -> bool {
    if side == 0 {
        // Many garments reach the corners.
        return grey.corner_median() <= 127.0 && grey.max() > 0.0;
    }
    grey.border_median() <= BLACK && fits(grey, side as f32) == Some(true)
}

/// Whether the content fits into a box in the middle; `None` for a black image.
fn fits(grey: &Plane, side: f32) -> Option<bool> {
    let bounds = grey.bounds(0.0)?;
    let longest = (bounds.bottom - bounds.top).max(bounds.right - bounds.left) as f32;
    let (y, x) = center_of_mass(grey);
    let off = |mass: f32, length: usize| (mass - length as f32 / 2.0 - BEYOND_MIDDLE).abs();
    // In all of MNIST the ink is 19 or 20 long.
    Some(longest <= side + 1.0 && off(y, grey.height) <= 1.0 && off(x, grey.width) <= 1.0)
}

/// Bright ink on exactly black: inverted if needed, without background and specks.
fn isolate_ink(grey: &Plane) -> Plane {
    let mut ink = if grey.border_median() > 127.0 { grey.inverted() } else { grey.clone() };
    let background = ink.border_median();
    ink.data.iter_mut().for_each(|v| *v = (*v - background).max(0.0));
    let threshold = otsu_threshold(&ink);
    // Grey levels stay, also those of soft edges; what is far below the threshold is background.
    let floor = threshold / 2.0;
    ink.data.iter_mut().filter(|v| **v < floor).for_each(|v| *v = 0.0);
    drop_specks(&mut ink);
    ink
}

/// The level that best divides the values into two classes (Otsu 1979, IEEE SMC 9(1), 62-66).
fn otsu_threshold(plane: &Plane) -> f32 {
    let histogram: [usize; 256] = histogram(plane.data.iter().map(|v| usize::from(*v as u8)));
    let total = plane.data.len() as f64;
    let sum: f64 = histogram.iter().enumerate().map(|(level, &n)| level as f64 * n as f64).sum();
    let (mut below, mut sum_below) = (0.0, 0.0);
    let (mut best, mut best_variance) = (0, 0.0);
    for (level, &count) in histogram.iter().enumerate() {
        below += count as f64;
        sum_below += level as f64 * count as f64;
        let above = total - below;
        if below == 0.0 || above == 0.0 {
            continue;
        }
        let difference = sum_below / below - (sum - sum_below) / above;
        let variance = below * above * difference * difference;
        if variance > best_variance {
            (best, best_variance) = (level, variance);
        }
    }
    best as f32 + 1.0
}

/// Blackens groups of connected pixels (eight neighbours) with little mass.
fn drop_specks(ink: &mut Plane) {
    let groups = connected_groups(ink);
    let mass = |group: &[usize]| group.iter().filter_map(|&i| ink.data.get(i)).sum::<f32>();
    let masses: Vec<f32> = groups.iter().map(|g| mass(g)).collect();
    let largest = masses.iter().copied().fold(0.0, f32::max);
    for (group, _) in groups.iter().zip(&masses).filter(|(_, mass)| **mass < SPECK_SHARE * largest) {
        for &index in group {
            if let Some(pixel) = ink.data.get_mut(index) {
                *pixel = 0.0;
            }
        }
    }
}

fn connected_groups(ink: &Plane) -> Vec<Vec<usize>> {
    let (height, width) = (ink.height as isize, ink.width as isize);
    let mut seen: Vec<bool> = ink.data.iter().map(|&v| v <= 0.0).collect();
    let mut groups = Vec::new();
    for start in 0..seen.len() {
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        let (mut group, mut next) = (vec![start], 0);
        while let Some(&index) = group.get(next) {
            next += 1;
            let (row, column) = (index as isize / width, index as isize % width);
            for (dy, dx) in [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)] {
                let (y, x) = (row + dy, column + dx);
                if y < 0 || x < 0 || y >= height || x >= width {
                    continue;
                }
                let neighbour = (y * width + x) as usize;
                if !std::mem::replace(&mut seen[neighbour], true) {
                    group.push(neighbour);
                }
            }
        }
        groups.push(group);
    }
    groups
}

/// Centre of mass in pixels from the upper left corner; the middle of pixel 0 is 0.5.
fn center_of_mass(plane: &Plane) -> (f32, f32) {
    let (mut mass, mut y, mut x) = (0.0f64, 0.0f64, 0.0f64);
    for (index, &value) in plane.data.iter().enumerate() {
        let value = f64::from(value);
        mass += value;
        y += value * ((index / plane.width) as f64 + 0.5);
        x += value * ((index % plane.width) as f64 + 0.5);
    }
    if mass == 0.0 { (0.0, 0.0) } else { ((y / mass) as f32, (x / mass) as f32) }
}

/// Puts `small` on black so that its centre of mass is where MNIST has it, as far as it stays inside.
pub(super) fn paste_by_mass(small: &Plane, height: usize, width: usize) -> Plane {
    let (y, x) = center_of_mass(small);
    let offset = |length: usize, mass: f32, small: usize| {
        let wanted = (length as f32 / 2.0 + BEYOND_MIDDLE - mass).round().max(0.0) as usize;
        wanted.min(length.saturating_sub(small))
    };
    place(small, height, width, offset(height, y, small.height), offset(width, x, small.width))
}

/// Puts `small` on black, its middle in the middle.
pub(super) fn paste(small: &Plane, height: usize, width: usize) -> Plane {
    place(
        small,
        height,
        width,
        height.saturating_sub(small.height) / 2,
        width.saturating_sub(small.width) / 2,
    )
}

fn place(small: &Plane, height: usize, width: usize, top: usize, left: usize) -> Plane {
    let mut out = Plane::black(height, width);
    for row in 0..small.height {
        for column in 0..small.width {
            if let Some(pixel) = out.data.get_mut((top + row) * width + left + column) {
                *pixel = small.at(row, column);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bar with soft edges, dark on bright, off the middle, with a speck.
    fn drawing() -> Plane {
        let mut plane = Plane { height: 100, width: 140, data: vec![250.0; 14_000] };
        for row in 20..80 {
            for column in 90..100 {
                plane.data[row * 140 + column] = if column == 90 || column == 99 { 120.0 } else { 10.0 };
            }
        }
        plane.data[5 * 140 + 5] = 0.0;
        plane
    }

    #[test]
    fn a_drawing_becomes_centred_bright_ink_of_twenty_rows() {
        let normal = normalise(&drawing(), 28, 28);
        let bounds = normal.bounds(0.0).unwrap();
        assert_eq!(bounds.bottom - bounds.top, 20);
        assert_eq!(normal.max(), 255.0);
        let (y, x) = center_of_mass(&normal);
        assert!((y - 14.5).abs() <= 0.5 && (x - 14.5).abs() <= 0.5, "{y} {x}");
    }

    #[test]
    fn polarity_and_size_do_not_matter() {
        let expected = normalise(&drawing(), 28, 28);
        let difference = |other: Plane| {
            let other = normalise(&other, 28, 28);
            expected.data.iter().zip(&other.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        assert_eq!(difference(drawing().inverted()), 0.0);
        assert!(difference(drawing().resize_area(300, 420)) < 40.0);
    }

    #[test]
    fn the_normal_form_is_a_fixed_point() {
        let once = normalise(&drawing(), 28, 28);
        assert_eq!(normalise(&once, 28, 28), once);
    }

    #[test]
    fn empty_and_tiny_images_give_black() {
        for value in [0.0, 128.0, 255.0] {
            let plane = Plane { height: 3, width: 2, data: vec![value; 6] };
            assert_eq!(normalise(&plane, 28, 28).max(), 0.0);
        }
        assert_eq!(normalise(&Plane { height: 1, width: 1, data: vec![9.0] }, 28, 28).max(), 0.0);
    }
}

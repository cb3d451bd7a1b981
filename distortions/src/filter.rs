//! Sharpness and tone: blur, strokes made thicker and thinner, pixels, contrast, edges.

use crate::plane::Plane;

/// What lies beyond the edge for a blur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// The edge again and again.
    Nearest,
    /// The image mirrored.
    Reflect,
}

/// Gaussian blur, cut off at three sigma, edges continued.
pub fn gaussian(plane: &mut Plane<'_>, sigma: f32) {
    convolve(plane, sigma, Edge::Nearest);
}

/// The same for noise: mirrored at the edges, so that those are not stronger than the rest.
pub(crate) fn smooth(plane: &mut Plane<'_>, sigma: f32) {
    convolve(plane, sigma, Edge::Reflect);
}

fn convolve(plane: &mut Plane<'_>, sigma: f32, edge: Edge) {
    if sigma <= 0.0 {
        return;
    }
    let radius = (3.0 * sigma + 0.5) as isize;
    let weight = |offset: isize| libm::expf(-((offset * offset) as f32) / (2.0 * sigma * sigma));
    let mut kernel: Vec<f32> = (-radius..=radius).map(weight).collect();
    let sum: f32 = kernel.iter().sum();
    kernel.iter_mut().for_each(|weight| *weight /= sum);
    let (height, width) = (plane.height, plane.width);
    lines(plane.pixels, [width, 1], [height, width], &kernel, edge);
    lines(plane.pixels, [height, width], [width, 1], &kernel, edge);
}

/// Convolves `count` lines that start `stride` apart, of `length` values that are `step` apart.
fn lines(
    pixels: &mut [f32],
    [length, step]: [usize; 2],
    [count, stride]: [usize; 2],
    kernel: &[f32],
    edge: Edge,
) {
    let radius = kernel.len() / 2;
    let mut padded = vec![0.0; length + 2 * radius];
    for line in 0..count {
        let start = line * stride;
        for (place, value) in padded.iter_mut().enumerate() {
            let from = match edge {
                Edge::Nearest => place.saturating_sub(radius).min(length - 1),
                Edge::Reflect => {
                    let around = (place as isize - radius as isize).rem_euclid(2 * length as isize) as usize;
                    around.min(2 * length - 1 - around)
                }
            };
            *value = pixels[start + from * step];
        }
        for (place, window) in padded.windows(kernel.len()).enumerate() {
            let sum = window.iter().zip(kernel).fold(0.0, |sum, (value, weight)| sum + value * weight);
            pixels[start + place * step] = sum;
        }
    }
}

/// Blur along a line: a one-sided Gaussian of `sigma` over `length` pixels in the direction `degrees`
/// (what ImageMagick's `-motion-blur` does, on which published suites stand).
pub fn motion(plane: &mut Plane<'_>, length: usize, sigma: f32, degrees: f32) {
    let (sin, cos) = libm::sincosf(degrees.to_radians());
    let weight = |offset: usize| libm::expf(-((offset * offset) as f32) / (2.0 * sigma * sigma));
    let kernel: Vec<(f32, isize, isize)> = (0..length.max(1))
        .map(|offset| {
            let along = |part: f32| libm::roundf(offset as f32 * part) as isize;
            (weight(offset), along(sin), along(cos))
        })
        .collect();
    let sum: f32 = kernel.iter().map(|(weight, ..)| weight).sum();
    let source = plane.pixels.to_vec();
    let (height, width) = (plane.height, plane.width);
    let mut source = source;
    let source = Plane::new(&mut source, height, width);
    plane.each(|row, column, pixel| {
        let value = |&(weight, down, right): &(f32, isize, isize)| {
            weight * source.nearest(row as isize + down, column as isize + right)
        };
        *pixel = kernel.iter().map(value).sum::<f32>() / sum;
    });
}

/// Strokes made thicker (`amount` above 0) or thinner (below): a mixture of the image with its largest or
/// smallest neighbours in a cross, repeated for each whole unit of `amount`.
pub fn stroke(plane: &mut Plane<'_>, amount: f32) {
    let mut left = amount.abs();
    while left > 0.0 {
        let share = left.min(1.0);
        let mut source = plane.pixels.to_vec();
        let source = Plane::new(&mut source, plane.height, plane.width);
        plane.each(|row, column, pixel| {
            let (row, column) = (row as isize, column as isize);
            let around = [(-1, 0), (1, 0), (0, -1), (0, 1)];
            let others = around.map(|(down, right)| source.nearest(row + down, column + right));
            let extreme = others.into_iter().fold(*pixel, if amount > 0.0 { f32::max } else { f32::min });
            *pixel += share * (extreme - *pixel);
        });
        left -= 1.0;
    }
}

/// Squares of pixels replaced by their mean, as if the image had `rows x columns` pixels.
pub fn pixelate(plane: &mut Plane<'_>, rows: usize, columns: usize) {
    let (height, width) = (plane.height, plane.width);
    let (rows, columns) = (rows.clamp(1, height), columns.clamp(1, width));
    let cell = |row: usize, column: usize| row * rows / height * columns + column * columns / width;
    let mut sums = vec![(0.0f32, 0u32); rows * columns];
    plane.each(|row, column, pixel| {
        let (sum, count) = &mut sums[cell(row, column)];
        *sum += *pixel;
        *count += 1;
    });
    plane.each(|row, column, pixel| {
        let (sum, count) = sums[cell(row, column)];
        *pixel = sum / count.max(1) as f32;
    });
}

/// Distances from the mean multiplied by `contrast`, then `brightness` (0 to 255) added.
pub fn tone(plane: &mut Plane<'_>, contrast: f32, brightness: f32) {
    let mean = plane.mean();
    plane.map(|value| ((value - mean) * contrast + mean + brightness).clamp(0.0, 255.0));
}

/// Edges as thin bright lines: Gaussian of `sigma`, Sobel gradients, local maxima along the gradient, then
/// 0.2 and 0.1 of full contrast as the thresholds of hysteresis (Canny 1986, IEEE PAMI 8(6)).
pub fn edges(plane: &mut Plane<'_>, sigma: f32) {
    gaussian(plane, sigma);
    let (height, width) = (plane.height, plane.width);
    let gradient = |row: usize, column: usize| {
        let at =
            |down: isize, right: isize| plane.nearest(row as isize + down, column as isize + right) / 255.0;
        let down = at(1, -1) + 2.0 * at(1, 0) + at(1, 1) - at(-1, -1) - 2.0 * at(-1, 0) - at(-1, 1);
        let right = at(-1, 1) + 2.0 * at(0, 1) + at(1, 1) - at(-1, -1) - 2.0 * at(0, -1) - at(1, -1);
        (down / 4.0, right / 4.0)
    };
    let gradients: Vec<(f32, f32)> = (0..height * width).map(|i| gradient(i / width, i % width)).collect();
    let magnitude = |row: isize, column: isize| {
        let inside = row >= 0 && column >= 0 && row < height as isize && column < width as isize;
        let (down, right) =
            if inside { gradients[row as usize * width + column as usize] } else { (0.0, 0.0) };
        libm::sqrtf(down * down + right * right)
    };
    let ridge = |index: usize| {
        let (row, column) = ((index / width) as isize, (index % width) as isize);
        let (down, right) = gradients[index];
        let here = magnitude(row, column);
        // The neighbour in the direction of the gradient, of eight.
        let part = |value: f32| if here > 0.0 { libm::roundf(value / here) as isize } else { 0 };
        let (dy, dx) = (part(down), part(right));
        let is_largest = here >= magnitude(row + dy, column + dx) && here > magnitude(row - dy, column - dx);
        if is_largest { here } else { 0.0 }
    };
    let ridges: Vec<f32> = (0..height * width).map(ridge).collect();
    let mut edge: Vec<bool> = ridges.iter().map(|&value| value >= 0.2).collect();
    let mut next: Vec<usize> = (0..edge.len()).filter(|&index| edge[index]).collect();
    while let Some(index) = next.pop() {
        for (row, column) in neighbours(index / width, index % width, height, width) {
            let other = row * width + column;
            if !edge[other] && ridges[other] >= 0.1 {
                edge[other] = true;
                next.push(other);
            }
        }
    }
    plane.pixels.iter_mut().zip(edge).for_each(|(pixel, edge)| *pixel = if edge { 255.0 } else { 0.0 });
}

fn neighbours(
    row: usize,
    column: usize,
    height: usize,
    width: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let rows = row.saturating_sub(1)..(row + 2).min(height);
    rows.flat_map(move |y| (column.saturating_sub(1)..(column + 2).min(width)).map(move |x| (y, x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square() -> Vec<f32> {
        let inside = |i: usize| (7..14).contains(&(i / 20)) && (7..14).contains(&(i % 20));
        (0..400).map(|i| if inside(i) { 200.0 } else { 0.0 }).collect()
    }

    fn change(how: impl Fn(&mut Plane<'_>)) -> Vec<f32> {
        let mut pixels = square();
        how(&mut Plane::new(&mut pixels, 20, 20));
        pixels
    }

    fn sum(pixels: &[f32]) -> f32 {
        pixels.iter().sum()
    }

    #[test]
    fn blur_and_pixels_keep_the_sum() {
        let before = sum(&square());
        for after in [
            change(|plane| gaussian(plane, 1.5)),
            change(|plane| motion(plane, 5, 2.0, 30.0)),
            change(|plane| pixelate(plane, 10, 10)),
        ] {
            assert!((sum(&after) / before - 1.0).abs() < 1e-3, "{}", sum(&after));
            assert_ne!(after, square());
        }
    }

    #[test]
    fn strokes_grow_and_shrink() {
        let area = |amount: f32| sum(&change(|plane| stroke(plane, amount))) / 200.0;
        assert_eq!((area(0.0), area(1.0), area(-1.0)), (49.0, 77.0, 25.0));
        assert!(area(0.5) > 49.0 && area(0.5) < 77.0 && area(-1.5) < 25.0);
    }

    #[test]
    fn edges_of_a_square_are_its_outline() {
        let outline = change(|plane| edges(plane, 1.0));
        let bright = outline.iter().filter(|&&value| value == 255.0).count();
        assert!((20..40).contains(&bright), "{bright}");
        assert_eq!(outline[10 * 20 + 10], 0.0);
        assert_eq!(change(|plane| plane.map(|_| 9.0)).len(), 400);
    }

    #[test]
    fn tone_moves_levels() {
        let gray = change(|plane| tone(plane, 0.0, 10.0));
        assert!(gray.iter().all(|&value| (value - gray[0]).abs() < 1e-3));
    }
}

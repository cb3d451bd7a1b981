//! Things drawn over an image: lines, stripes, fog, splashes, rectangles.

use crate::plane::Plane;
use crate::random::Stream;

/// A point, `[row, column]`.
pub type Point = [f32; 2];

/// Adds a straight line of full brightness, as wide as published suites draw it: the brightness falls
/// off as `1 + ln(1 - d / 2.3)` with the distance `d` from the line.
pub fn line(plane: &mut Plane<'_>, from: Point, to: Point, brightness: f32, visible: impl Fn(usize) -> bool) {
    plane.each(|row, column, pixel| {
        if visible(column) {
            let distance = distance_to_segment([row as f32, column as f32], from, to);
            let share = if distance < 2.3 { (libm::logf(1.0 - distance / 2.3) + 1.0).max(0.0) } else { 0.0 };
            *pixel = (*pixel + share * brightness).min(255.0);
        }
    });
}

/// Distance of a point from a segment.
pub fn distance_to_segment(point: Point, from: Point, to: Point) -> f32 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let offset = [point[0] - from[0], point[1] - from[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    let share = if length > 0.0 {
        ((offset[0] * along[0] + offset[1] * along[1]) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let [down, right] = [offset[0] - share * along[0], offset[1] - share * along[1]];
    libm::sqrtf(down * down + right * right)
}

/// A zigzag from the left to the right, teeth of two pixels either way.
pub fn zigzag(plane: &mut Plane<'_>, brightness: f32, stream: &mut Stream) {
    let (height, width) = (plane.height as f32, plane.width as f32);
    let start = stream.unit() * (height - 1.0);
    let end = start + stream.symmetric(5.0);
    let (first, last) = (2.0, width - 3.0);
    let at = |column: f32, tooth: f32| {
        let share = (column - first) / (last - first).max(1.0);
        [start + share * (end - start) + tooth, column]
    };
    let (mut from, mut column, mut tooth) = (at(first, 0.0), first + 2.0, 2.0);
    while column < last {
        let to = at(column, tooth);
        line(plane, from, to, brightness, |_| true);
        (from, column, tooth) = (to, column + 4.0, -tooth);
    }
}

/// Columns to the left and to the right turned into their negative by `share` (1: wholly), `width` of
/// them each.
pub fn stripes(plane: &mut Plane<'_>, width: usize, share: f32) {
    let right = plane.width.saturating_sub(width);
    plane.each(|_, column, pixel| {
        if column < width || column >= right {
            *pixel += share * (255.0 - 2.0 * *pixel);
        }
    });
}

/// Fog: a cloud of brightness (0 to 1 times `amount`) is added and the whole scaled back; the smaller
/// `decay`, the finer the cloud (midpoint displacement).
pub fn fog(plane: &mut Plane<'_>, amount: f32, decay: f32, stream: &mut Stream) {
    let cloud = cloud(plane.height.max(plane.width), decay, stream);
    let largest = plane.pixels.iter().fold(0f32, |largest, &value| largest.max(value)) / 255.0;
    let scale = if largest > 0.0 { largest / (largest + amount) } else { 1.0 / (1.0 + amount) };
    let side = cloud.1;
    plane
        .each(|row, column, pixel| *pixel = (*pixel + 255.0 * amount * cloud.0[row * side + column]) * scale);
    plane.clamp();
}

/// A square cloud of values from 0 to 1 by the diamond-square algorithm, and its side.
pub fn cloud(side: usize, decay: f32, stream: &mut Stream) -> (Vec<f32>, usize) {
    let size = side.next_power_of_two().max(2);
    let mut map = vec![0.0f32; size * size];
    let (mut step, mut wobble) = (size, 1.0);
    while step > 1 {
        let half = step / 2;
        let at = |map: &[f32], row: usize, column: usize| map[row % size * size + column % size];
        for row in (0..size).step_by(step) {
            for column in (0..size).step_by(step) {
                let corners = at(&map, row, column)
                    + at(&map, row + step, column)
                    + at(&map, row, column + step)
                    + at(&map, row + step, column + step);
                map[(row + half) * size + column + half] = corners / 4.0 + stream.symmetric(wobble);
            }
        }
        for row in (0..size).step_by(half) {
            for column in (0..size).step_by(half).filter(|column| (row + column) / half % 2 == 1) {
                let around = at(&map, row + size - half, column)
                    + at(&map, row + half, column)
                    + at(&map, row, column + size - half)
                    + at(&map, row, column + half);
                map[row * size + column] = around / 4.0 + stream.symmetric(wobble);
            }
        }
        (step, wobble) = (half, wobble / decay);
    }
    let (low, high) = map.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    map.iter_mut().for_each(|value| *value = (*value - low) / (high - low).max(1e-6));
    (map, size)
}

/// Splashes of mud: smooth noise above `level` covers the image in dark grey.
pub fn splashes(plane: &mut Plane<'_>, [mean, deviation, sigma, level, edge]: [f32; 5], stream: &mut Stream) {
    let (height, width) = (plane.height, plane.width);
    let mut cover: Vec<f32> = (0..height * width).map(|_| mean + deviation * stream.normal()).collect();
    crate::filter::gaussian(&mut Plane::new(&mut cover, height, width), sigma);
    cover.iter_mut().for_each(|value| *value = if *value > level { 1.0 } else { 0.0 });
    crate::filter::gaussian(&mut Plane::new(&mut cover, height, width), edge);
    plane.each(|row, column, pixel| {
        let share = cover[row * width + column];
        if share >= 0.8 {
            *pixel = *pixel * (1.0 - share) + 63.0 * share;
        }
    });
}

/// Fills a rectangle, as far as it lies within the image.
pub fn rectangle(
    plane: &mut Plane<'_>,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    value: f32,
) {
    plane.each(|row, column, pixel| {
        if rows.contains(&row) && columns.contains(&column) {
            *pixel = value;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stay_within_levels_and_any_size() {
        for side in [1, 2, 5, 28, 33] {
            let mut pixels: Vec<f32> = (0..side * side).map(|i| (i * 7 % 256) as f32).collect();
            let mut plane = Plane::new(&mut pixels, side, side);
            let stream = &mut Stream::new(1, "test", 0, side as u64);
            zigzag(&mut plane, 255.0, stream);
            stripes(&mut plane, 7, 1.0);
            fog(&mut plane, 2.0, 1.5, stream);
            splashes(&mut plane, [0.65, 0.3, 1.0, 0.65, 1.5], stream);
            line(&mut plane, [0.0, 0.0], [side as f32, side as f32], 255.0, |_| true);
            assert!(pixels.iter().all(|value| (0.0..=255.0).contains(value)));
        }
    }

    #[test]
    fn a_line_is_brightest_on_itself() {
        let mut pixels = vec![0.0; 100];
        line(&mut Plane::new(&mut pixels, 10, 10), [5.0, 0.0], [5.0, 9.0], 200.0, |column| column % 2 == 0);
        assert_eq!((pixels[54], pixels[55]), (200.0, 0.0));
        assert!(pixels[64] < 200.0 && pixels[94] == 0.0);
    }

    #[test]
    fn clouds_fill_their_range() {
        let (cloud, side) = cloud(28, 1.7, &mut Stream::new(1, "test", 0, 0));
        assert_eq!((side, cloud.len()), (32, 1024));
        assert!(cloud.contains(&0.0) && cloud.iter().any(|&v| v > 0.999));
    }
}

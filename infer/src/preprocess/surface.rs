//! Light or ground that changes slowly: a surface of second degree.

use super::plane::{Plane, median};

/// How far off a pixel may lie to count, round by round, levels: objects are to be left out.
const REACH: [f64; 3] = [64.0, 32.0, 16.0];

/// `1, x, y, x^2, x y, y^2` with `x` and `y` from -1 to 1.
fn terms(row: usize, column: usize, plane: &Plane) -> [f64; 6] {
    let place = |at: usize, length: usize| 2.0 * (at as f64 + 0.5) / length as f64 - 1.0;
    let (y, x) = (place(row, plane.height), place(column, plane.width));
    [1.0, x, y, x * x, x * y, y * y]
}

/// The surface through the pixels that `counts(row, column)` names, at every pixel: least squares three
/// times, each time without what lies far off the last.
pub(super) fn fit(plane: &Plane, counts: impl Fn(usize, usize) -> bool) -> Plane {
    let points: Vec<([f64; 6], f64)> = (0..plane.data.len())
        .map(|index| (index / plane.width, index % plane.width, plane.data[index]))
        .filter(|&(row, column, _)| counts(row, column))
        .map(|(row, column, value)| (terms(row, column, plane), f64::from(value)))
        .collect();
    let middle = median(points.iter().map(|(_, value)| *value as f32).collect());
    let mut found = [f64::from(middle), 0.0, 0.0, 0.0, 0.0, 0.0];
    for reach in REACH {
        let near: Vec<_> =
            points.iter().filter(|(terms, value)| (value - dot(&found, terms)).abs() < reach).collect();
        // A surface that bends is not known from a few pixels.
        if near.len() * 3 < points.len() {
            break;
        }
        found = least_squares(&near).unwrap_or(found);
    }
    let level = |index: usize| dot(&found, &terms(index / plane.width, index % plane.width, plane)) as f32;
    Plane { data: (0..plane.data.len()).map(|index| level(index).clamp(0.0, 255.0)).collect(), ..*plane }
}

fn dot(a: &[f64; 6], b: &[f64; 6]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves the normal equations by Gaussian elimination; `None` if they are singular.
fn least_squares(points: &[&([f64; 6], f64)]) -> Option<[f64; 6]> {
    let mut rows = [[0f64; 7]; 6];
    for (terms, value) in points {
        for (row, a) in rows.iter_mut().zip(terms) {
            row.iter_mut().zip(terms.iter().chain([value])).for_each(|(sum, b)| *sum += a * b);
        }
    }
    for pivot in 0..6 {
        let best = (pivot..6).max_by(|&a, &b| rows[a][pivot].abs().total_cmp(&rows[b][pivot].abs()))?;
        rows.swap(pivot, best);
        if rows[pivot][pivot].abs() < 1e-9 {
            return None;
        }
        let line = rows[pivot];
        for row in rows.iter_mut().enumerate().filter_map(|(index, row)| (index != pivot).then_some(row)) {
            let factor = row[pivot] / line[pivot];
            row.iter_mut().zip(line).for_each(|(value, other)| *value -= factor * other);
        }
    }
    let mut solution = [0.0; 6];
    solution.iter_mut().enumerate().for_each(|(index, value)| *value = rows[index][6] / rows[index][index]);
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_found_under_an_object() {
        let level = |row: usize, column: usize| 200.0 - row as f32 - 0.5 * column as f32;
        let is_object = |row: usize, column: usize| (20..40).contains(&row) && (10..60).contains(&column);
        let data = (0..80 * 100).map(|i| {
            let (row, column) = (i / 100, i % 100);
            if is_object(row, column) { 10.0 } else { level(row, column) }
        });
        let plane = Plane { height: 80, width: 100, data: data.collect() };
        let found = fit(&plane, |_, _| true);
        for (row, column) in [(0, 0), (30, 30), (79, 99)] {
            assert!((found.at(row, column) - level(row, column)).abs() < 2.0);
        }
    }

    #[test]
    fn one_pixel_is_a_surface_too() {
        let plane = Plane { height: 1, width: 1, data: vec![7.0] };
        assert_eq!(fit(&plane, |_, _| true), plane);
        assert_eq!(fit(&plane, |_, _| false).data, [0.0]);
    }
}

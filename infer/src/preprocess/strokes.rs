//! Strokes brought to the width that a network knows.

use imageproc::distance_transform::euclidean_squared_distance_transform;

use super::plane::Plane;

/// Makes strokes between `thinnest` and `thickest` wide, in pixels of a picture whose content is `side`
/// pixels long; gives the object with a margin where it grew.
pub(super) fn fit(object: &Plane, side: f64, thinnest: f64, thickest: f64) -> Plane {
    let scale = side / object.height.max(object.width).max(1) as f64;
    let framed = framed(object, 1);
    let depths = distances(&framed, |level| level <= 127.0);
    let Some(width) = width(&depths) else { return object.clone() };
    let wanted = (width * scale).clamp(thinnest, thickest) / scale;
    let change = (wanted - width) / 2.0;
    if change.abs() < 0.25 {
        return object.clone();
    }
    if change > 0.0 {
        return grown(object, change);
    }
    let shrunk = shrunk(framed, &depths, -change);
    if shrunk.max() > 127.0 { shrunk } else { object.clone() }
}

/// Mean width of the strokes, pixels, from each pixel's distance from what is outside: four times the mean
/// distance from the edge (within a bar of width w, distances are 0 to w / 2).
fn width(depths: &[f64]) -> Option<f64> {
    let inside: Vec<f64> = depths.iter().copied().filter(|&depth| depth > 0.0).collect();
    // A pixel's distance is that to the middle of the nearest pixel outside, half a pixel too much.
    let mean = inside.iter().map(|depth| depth - 0.5).sum::<f64>() / inside.len().max(1) as f64;
    (!inside.is_empty()).then_some((4.0 * mean).max(1.0))
}

/// The object on a larger black ground.
fn framed(object: &Plane, margin: usize) -> Plane {
    let mut out = Plane::black(object.height + 2 * margin, object.width + 2 * margin);
    for row in 0..object.height {
        for column in 0..object.width {
            out.data[(row + margin) * out.width + column + margin] = object.at(row, column);
        }
    }
    out
}

/// Distance of each pixel from the nearest one that is `target`.
fn distances(plane: &Plane, target: impl Fn(f32) -> bool) -> Vec<f64> {
    let mark = |x: u32, y: u32| {
        let level = plane.at(y as usize, x as usize);
        image::Luma([if target(level) { 255u8 } else { 0 }])
    };
    let marks = image::GrayImage::from_fn(plane.width as u32, plane.height as u32, mark);
    euclidean_squared_distance_transform(&marks).iter().map(|distance| distance.sqrt()).collect()
}

fn grown(object: &Plane, by: f64) -> Plane {
    let mut out = framed(object, by.ceil() as usize + 1);
    let distances = distances(&out, |level| level > 127.0);
    for (level, distance) in out.data.iter_mut().zip(distances) {
        let edge = 255.0 * (by + 0.5 - distance).clamp(0.0, 1.0) as f32;
        *level = level.max(edge);
    }
    out
}

fn shrunk(mut object: Plane, depths: &[f64], by: f64) -> Plane {
    for (level, depth) in object.data.iter_mut().zip(depths) {
        *level = level.min(255.0 * (depth - by).clamp(0.0, 1.0) as f32);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(wide: usize) -> Plane {
        let mut plane = Plane::black(100, 40);
        for row in 0..100 {
            for column in 10..10 + wide {
                plane.data[row * 40 + column] = 255.0;
            }
        }
        plane
    }

    fn width_of(object: &Plane) -> f64 {
        width(&distances(&framed(object, 1), |level| level <= 127.0)).unwrap()
    }

    #[test]
    fn widths_are_measured_and_changed() {
        for wide in [3, 6, 12] {
            let found = width_of(&bar(wide));
            assert!((found - wide as f64).abs() < 0.2 * wide as f64 + 0.5, "{wide}: {found}");
            let fitted = fit(&bar(wide), 20.0, 2.0, 2.0);
            let found = width_of(&fitted);
            assert!((8.0..12.5).contains(&found), "{wide} became {found}");
        }
        assert_eq!(fit(&bar(10), 20.0, 1.0, 4.0), bar(10));
        assert_eq!(fit(&Plane::black(9, 9), 20.0, 2.0, 3.0), Plane::black(9, 9));
    }
}

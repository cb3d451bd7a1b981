//! What the fields of `augmentation` do to a plane: each draws how strongly, up to a strength.

use distortions::{Plane, Stream, filter, marks, noise};

/// Changes a plane by up to a strength.
pub(super) type Change = fn(&mut Plane<'_>, f32, &mut Stream);

/// Adds a stroke from the top of the writing down to the left, as wide as the writing's strokes are on average.
pub(super) fn upstroke(plane: &mut Plane<'_>, stream: &mut Stream) {
    let (down, left) = (0.10 + 0.32 * stream.unit(), 0.14 + 0.26 * stream.unit());
    let (mut top, mut bottom, mut area) = (plane.height, 0, 0.0);
    plane.each(|row, _, pixel| {
        if *pixel > 127.0 {
            (top, bottom) = (top.min(row), bottom.max(row));
        }
        area += *pixel / 255.0;
    });
    if bottom < top {
        return;
    }
    let height = (bottom - top + 1) as f32;
    let (mut sum, mut weight) = (0.0, 0.0);
    plane.each(|row, column, pixel| {
        if row == top || row == top + 1 {
            (sum, weight) = (sum + *pixel * column as f32, weight + *pixel);
        }
    });
    let width = (area / height).clamp(1.0, height / 4.0 + 1.0);
    let from = [top as f32 + width / 3.0, sum / weight];
    let to = [from[0] + down * height, from[1] - left * height];
    plane.each(|row, column, pixel| {
        let distance = marks::distance_to_segment([row as f32, column as f32], from, to);
        *pixel = pixel.max(255.0 * (width / 2.0 + 0.5 - distance).clamp(0.0, 1.0));
    });
}

pub(super) fn outlines(plane: &mut Plane<'_>, strength: f32, stream: &mut Stream) {
    let share = strength * stream.unit();
    let before = plane.pixels.to_vec();
    filter::edges(plane, 1.0);
    plane
        .pixels
        .iter_mut()
        .zip(before)
        .for_each(|(pixel, before)| *pixel = before + share * (*pixel - before));
}

pub(super) fn thickness(plane: &mut Plane<'_>, strength: f32, stream: &mut Stream) {
    filter::stroke(plane, stream.symmetric(strength));
}

pub(super) fn lines(plane: &mut Plane<'_>, strength: f32, stream: &mut Stream) {
    let count = 1 + stream.below((strength as usize).max(1));
    for _ in 0..count {
        let brightness = 255.0 * (0.3 + 0.7 * stream.unit());
        let mut edge = |length: usize| stream.unit() * (length as f32 - 1.0);
        let (last_row, last_column) = (plane.height as f32 - 1.0, plane.width as f32 - 1.0);
        let (left, right) = ([edge(plane.height), 0.0], [edge(plane.height), last_column]);
        let (top, bottom) = ([0.0, edge(plane.width)], [last_row, edge(plane.width)]);
        match stream.below(4) {
            0 => marks::line(plane, left, right, brightness, |_| true),
            1 => marks::line(plane, top, bottom, brightness, |_| true),
            2 => marks::line(plane, left, right, brightness, |column| column / 2 % 2 == 1),
            _ => marks::zigzag(plane, brightness, stream),
        }
    }
}

pub(super) fn tone(plane: &mut Plane<'_>, strength: f32, stream: &mut Stream) {
    // Uniform in the logarithm, because each halving of the contrast is as hard as the one before.
    let contrast = libm::expf(-libm::logf(strength) * stream.unit());
    let (low, high) = plane.pixels.iter().fold((255f32, 0f32), |(low, high), &v| (low.min(v), high.max(v)));
    let room = 255.0 - contrast * (high - low);
    let offset = room * stream.unit();
    plane.map(|value| contrast * (value - low) + offset);
}

pub(super) fn fog(plane: &mut Plane<'_>, strength: f32, stream: &mut Stream) {
    let (amount, decay) = (strength * stream.unit(), 1.3 + stream.unit());
    marks::fog(plane, amount, decay, stream);
}

pub(super) fn negative(plane: &mut Plane<'_>, strength: f32, stream: &mut Stream) {
    let width = (strength * stream.unit() * plane.width as f32) as usize;
    marks::stripes(plane, width, 1.0);
}

pub(super) fn blur(plane: &mut Plane<'_>, strength: f32, stream: &mut Stream) {
    let sigma = strength * stream.unit();
    match stream.below(3) {
        0 => filter::gaussian(plane, sigma),
        1 => {
            // One-sided, and over the whole image: three times as long for as much blur.
            let (sigma, angle) = (3.0 * sigma + 0.1, stream.symmetric(180.0));
            filter::motion(plane, (2.5 * sigma) as usize + 1, sigma, angle);
        }
        _ => {
            let reach = 1 + stream.below(1 + strength as usize);
            noise::glass(plane, sigma.min(1.5), reach.min(4), 1 + stream.below(2), stream);
        }
    }
}

pub(super) fn grain(plane: &mut Plane<'_>, strength: f32, stream: &mut Stream) {
    let deviation = strength * stream.unit();
    match stream.below(3) {
        0 => noise::gaussian(plane, 255.0 * deviation, stream),
        // White has a deviation of 1 / sqrt(photons).
        1 => noise::shot(plane, 1.0 / (deviation * deviation).max(1e-3), stream),
        _ => noise::impulse(plane, deviation, stream),
    }
}

pub(super) fn pixelate(plane: &mut Plane<'_>, strength: f32, stream: &mut Stream) {
    let size = 1.0 + (strength - 1.0).max(0.0) * stream.unit();
    filter::pixelate(plane, (plane.height as f32 / size) as usize, (plane.width as f32 / size) as usize);
}

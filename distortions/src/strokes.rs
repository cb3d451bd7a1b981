//! Random drawings of a pen: strokes that are nobody's digit.

use crate::marks::{Point, distance_to_segment};
use crate::plane::Plane;
use crate::random::Stream;

/// Draws `count` strokes, straight or bent, of a pen that is `thickness` pixels wide, within the middle
/// five sevenths of a black plane. Half of the drawings have their corners on a grid of 3 x 3 places, as
/// the letters of most alphabets do.
pub fn draw(plane: &mut Plane<'_>, count: usize, thickness: f32, stream: &mut Stream) {
    let (height, width) = (plane.height as f32, plane.width as f32);
    let on_grid = stream.unit() < 0.5;
    let point = |stream: &mut Stream| -> Point {
        let mut place = || if on_grid { stream.below(3) as f32 / 2.0 } else { stream.unit() };
        [height * (1.0 + 5.0 * place()) / 7.0, width * (1.5 + 4.0 * place()) / 7.0]
    };
    let mut segments: Vec<(Point, Point)> = Vec::new();
    for stroke in 0..count {
        // Half of the strokes start where another one has a corner, as letters' do.
        let corners = segments.len();
        let start = match stream.unit() {
            share if stroke > 0 && share < 0.5 => segments[stream.below(corners)].1,
            _ => point(stream),
        };
        let end = point(stream);
        let bend = if stream.unit() < 0.5 { point(stream) } else { middle(start, end) };
        // A quadratic Bezier curve in eight pieces.
        let at = |share: f32| {
            let [a, b, c] = [(1.0 - share) * (1.0 - share), 2.0 * share * (1.0 - share), share * share];
            [a * start[0] + b * bend[0] + c * end[0], a * start[1] + b * bend[1] + c * end[1]]
        };
        segments.extend((0..8u8).map(|piece| (at(f32::from(piece) / 8.0), at(f32::from(piece + 1) / 8.0))));
    }
    plane.each(|row, column, pixel| {
        let here = [row as f32, column as f32];
        let distance = |&(from, to): &(Point, Point)| distance_to_segment(here, from, to);
        let nearest = segments.iter().map(distance).fold(f32::MAX, f32::min);
        *pixel = pixel.max(255.0 * (thickness / 2.0 + 0.5 - nearest).clamp(0.0, 1.0));
    });
}

fn middle(from: Point, to: Point) -> Point {
    [(from[0] + to[0]) / 2.0, (from[1] + to[1]) / 2.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strokes_leave_ink_and_ground() {
        for seed in 0..20 {
            let mut pixels = vec![0.0; 784];
            draw(&mut Plane::new(&mut pixels, 28, 28), 3, 2.5, &mut Stream::new(seed, "test", 0, 0));
            let ink = pixels.iter().filter(|&&value| value > 127.0).count();
            assert!((10..500).contains(&ink), "{ink}");
        }
    }
}

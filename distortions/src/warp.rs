//! Pixels moved to other places: affine maps and elastic deformation.

use crate::plane::Plane;
use crate::random::Stream;

/// Where each pixel of the result comes from: `source = centre + shift' + M (target - centre - shift)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// `[[yy, yx], [xy, xx]]`: how far the source moves for a step along the target's rows and columns.
    pub matrix: [[f32; 2]; 2],
    /// How far the picture moves, `[down, right]`, pixels.
    pub shift: [f32; 2],
}

impl Affine {
    /// Leaves everything where it is.
    pub const IDENTITY: Affine = Affine { matrix: [[1.0, 0.0], [0.0, 1.0]], shift: [0.0, 0.0] };

    /// Turns by `degrees`, enlarges `scale` times, shears by the tangent `shear` along the columns, flips
    /// left and right if `flip` is -1 (else 1).
    pub fn new(degrees: f32, scale: f32, shear: f32, flip: f32, shift: [f32; 2]) -> Affine {
        let (sin, cos) = libm::sincosf(degrees.to_radians());
        let (sin, cos) = (sin / scale, cos / scale);
        let mut matrix = [[cos, -sin], [flip * sin, flip * cos]];
        if shear != 0.0 {
            // Only then, so that maps without shear keep their bits.
            let [[yy, yx], [xy, xx]] = matrix;
            matrix = [[yy, yx + yy * shear], [xy, xx + xy * shear]];
        }
        Affine { matrix, shift }
    }

    /// The point of the source, `[row, column]`, for a pixel of the result.
    fn source(&self, row: usize, column: usize, height: usize, width: usize) -> [f32; 2] {
        let center = [(height as f32 - 1.0) / 2.0, (width as f32 - 1.0) / 2.0];
        let dy = row as f32 - center[0] - self.shift[0];
        let dx = column as f32 - center[1] - self.shift[1];
        let [[yy, yx], [xy, xx]] = self.matrix;
        [center[0] + yy * dy + yx * dx, center[1] + (xy * dy + xx * dx)]
    }
}

/// Displacements of all pixels, smooth and random (Simard et al. 2003, "Best practices for convolutional
/// neural networks", section 2).
#[derive(Debug, Clone)]
pub struct Elastic {
    rows: Vec<f32>,
    columns: Vec<f32>,
}

impl Elastic {
    /// Uniform noise in -1 to 1, smoothed by a Gaussian of `sigma` pixels and multiplied by `amplitude`.
    pub fn draw(height: usize, width: usize, amplitude: f32, sigma: f32, stream: &mut Stream) -> Elastic {
        let mut field = || {
            let mut noise: Vec<f32> = (0..height * width).map(|_| stream.symmetric(1.0)).collect();
            crate::filter::smooth(&mut Plane::new(&mut noise, height, width), sigma);
            noise.iter_mut().for_each(|value| *value *= amplitude);
            noise
        };
        Elastic { rows: field(), columns: field() }
    }
}

/// Moves the pixels of `source` into `target`, by a map and perhaps an elastic deformation; what comes
/// from outside is 0.
pub fn warp(source: &[f32], target: &mut Plane<'_>, map: &Affine, elastic: Option<&Elastic>) {
    let (height, width) = (target.height, target.width);
    target.each(|row, column, pixel| {
        let [mut y, mut x] = map.source(row, column, height, width);
        if let Some(elastic) = elastic {
            y += elastic.rows[row * width + column];
            x += elastic.columns[row * width + column];
        }
        *pixel = bilinear(source, height, width, y, x);
    });
}

/// The value at a point between pixels; outside the image it is 0.
fn bilinear(source: &[f32], height: usize, width: usize, y: f32, x: f32) -> f32 {
    let (row, column) = (floor(y), floor(x));
    let (part_y, part_x) = (y - row as f32, x - column as f32);
    let at = |row: i32, column: i32| -> f32 {
        if row < 0 || column < 0 || row >= height as i32 || column >= width as i32 {
            return 0.0;
        }
        source[row as usize * width + column as usize]
    };
    let top = at(row, column) * (1.0 - part_x) + at(row, column + 1) * part_x;
    let bottom = at(row + 1, column) * (1.0 - part_x) + at(row + 1, column + 1) * part_x;
    top * (1.0 - part_y) + bottom * part_y
}

/// Rounds down. `f32::floor` is a call of the C library on processors as old as the build allows. Far
/// outside, where the next column would overflow, everything is 0 anyway.
fn floor(value: f32) -> i32 {
    let truncated = value.clamp(-1e6, 1e6) as i32;
    truncated - i32::from(truncated as f32 > value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warped(map: &Affine) -> Vec<f32> {
        let source: Vec<f32> = (1..=20u8).map(f32::from).collect();
        let mut out = vec![0.0; 20];
        warp(&source, &mut Plane::new(&mut out, 4, 5), map, None);
        out
    }

    #[test]
    fn identity_shift_and_flip_are_exact() {
        assert_eq!(warped(&Affine::IDENTITY), (1..=20u8).map(f32::from).collect::<Vec<_>>());
        let shifted = warped(&Affine { shift: [1.0, -1.0], ..Affine::IDENTITY });
        assert_eq!(shifted[..5], [0.0; 5]);
        assert_eq!(shifted[5..10], [2.0, 3.0, 4.0, 5.0, 0.0]);
        assert_eq!(warped(&Affine::new(0.0, 1.0, 0.0, -1.0, [0.0; 2]))[..5], [5.0, 4.0, 3.0, 2.0, 1.0]);
    }

    #[test]
    fn shear_moves_rows_against_each_other() {
        let mut bar = vec![0.0; 49];
        (0..7).for_each(|row| bar[row * 7 + 3] = 100.0);
        let mut out = vec![0.0; 49];
        warp(&bar, &mut Plane::new(&mut out, 7, 7), &Affine::new(90.0, 1.0, 0.0, 1.0, [0.0; 2]), None);
        assert!((out[3 * 7] - 100.0).abs() < 0.01, "a quarter turn lays the bar down");
        warp(&bar, &mut Plane::new(&mut out, 7, 7), &Affine::new(0.0, 1.0, 1.0, 1.0, [0.0; 2]), None);
        assert_eq!((out[0], out[3 * 7 + 3], out[48]), (0.0, 100.0, 0.0));
        assert!(out.iter().all(|value| (0.0..=100.0).contains(value)));
    }

    #[test]
    fn elastic_fields_are_smooth_and_as_strong_as_asked() {
        let mut stream = Stream::new(1, "test", 0, 0);
        let elastic = Elastic::draw(28, 28, 10.0, 4.0, &mut stream);
        let largest = elastic.rows.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        assert!((0.5..6.0).contains(&largest), "{largest}");
        let steps =
            elastic.rows.chunks_exact(28).flat_map(|row| row.array_windows().map(|[a, b]| (a - b).abs()));
        assert!(steps.fold(0f32, f32::max) < largest / 2.0);
    }
}

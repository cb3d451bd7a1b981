//! Noise of each pixel, and glass.

use crate::plane::Plane;
use crate::random::Stream;

/// Normal noise of standard deviation `deviation` (0 to 255).
pub fn gaussian(plane: &mut Plane<'_>, deviation: f32, stream: &mut Stream) {
    plane.pixels.iter_mut().for_each(|pixel| *pixel += deviation * stream.normal());
    plane.clamp();
}

/// The same, as strong as the pixel is bright.
pub fn speckle(plane: &mut Plane<'_>, deviation: f32, stream: &mut Stream) {
    plane.pixels.iter_mut().for_each(|pixel| *pixel *= 1.0 + deviation * stream.normal());
    plane.clamp();
}

/// Few photons: white is `photons` of them on average, Poisson distributed.
pub fn shot(plane: &mut Plane<'_>, photons: f32, stream: &mut Stream) {
    plane.pixels.iter_mut().for_each(|pixel| {
        *pixel = stream.poisson(*pixel / 255.0 * photons) as f32 / photons * 255.0;
    });
    plane.clamp();
}

/// Pixels that are black or white instead, a share of them.
pub fn impulse(plane: &mut Plane<'_>, share: f32, stream: &mut Stream) {
    for pixel in plane.pixels.iter_mut() {
        if stream.unit() < share {
            *pixel = if stream.unit() < 0.5 { 0.0 } else { 255.0 };
        }
    }
}

/// Pixels swapped with others up to `reach` away, `rounds` times, between two blurs of `sigma`: a pane of
/// rough glass.
pub fn glass(plane: &mut Plane<'_>, sigma: f32, reach: usize, rounds: usize, stream: &mut Stream) {
    crate::filter::gaussian(plane, sigma);
    let (height, width) = (plane.height, plane.width);
    for _ in 0..rounds {
        for row in (reach..height.saturating_sub(reach)).rev() {
            for column in (reach..width.saturating_sub(reach)).rev() {
                if stream.unit() < 0.5 {
                    let (down, right) = (stream.below(2 * reach), stream.below(2 * reach));
                    let other = (row + down - reach) * width + column + right - reach;
                    plane.pixels.swap(row * width + column, other);
                }
            }
        }
    }
    crate::filter::gaussian(plane, sigma);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(how: impl Fn(&mut Plane<'_>, &mut Stream)) -> Vec<f32> {
        let mut pixels = vec![100.0; 10_000];
        how(&mut Plane::new(&mut pixels, 100, 100), &mut Stream::new(1, "test", 0, 0));
        pixels
    }

    fn moments(pixels: &[f32]) -> (f32, f32) {
        let mean = pixels.iter().sum::<f32>() / pixels.len() as f32;
        let variance = pixels.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>();
        (mean, (variance / pixels.len() as f32).sqrt())
    }

    #[test]
    fn noise_has_the_mean_and_deviation_asked_for() {
        let close = |(mean, deviation): (f32, f32), expected: f32| {
            assert!(
                (mean - 100.0).abs() < 1.5 && (deviation / expected - 1.0).abs() < 0.05,
                "{mean} {deviation}"
            );
        };
        close(moments(&grey(|plane, stream| gaussian(plane, 20.0, stream))), 20.0);
        close(moments(&grey(|plane, stream| speckle(plane, 0.1, stream))), 10.0);
        // A Poisson number of mean 100/255 * 60 has its square root as deviation.
        close(
            moments(&grey(|plane, stream| shot(plane, 60.0, stream))),
            (100.0f32 / 255.0 * 60.0).sqrt() * 255.0 / 60.0,
        );
    }

    #[test]
    fn impulses_hit_the_share_asked_for() {
        let hit =
            grey(|plane, stream| impulse(plane, 0.2, stream)).iter().filter(|&&value| value != 100.0).count();
        assert!((1800..2200).contains(&hit), "{hit}");
    }

    #[test]
    fn glass_works_on_any_size() {
        for side in 1..12 {
            let mut pixels = vec![7.0; side * side];
            glass(&mut Plane::new(&mut pixels, side, side), 0.7, 4, 2, &mut Stream::new(1, "test", 0, 0));
            assert!(pixels.iter().all(|pixel| (pixel - 7.0).abs() < 1e-3), "{side}: {pixels:?}");
        }
    }
}

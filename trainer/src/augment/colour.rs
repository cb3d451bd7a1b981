//! Changes of light and colour.

use distortions::Stream;

use super::fields::Colour;

/// Weights of red, green and blue in brightness (ITU-R BT.601).
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

impl Colour {
    /// Changes an image `[C, H, W]` of 0 to 255 with planes of `size` values.
    pub(super) fn apply(&self, out: &mut [f32], size: usize, stream: &mut Stream) {
        if self.probability == 0.0 || stream.unit() >= self.probability {
            return;
        }
        let [brightness, contrast, saturation] =
            [self.brightness, self.contrast, self.saturation].map(|change| 1.0 + stream.symmetric(change));
        let turn = stream.symmetric(self.hue);
        out.iter_mut().for_each(|value| *value *= brightness);
        if let [red, green, blue] = out.chunks_exact_mut(size.max(1)).collect::<Vec<_>>().as_mut_slice() {
            let matrix = hue(turn, saturation);
            for ((r, g), b) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
                let [new_r, new_g, new_b] = matrix.map(|row| row[0] * *r + row[1] * *g + row[2] * *b);
                (*r, *g, *b) = (new_r, new_g, new_b);
            }
        }
        let mean = mean_brightness(out, size);
        out.iter_mut().for_each(|value| *value = (mean + contrast * (*value - mean)).clamp(0.0, 255.0));
    }
}

fn mean_brightness(image: &[f32], size: usize) -> f32 {
    let means: Vec<f64> = image
        .chunks_exact(size.max(1))
        .map(|plane| plane.iter().map(|&value| f64::from(value)).sum::<f64>() / size.max(1) as f64)
        .collect();
    match *means.as_slice() {
        [red, green, blue] => {
            let weighted =
                [red, green, blue].into_iter().zip(GREY).map(|(mean, weight)| mean * f64::from(weight));
            weighted.sum::<f64>() as f32
        }
        _ => means.first().map_or(0.0, |&mean| mean as f32),
    }
}

/// The matrix that turns the hue by `degrees` and multiplies the saturation, in YIQ: the luminance stays.
fn hue(degrees: f32, saturation: f32) -> [[f32; 3]; 3] {
    let angle = f64::from(degrees).to_radians();
    let (sin, cos) = (libm::sin(angle), libm::cos(angle));
    // Rows of RGB to IQ, and of IQ to RGB (NTSC 1953).
    let to = [[0.595_716, -0.274_453, -0.321_263], [0.211_456, -0.522_591, 0.311_135]];
    let from = [[0.956_296, 0.621_024], [-0.272_122, -0.647_381], [-1.106_99, 1.704_615]];
    let saturation = f64::from(saturation);
    let turned: [[f64; 3]; 2] = [
        std::array::from_fn(|c| saturation * (cos * to[0][c] - sin * to[1][c])),
        std::array::from_fn(|c| saturation * (sin * to[0][c] + cos * to[1][c])),
    ];
    from.map(|[i, q]| {
        std::array::from_fn(|c| (f64::from(GREY[c]) + i * turned[0][c] + q * turned[1][c]) as f32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(colour: Colour, pixel: [f32; 3], seed: u64) -> [f32; 3] {
        let mut image: Vec<f32> = pixel.iter().flat_map(|&value| [value, value]).collect();
        colour.apply(&mut image, 2, &mut Stream::new(seed, "augment", 0, 0));
        [image[0], image[2], image[4]]
    }

    #[test]
    fn nothing_changes_without_strengths_and_grey_stays_grey() {
        let always = Colour { probability: 1.0, ..Colour::default() };
        for (found, expected) in changed(always, [200.0, 30.0, 90.0], 1).into_iter().zip([200.0, 30.0, 90.0])
        {
            assert!((found - expected).abs() < 0.01, "{found}");
        }
        for seed in 0..20 {
            let [r, g, b] = changed(Colour { saturation: 0.9, hue: 90.0, ..always }, [120.0; 3], seed);
            assert!([r, g, b].iter().all(|value| (value - 120.0).abs() < 0.05), "{r} {g} {b}");
        }
    }

    #[test]
    fn hue_turns_and_brightness_and_saturation_change() {
        let always = Colour { probability: 1.0, ..Colour::default() };
        let luminance = |[r, g, b]: [f32; 3]| GREY[0] * r + GREY[1] * g + GREY[2] * b;
        let pixel = [140.0, 100.0, 90.0];
        let mut darker = 0;
        for seed in 0..40 {
            let turned = changed(Colour { hue: 40.0, ..always }, pixel, seed);
            assert!((luminance(turned) - luminance(pixel)).abs() < 0.1);
            let spread = |[r, g, b]: [f32; 3]| r.max(g).max(b) - r.min(g).min(b);
            assert!(spread(turned) > 0.3 * spread(pixel));
            let lit = changed(Colour { brightness: 0.5, ..always }, pixel, seed);
            assert!((lit[0] / lit[1] - 1.4).abs() < 0.01);
            darker += usize::from(lit[0] < pixel[0]);
        }
        assert!((10..30).contains(&darker), "{darker}");
        let grey = hue(0.0, 0.0).map(|row| row.iter().zip(pixel).map(|(m, v)| m * v).sum::<f32>());
        assert!(grey.iter().all(|value| (value - luminance(pixel)).abs() < 0.01));
    }
}

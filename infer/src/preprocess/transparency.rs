//! Transparency, which goes before anything else happens: where pixels are mixed, colours that nobody sees would show.

use std::borrow::Cow;

use image::{DynamicImage, GrayImage, RgbImage};

use super::plane::blend;

/// Least difference between the darkest and the brightest level on white, of 255, that is not taken for light writing.
const HARDLY: u8 = 64;
/// Least difference of levels within a thing that is not of one colour.
const SAME: u8 = 16;

/// An image as people see it, without transparency: on white, or on black where what is cut out is of one light colour,
/// which hardly stands out on white.
pub fn opaque(image: &DynamicImage) -> Cow<'_, DynamicImage> {
    let color = image.color();
    if !color.has_alpha() {
        return Cow::Borrowed(image);
    }
    let (width, height) = (image.width(), image.height());
    Cow::Owned(if color.has_color() {
        let levels = laid::<4>(image.to_rgba8().as_raw());
        RgbImage::from_raw(width, height, levels).expect("three levels a pixel").into()
    } else {
        let levels = laid::<2>(image.to_luma_alpha8().as_raw());
        GrayImage::from_raw(width, height, levels).expect("a level for each pixel").into()
    })
}

/// `N - 1` levels for each pixel of `N`, the last of which is how opaque it is.
fn laid<const N: usize>(pixels: &[u8]) -> Vec<u8> {
    let on = |ground: f32| -> Vec<u8> {
        let pixels = pixels.as_chunks::<N>().0.iter();
        pixels
            .flat_map(|pixel| {
                pixel[..N - 1].iter().map(|&level| blend(level, pixel[N - 1], ground).round() as u8)
            })
            .collect()
    };
    let on_white = on(255.0);
    let seen = contrast(&on_white);
    if seen >= HARDLY {
        return on_white;
    }
    // What is written on a sheet differs from it; only its corners or margins are transparent.
    let opaque = pixels.as_chunks::<N>().0.iter().filter(|pixel| pixel[N - 1] >= 128);
    let own: Vec<u8> = opaque.flat_map(|pixel| pixel[..N - 1].to_vec()).collect();
    let on_black = on(0.0);
    let is_one_colour = (0..N - 1).all(|channel| {
        let levels: Vec<u8> = own.iter().copied().skip(channel).step_by(N - 1).collect();
        contrast(&levels) < SAME
    });
    if is_one_colour && contrast(&on_black) > seen { on_black } else { on_white }
}

fn contrast(levels: &[u8]) -> u8 {
    let (low, high) = levels.iter().fold((255, 0), |(low, high), &level| (level.min(low), level.max(high)));
    u8::saturating_sub(high, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of one colour in the middle, cut out.
    fn cut_out(colour: [u8; 3]) -> DynamicImage {
        image::RgbaImage::from_fn(24, 24, |x, y| {
            let is_object = (6..18).contains(&x) && (6..18).contains(&y);
            image::Rgba([colour[0], colour[1], colour[2], if is_object { 255 } else { 0 }])
        })
        .into()
    }

    #[test]
    fn what_is_cut_out_is_seen_whatever_its_colour() {
        for colour in [[255, 255, 255], [250, 248, 245], [230; 3], [200; 3], [0, 0, 0], [200, 30, 30]] {
            let image = opaque(&cut_out(colour)).to_rgb8();
            assert!(contrast(image.as_raw()) > 100, "{colour:?}");
        }
        // Grey levels with transparency are the same.
        for level in [255, 230, 0] {
            let grey = DynamicImage::ImageLumaA8(cut_out([level; 3]).to_luma_alpha8());
            assert_eq!(opaque(&grey).to_rgb8(), opaque(&cut_out([level; 3])).to_rgb8());
        }
    }

    #[test]
    fn a_sheet_with_rounded_corners_stays_white() {
        for ink in [30, 205, 230] {
            let sheet = image::RgbaImage::from_fn(24, 24, |x, y| match (x, y) {
                (0 | 23, 0 | 23) => image::Rgba([0; 4]),
                (8..12, 4..20) => image::Rgba([ink, ink, ink, 255]),
                _ => image::Rgba([250, 250, 250, 255]),
            });
            let seen = opaque(&sheet.into()).to_rgb8();
            assert_eq!((seen.get_pixel(0, 0).0, seen.get_pixel(9, 9).0), ([255; 3], [ink; 3]));
        }
    }
}

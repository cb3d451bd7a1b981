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
        let pixels = image.as_rgba8().map_or_else(|| Cow::Owned(image.to_rgba8()), Cow::Borrowed);
        let levels = laid::<4>(pixels.as_raw());
        RgbImage::from_raw(width, height, levels).expect("three levels a pixel").into()
    } else {
        let pixels = image.as_luma_alpha8().map_or_else(|| Cow::Owned(image.to_luma_alpha8()), Cow::Borrowed);
        let levels = laid::<2>(pixels.as_raw());
        GrayImage::from_raw(width, height, levels).expect("a level for each pixel").into()
    })
}

/// `N - 1` levels for each pixel of `N`, the last of which is how opaque it is. Looks before it lays: an image may be as
/// large as memory allows, so nothing is kept that is not given.
fn laid<const N: usize>(pixels: &[u8]) -> Vec<u8> {
    let pixels = pixels.as_chunks::<N>().0;
    let on = |ground: f32| {
        let laid =
            move |pixel: &[u8; N], channel: usize| blend(pixel[channel], pixel[N - 1], ground).round() as u8;
        pixels.iter().flat_map(move |pixel| (0..N - 1).map(move |channel| laid(pixel, channel)))
    };
    let seen = contrast(on(255.0), HARDLY);
    let is_light = seen < HARDLY && {
        // What is written on a sheet differs from it; only its corners or margins are transparent.
        let opaque = |channel: usize| {
            let opaque = pixels.iter().filter(|pixel| pixel[N - 1] >= 128);
            opaque.map(move |pixel| pixel[channel])
        };
        let is_one_colour = (0..N - 1).all(|channel| contrast(opaque(channel), SAME) < SAME);
        is_one_colour && contrast(on(0.0), u8::MAX) > seen
    };
    on(if is_light { 0.0 } else { 255.0 }).collect()
}

/// The difference of the brightest level and the darkest; looks no further once it is `enough`.
fn contrast(levels: impl Iterator<Item = u8>, enough: u8) -> u8 {
    let (mut low, mut high) = (u8::MAX, 0);
    for level in levels {
        (low, high) = (low.min(level), high.max(level));
        if high.saturating_sub(low) >= enough {
            break;
        }
    }
    high.saturating_sub(low)
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
            assert!(contrast(image.as_raw().iter().copied(), u8::MAX) > 100, "{colour:?}");
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

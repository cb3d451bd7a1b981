//! Light divided out: how much darker or brighter than its ground each pixel is.

use image::imageops::{self, FilterType};
use image::{GrayImage, Luma, RgbImage};
use imageproc::filter::median_filter;
use imageproc::morphology::grayscale_dilate;

use super::plane::Plane;

/// Longer side of the image on which the light is first guessed.
const COARSE: u32 = 96;
/// Longer side of the image on which it is then followed.
const FINE: u32 = 256;
/// Radius of the median there: wide enough to pass over what the guess did not take for ink, narrow
/// enough for the edge of a shadow. A median follows an edge without smearing it.
const FINE_RADIUS: u32 = 9;
/// Contrast from which the guess takes something for ink.
const INK: f32 = 0.10;

/// Contrast to the ground, 0 to 1.
pub(super) struct Contrast {
    /// How much darker: `1 - pixel / ground`.
    pub dark: Plane,
    /// How much brighter: `(pixel - ground) / (255 - ground)`.
    pub bright: Plane,
}

/// The strongest contrast of the three colours: blue ink on yellow paper has hardly any grey to it.
pub(super) fn contrast(image: &RgbImage, window: f64) -> Contrast {
    let is_grey = image.pixels().all(|p| p.0[0] == p.0[1] && p.0[1] == p.0[2]);
    let (height, width) = (image.height() as usize, image.width() as usize);
    let mut found = Contrast { dark: Plane::black(height, width), bright: Plane::black(height, width) };
    for channel in 0..if is_grey { 1 } else { 3 } {
        let levels = GrayImage::from_fn(image.width(), image.height(), |x, y| {
            Luma([image.get_pixel(x, y).0[channel]])
        });
        let ground = ground(&levels, window);
        let pairs = levels.pixels().zip(ground.pixels()).map(|(p, g)| (f32::from(p.0[0]), f32::from(g.0[0])));
        let planes = found.dark.data.iter_mut().zip(found.bright.data.iter_mut());
        for ((dark, bright), (pixel, ground)) in planes.zip(pairs) {
            *dark = dark.max(darker(pixel, ground));
            *bright = bright.max(brighter(pixel, ground));
        }
    }
    found
}

/// Levels are uncertain by a few units: on a black ground nothing can be darker.
fn darker(pixel: f32, ground: f32) -> f32 {
    if ground > 8.0 { (1.0 - pixel / ground).clamp(0.0, 1.0) } else { 0.0 }
}

fn brighter(pixel: f32, ground: f32) -> f32 {
    if ground < 247.0 { ((pixel - ground) / (255.0 - ground)).clamp(0.0, 1.0) } else { 0.0 }
}

/// The level of the ground under each pixel: a wide median, then a narrow one in which what differs from
/// the wide one is left out.
pub(super) fn ground(levels: &GrayImage, window: f64) -> GrayImage {
    let coarse = shrunk(levels, COARSE);
    let radius = |side: u32| ((f64::from(side) * window / 2.0) as u32).max(1);
    let (x_radius, y_radius) = (radius(coarse.width()), radius(coarse.height()));
    let guess = median_filter(&coarse, x_radius.max(y_radius), x_radius.max(y_radius));
    let mut fine = shrunk(levels, FINE);
    let guess = resized(&guess, fine.width(), fine.height());
    let is_ink = GrayImage::from_fn(fine.width(), fine.height(), |x, y| {
        let (pixel, ground) = (f32::from(fine.get_pixel(x, y).0[0]), f32::from(guess.get_pixel(x, y).0[0]));
        Luma([if darker(pixel, ground).max(brighter(pixel, ground)) > INK { 255 } else { 0 }])
    });
    // One pixel more: the soft edges of ink.
    let is_ink = grayscale_dilate(&is_ink, &imageproc::morphology::Mask::square(1));
    for ((pixel, ink), guess) in fine.pixels_mut().zip(is_ink.pixels()).zip(guess.pixels()) {
        if ink.0[0] > 0 {
            *pixel = *guess;
        }
    }
    let followed = median_filter(&fine, FINE_RADIUS, FINE_RADIUS);
    resized(&followed, levels.width(), levels.height())
}

/// Smaller, if the longer side is longer than `longest`.
fn shrunk(image: &GrayImage, longest: u32) -> GrayImage {
    let (width, height) = image.dimensions();
    let side = width.max(height);
    if side <= longest {
        return image.clone();
    }
    let scaled = |length: u32| (u64::from(length) * u64::from(longest) / u64::from(side)).max(1) as u32;
    imageops::thumbnail(image, scaled(width), scaled(height))
}

fn resized(image: &GrayImage, width: u32, height: u32) -> GrayImage {
    if image.dimensions() == (width, height) {
        return image.clone();
    }
    imageops::resize(image, width, height, FilterType::Triangle)
}

//! One object against its ground: a garment on a wall, a floor, a hanger.

use image::{GrayImage, Luma};

use super::ink::Mask;
use super::objects::Object;
use super::parts::{Part, erase, parts};
use super::plane::{Bounds, Plane};
use super::surface;

/// How many times the noise of the ground an object must stand out.
const NOISE: f32 = 4.0;
/// Share of the shorter side that the ring has in which the ground is looked for.
const RING: f64 = 0.04;
/// Parts smaller than this share of the largest are not the object.
const SMALL: f64 = 0.1;

/// The object bright on black, `None` if nothing stands out by `contrast` (of 1).
///
/// The ground is a surface of second degree fitted to what looks like the border; what differs from it is
/// the object. Its levels are kept if it is brighter than its ground, else turned into the negative, as
/// the dataset's photographs on white were.
pub(super) fn separate(colours: &[Plane; 3], contrast: f64) -> Option<Object> {
    let grey = mean(colours);
    let ground = colours.each_ref().map(ground);
    let mut difference = Plane::black(grey.height, grey.width);
    for (plane, ground) in colours.iter().zip(&ground) {
        for ((largest, value), ground) in difference.data.iter_mut().zip(&plane.data).zip(&ground.data) {
            *largest = largest.max((value - ground).abs());
        }
    }
    let noise = border_noise(&difference);
    let threshold = (255.0 * contrast as f32).max(NOISE * noise);
    let mask = object_mask(&difference, threshold)?;
    let grounds = mean(&ground);
    let inside = || mask.data.iter().zip(grey.data.iter().zip(&grounds.data)).filter(|(is_in, _)| **is_in);
    let brighter: f64 = inside().map(|(_, (value, ground))| f64::from(value - ground)).sum();
    let bounds = bounds(&mask)?;
    let (height, width) = (bounds.bottom - bounds.top, bounds.right - bounds.left);
    let mut plane = Plane::black(height, width);
    let levels = |row: usize, column: usize| {
        let value = grey.at(row, column);
        if brighter >= 0.0 { value } else { 255.0 - value }
    };
    for row in 0..height {
        for column in 0..width {
            let (y, x) = (bounds.top + row, bounds.left + column);
            if mask.at(y, x) {
                plane.data[row * width + column] = levels(y, x);
            }
        }
    }
    stretch(&mut plane);
    Some(Object { plane, bounds, row: 0 })
}

fn mean(colours: &[Plane; 3]) -> Plane {
    let [red, green, blue] = colours;
    let data =
        red.data.iter().zip(&green.data).zip(&blue.data).map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b);
    Plane { data: data.collect(), ..*red }
}

/// The ground's level at each pixel: a surface through the border.
fn ground(plane: &Plane) -> Plane {
    let ring = ((plane.height.min(plane.width) as f64 * RING) as usize).max(1);
    surface::fit(plane, |row, column| {
        row < ring || column < ring || row + ring >= plane.height || column + ring >= plane.width
    })
}

/// Standard deviation of the ground, from the median along the border.
fn border_noise(difference: &Plane) -> f32 {
    difference.border_median() / 0.6745
}

/// The largest part and what is not much smaller, without holes that a button or a print leaves.
fn object_mask(difference: &Plane, threshold: f32) -> Option<Mask> {
    let level = |x: u32, y: u32| {
        let stands_out = difference.at(y as usize, x as usize) > threshold;
        Luma([if stands_out { 255u8 } else { 0 }])
    };
    let marks = GrayImage::from_fn(difference.width as u32, difference.height as u32, level);
    // Single pixels of noise go, single holes are filled.
    let marks = imageproc::filter::median_filter(&marks, 1, 1);
    let data = marks.pixels().map(|pixel| pixel.0[0] > 0).collect();
    let mut mask = Mask { height: difference.height, width: difference.width, data };
    let all = parts(&mask);
    let largest = all.iter().map(|part| part.pixels.len()).max()?;
    let is_small = |part: &Part| (part.pixels.len() as f64) < SMALL * largest as f64;
    all.iter().filter(|part| is_small(part)).for_each(|part| erase(&mut mask, part));
    fill_holes(&mut mask);
    Some(mask)
}

/// Ground that does not reach the border is part of the object, if it is small: between the legs of
/// trousers or in a handle there is more of it.
fn fill_holes(mask: &mut Mask) {
    let ground = Mask { data: mask.data.iter().map(|is_in| !is_in).collect(), ..*mask };
    let object = mask.data.iter().filter(|&&is_in| is_in).count();
    for part in parts(&ground) {
        let b = part.bounds;
        let is_outside = b.top == 0 || b.left == 0 || b.bottom == mask.height || b.right == mask.width;
        if !is_outside && part.pixels.len() * 50 < object {
            part.pixels.iter().for_each(|&index| mask.data[index] = true);
        }
    }
}

fn bounds(mask: &Mask) -> Option<Bounds> {
    let marks = Plane {
        height: mask.height,
        width: mask.width,
        data: mask.data.iter().map(|&is_in| f32::from(u8::from(is_in))).collect(),
    };
    marks.bounds(0.5)
}

/// Brings dim objects to the brightness that the dataset's have: the brightest twentieth is near white.
fn stretch(plane: &mut Plane) {
    let mut levels: Vec<f32> = plane.data.iter().copied().filter(|&level| level > 0.0).collect();
    if levels.is_empty() {
        return;
    }
    let place = levels.len() * 19 / 20;
    let bright = *levels.select_nth_unstable_by(place, f32::total_cmp).1;
    if bright < 200.0 {
        plane.data.iter_mut().for_each(|level| *level = (*level * 200.0 / bright.max(1.0)).min(255.0));
    }
}

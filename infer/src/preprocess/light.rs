//! Light divided out: how much darker or brighter than its ground each pixel is.

use image::imageops::{self, FilterType};
use image::{GrayImage, ImageBuffer, Luma, Pixel};
use imageproc::distance_transform::Norm;
use imageproc::filter::{box_filter, median_filter};
use imageproc::morphology::{self, grayscale_dilate, grayscale_erode};

use super::ink::Mask;
use super::parts::{erase, parts};
use super::plane::{Plane, histogram, median};

/// Longer side of the image on which the light is first guessed.
const COARSE: u32 = 64;
/// Longer side of the image on which it is then followed.
const FINE: u32 = 192;
/// Half the width of the broadest stroke there: a seventh of the side is its whole width.
const NARROW: usize = 13;
/// Half the width from which a stroke counts as broad; less than [`NARROW`], so that none falls between.
const BROAD: u8 = 9;
/// Half the width from which it is no stroke any more.
const PAGE: u8 = 27;
/// Contrast from which something may be ink.
const INK: f32 = 0.10;
/// Share of the strongest contrast below which a broad area is a shadow.
const SHADOW: f32 = 0.75;

/// How much each pixel stands out from its ground, 0 to 1, towards the side on which the ink is: darker
/// (`(ground - pixel) / ground`) or brighter. The strongest of the channels counts: blue ink on yellow paper has hardly
/// any grey to it.
pub(super) fn contrast<P: Pixel<Subpixel = u8>>(image: &ImageBuffer<P, Vec<u8>>, window: f64) -> Plane {
    let count = usize::from(P::CHANNEL_COUNT);
    let is_grey = image.chunks_exact(count).all(|pixel| pixel.iter().all(|&level| level == pixel[0]));
    let levels = |channel: usize| {
        let levels = image.iter().skip(channel).step_by(count).copied().collect();
        GrayImage::from_raw(image.width(), image.height(), levels).expect("a level for each pixel")
    };
    let channels: Vec<GrayImage> = (0..if is_grey { 1 } else { count }).map(levels).collect();
    if let Some(grounds) = channels.iter().map(plain_ground).collect::<Option<Vec<u8>>>() {
        return against_plain(&channels, &grounds);
    }
    let grounds: Vec<Ground> = channels.iter().map(|levels| Ground::find(levels, window)).collect();
    let clearest = grounds.iter().max_by(|a, b| a.strongest().total_cmp(&b.strongest()));
    let is_bright = clearest.is_some_and(Ground::has_bright_ink);
    let mut found = Plane::black(image.height() as usize, image.width() as usize);
    for (levels, ground) in channels.iter().zip(&grounds) {
        let ground = if is_bright { &ground.below } else { &ground.above };
        let ground = resized(ground, levels.width(), levels.height());
        for ((found, pixel), ground) in found.data.iter_mut().zip(levels.pixels()).zip(ground.pixels()) {
            let (pixel, ground) = (f32::from(pixel.0[0]), f32::from(ground.0[0]));
            *found = found.max(if is_bright { brighter(pixel, ground) } else { darker(pixel, ground) });
        }
    }
    found
}

/// Levels that differ by no more are one, after compression too.
const ALIKE: u8 = 3;

/// The level of a ground that has only one, as drawings on a canvas have: a third of the picture, and all but a
/// little of its border. It need not be looked for.
fn plain_ground(levels: &GrayImage) -> Option<u8> {
    let histogram: [usize; 256] = histogram(levels.iter().copied().map(usize::from));
    let (mode, _) = (0..=255u8).zip(histogram).max_by_key(|&(_, count)| count)?;
    let is_ground = |level: u8| level.abs_diff(mode) <= ALIKE;
    let (width, height) = levels.dimensions();
    let all: usize =
        (0..=255u8).zip(histogram).filter(|&(level, _)| is_ground(level)).map(|(_, count)| count).sum();
    if all as u64 * 10 <= 3 * u64::from(width) * u64::from(height) {
        return None;
    }
    let (mut border, mut border_ground) = (0u32, 0u32);
    for (y, row) in levels.rows().enumerate() {
        let is_end = y == 0 || y + 1 == height as usize;
        // The whole first and last row, of the others both ends.
        let step = if is_end { 1 } else { (width as usize).saturating_sub(1).max(1) };
        for pixel in row.step_by(step) {
            border += 1;
            border_ground += u32::from(is_ground(pixel.0[0]));
        }
    }
    (border_ground * 20 >= border * 19).then_some(mode)
}

/// Contrast to grounds that are the same everywhere.
fn against_plain(channels: &[GrayImage], grounds: &[u8]) -> Plane {
    let difference = |(levels, &ground): (&GrayImage, &u8)| {
        levels.as_raw().iter().map(|&level| i64::from(level) - i64::from(ground)).sum::<i64>()
    };
    let is_bright = channels.iter().zip(grounds).map(difference).sum::<i64>() > 0;
    let (width, height) = channels.first().map_or((1, 1), GrayImage::dimensions);
    let mut found = Plane::black(height as usize, width as usize);
    for (levels, &ground) in channels.iter().zip(grounds) {
        for (found, &pixel) in found.data.iter_mut().zip(levels.iter()) {
            let (pixel, ground) = (f32::from(pixel), f32::from(ground));
            *found = found.max(if is_bright { brighter(pixel, ground) } else { darker(pixel, ground) });
        }
    }
    found
}

/// How many times further from the ground bright things must be than dark ones to be the ink: most ink is dark.
const DOUBT: f32 = 1.5;
/// Darker ground than this is not divided by: there would be only noise.
const DARK: f32 = 40.0;

fn darker(pixel: f32, ground: f32) -> f32 {
    ((ground - pixel) / ground.max(DARK)).clamp(0.0, 1.0)
}

/// Against the larger of the room above and the ground itself: what little white is left above bright
/// paper would make noise strong.
fn brighter(pixel: f32, ground: f32) -> f32 {
    ((pixel - ground) / (255.0 - ground).max(ground)).clamp(0.0, 1.0)
}

/// The level of the ground at each pixel of a small copy of a channel.
struct Ground {
    /// The copy, without broad ink.
    levels: GrayImage,
    /// Without what is darker and narrow.
    above: GrayImage,
    /// Without what is brighter and narrow.
    below: GrayImage,
    /// Broad ink is brighter than its ground; `None` if there is none.
    broad_is_bright: Option<bool>,
}

impl Ground {
    /// What is left of an image without strokes: morphological closing takes narrow dark things away, opening
    /// narrow bright ones, and both leave the edge of a shadow where it is (Serra 1982). Broad strokes are
    /// taken away before, where they differ from a guess at the light.
    fn find(levels: &GrayImage, window: f64) -> Ground {
        let coarse = guess(&shrunk(levels, COARSE), window);
        // Less noise, which the extremes below would take for the ground.
        let mut fine = box_filter(&shrunk(levels, FINE), 1, 1);
        let guess = resized(&coarse, fine.width(), fine.height());
        let broad = broad_ink(&fine, &guess);
        let (mut difference, mut count) = (0f64, 0u32);
        for ((pixel, &is_broad), guess) in fine.pixels_mut().zip(&broad.data).zip(guess.pixels()) {
            if is_broad {
                difference += f64::from(pixel.0[0]) - f64::from(guess.0[0]);
                count += 1;
                *pixel = *guess;
            }
        }
        let larger = |image: &GrayImage| octagon(image, grayscale_dilate);
        let smaller = |image: &GrayImage| octagon(image, grayscale_erode);
        let (width, height) = fine.dimensions();
        let wide = continued(&fine);
        let within = |image: GrayImage| {
            image::imageops::crop_imm(&image, NARROW as u32, NARROW as u32, width, height).to_image()
        };
        let (above, below) = (within(smaller(&larger(&wide))), within(larger(&smaller(&wide))));
        Ground { levels: fine, above, below, broad_is_bright: (count > 0).then_some(difference > 0.0) }
    }

    /// How much each pixel is darker than the ground above it, or brighter than the one below.
    fn differences(&self, bright: bool) -> Vec<f32> {
        let ground = if bright { &self.below } else { &self.above };
        let pairs = self.levels.pixels().zip(ground.pixels());
        let pairs = pairs.map(|(pixel, ground)| (f32::from(pixel.0[0]), f32::from(ground.0[0])));
        pairs
            .map(|(pixel, ground)| if bright { brighter(pixel, ground) } else { darker(pixel, ground) })
            .collect()
    }

    /// The strongest contrast either way, but for a few pixels.
    fn strongest(&self) -> f32 {
        let high = |mut values: Vec<f32>| {
            let place = values.len().saturating_sub(1) * 199 / 200;
            *values.select_nth_unstable_by(place, f32::total_cmp).1
        };
        high(self.differences(false)).max(high(self.differences(true)))
    }

    /// Whether the ink is brighter than its ground. Where strokes are dark, the paper within their loops is a
    /// narrow bright thing too, and the other way round; but one of the two has the level of the ground
    /// around both.
    fn has_bright_ink(&self) -> bool {
        if let Some(bright) = self.broad_is_bright {
            return bright;
        }
        let least = INK.max(self.strongest() / 2.0);
        let [dark, bright] = [false, true].map(|bright| {
            let marked =
                self.differences(bright).into_iter().map(|value| if value > least { 255 } else { 0 });
            GrayImage::from_raw(self.levels.width(), self.levels.height(), marked.collect())
                .expect("a mark for each pixel")
        });
        let both = GrayImage::from_fn(dark.width(), dark.height(), |x, y| {
            Luma([dark.get_pixel(x, y).0[0].max(bright.get_pixel(x, y).0[0])])
        });
        // Not what is next to either: soft edges have levels between.
        let edge = grayscale_dilate(&both, &morphology::Mask::square(2));
        let nearby = local_mean(&self.levels, &edge);
        let distance = |marks: &GrayImage| {
            let marked =
                self.levels.pixels().zip(&nearby).zip(marks.pixels()).filter(|(_, mark)| mark.0[0] > 0);
            let off =
                marked.filter_map(|((pixel, ground), _)| Some((f32::from(pixel.0[0]) - (*ground)?).abs()));
            let off: Vec<f32> = off.collect();
            (!off.is_empty()).then(|| median(off))
        };
        match (distance(&dark), distance(&bright)) {
            (Some(dark), Some(bright)) => bright > DOUBT * dark,
            (dark, bright) => bright.is_some() && dark.is_none(),
        }
    }
}

/// Mean level around each pixel of what is not `left_out`; `None` where all is.
fn local_mean(levels: &GrayImage, left_out: &GrayImage) -> Vec<Option<f32>> {
    let radius = 2 * NARROW as u32;
    let kept = levels.pixels().zip(left_out.pixels());
    let kept = kept.map(|(pixel, out)| if out.0[0] > 0 { (0, 0) } else { (pixel.0[0], 255) });
    let (masked, weights): (Vec<u8>, Vec<u8>) = kept.unzip();
    let blurred = |data| {
        let image =
            GrayImage::from_raw(levels.width(), levels.height(), data).expect("a value for each pixel");
        box_filter(&image, radius, radius)
    };
    let (masked, weights) = (blurred(masked), blurred(weights));
    let mean = |(level, weight): (&Luma<u8>, &Luma<u8>)| {
        (weight.0[0] > 4).then(|| 255.0 * f32::from(level.0[0]) / f32::from(weight.0[0]))
    };
    masked.pixels().zip(weights.pixels()).map(mean).collect()
}

/// The image with a margin in which it goes on as it came: light that falls off towards the border would
/// else look like something narrow and dark there.
fn continued(image: &GrayImage) -> GrayImage {
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    let margin = NARROW as i64;
    // The nearest pixel, and the one as far on its other side.
    let places = |at: i64, length: i64| {
        let near = at.clamp(0, length - 1);
        (near, (2 * near - at).clamp(0, length - 1))
    };
    GrayImage::from_fn((width + 2 * margin) as u32, (height + 2 * margin) as u32, |x, y| {
        let (near_x, far_x) = places(i64::from(x) - margin, width);
        let (near_y, far_y) = places(i64::from(y) - margin, height);
        let level = |x: i64, y: i64| i32::from(image.get_pixel(x as u32, y as u32).0[0]);
        Luma([(2 * level(near_x, near_y) - level(far_x, far_y)).clamp(0, 255) as u8])
    })
}

/// The extreme of an octagon around each pixel, which is as good as a circle: squares and crosses in turn.
fn octagon(image: &GrayImage, step: fn(&GrayImage, &morphology::Mask) -> GrayImage) -> GrayImage {
    let shapes = [morphology::Mask::square(1), morphology::Mask::diamond(1)];
    (0..NARROW).fold(image.clone(), |image, round| step(&image, &shapes[round % 2]))
}

/// A surface of second degree, and what a wide median makes of the image divided by it: light that falls off
/// would leave the median wrong at the borders, where it sees one side only.
fn guess(coarse: &GrayImage, window: f64) -> GrayImage {
    let plane = Plane {
        height: coarse.height() as usize,
        width: coarse.width() as usize,
        data: coarse.pixels().map(|pixel| pixel.0[0].into()).collect(),
    };
    let mut light = super::surface::fit(&plane, |_, _| true);
    light.data.iter_mut().for_each(|level| *level = level.max(DARK));
    let share = plane.data.iter().zip(&light.data).map(|(pixel, light)| 128.0 * pixel / light);
    let even = Plane { data: share.collect(), ..plane }.to_image(1.0);
    let radius = ((f64::from(coarse.width().max(coarse.height())) * window / 2.0) as u32).max(1);
    let even = median_filter(&even, radius, radius);
    let level = |(even, light): (&Luma<u8>, &f32)| {
        (f32::from(even.0[0]) * light / 128.0).round().clamp(0.0, 255.0) as u8
    };
    let data = even.pixels().zip(&light.data).map(level).collect();
    GrayImage::from_raw(coarse.width(), coarse.height(), data).expect("a level for each pixel")
}

/// Broad areas that differ from the guess as much as ink does: those of less contrast are shadows.
fn broad_ink(fine: &GrayImage, guess: &GrayImage) -> Mask {
    let differs = |(pixel, guess): (&Luma<u8>, &Luma<u8>)| {
        let (pixel, guess) = (f32::from(pixel.0[0]), f32::from(guess.0[0]));
        darker(pixel, guess).max(brighter(pixel, guess))
    };
    let contrast: Vec<f32> = fine.pixels().zip(guess.pixels()).map(differs).collect();
    let mut strong: Vec<f32> = contrast.iter().copied().filter(|&value| value > INK).collect();
    strong.sort_by(f32::total_cmp);
    let strongest = strong.get(strong.len() * 49 / 50).copied().unwrap_or(1.0);
    let marks =
        contrast.iter().map(|&contrast| if contrast > SHADOW * strongest { 255 } else { 0 }).collect();
    let marks = GrayImage::from_raw(fine.width(), fine.height(), marks).expect("a mark for each pixel");
    let broad = morphology::open(&marks, Norm::LInf, BROAD);
    // A page is far broader than any stroke, but for the writing on it.
    let page = morphology::open(&morphology::close(&marks, Norm::LInf, NARROW as u8), Norm::LInf, PAGE);
    let page = morphology::dilate(&page, Norm::LInf, PAGE);
    // The opening has rounded corners; and a little more, for the soft edges.
    let around = grayscale_dilate(&broad, &morphology::Mask::square(BROAD));
    let marks = grayscale_dilate(&marks, &morphology::Mask::square(1));
    let is_ink = |((mark, around), page): ((&Luma<u8>, &Luma<u8>), &Luma<u8>)| {
        mark.0[0] > 0 && around.0[0] > 0 && page.0[0] == 0
    };
    let data = marks.pixels().zip(around.pixels()).zip(page.pixels()).map(is_ink).collect();
    let mut ink = Mask { height: fine.height() as usize, width: fine.width() as usize, data };
    // What reaches the border is a table, or the paper itself.
    for part in parts(&ink).iter().filter(|part| part.touches_edge(&ink)).cloned().collect::<Vec<_>>() {
        erase(&mut ink, &part);
    }
    ink
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

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    type Light<'a> = &'a dyn Fn(f32, f32) -> f32;

    /// A stroke of two fifths of the paper's brightness, in a light.
    fn photo(light: impl Fn(f32, f32) -> f32) -> RgbImage {
        RgbImage::from_fn(400, 300, |x, y| {
            let is_ink = (180..200).contains(&x) && (80..220).contains(&y);
            let level = 240.0 * light(x as f32 / 400.0, y as f32 / 300.0) * if is_ink { 0.4 } else { 1.0 };
            Rgb([level as u8; 3])
        })
    }

    #[test]
    fn ink_has_the_same_contrast_in_any_light() {
        let lights: [(&str, Light<'_>); 4] = [
            ("even", &|_, _| 1.0),
            ("falling off", &|x, y| 1.0 - 0.5 * (x + y) / 2.0),
            ("a lamp", &|x, y| 1.0 - 0.8 * ((x - 0.4).powi(2) + (y - 0.5).powi(2))),
            ("a hard shadow", &|x, y| if x + 0.3 * y > 0.6 { 0.5 } else { 1.0 }),
        ];
        for (name, light) in lights {
            let found = contrast(&photo(light), 0.6);
            let at = |y: usize, x: usize| found.at(y, x);
            // Where the edge of the shadow crosses the stroke, its ground is that of the shadow.
            for row in [90, 150, 200] {
                assert!((at(row, 190) - 0.6).abs() < 0.12, "{name}: ink {}", at(row, 190));
            }
            let ground: Vec<f32> = (0..300)
                .flat_map(|y| (0..400).map(move |x| (y, x)))
                .filter(|&(y, x)| !(170..210).contains(&x) || !(70..230).contains(&y))
                .map(|(y, x)| at(y, x))
                .collect();
            let wrong = ground.iter().filter(|&&value| value > 0.2).count();
            assert!(wrong * 100 < ground.len(), "{name}: {wrong} of {} pixels of ground", ground.len());
        }
    }

    #[test]
    fn colours_of_equal_grey_are_told_apart() {
        // Red and green of the same brightness.
        let image = RgbImage::from_fn(200, 200, |x, _| {
            if (90..110).contains(&x) { Rgb([200, 60, 60]) } else { Rgb([60, 131, 60]) }
        });
        let found = contrast(&image, 0.6);
        assert!(found.at(100, 100) > 0.4 && found.at(100, 30) < 0.1, "{}", found.at(100, 100));
    }

    #[test]
    fn bright_ink_on_black_counts_too() {
        let image =
            RgbImage::from_fn(
                200,
                200,
                |x, _| if (90..110).contains(&x) { Rgb([255; 3]) } else { Rgb([0; 3]) },
            );
        let found = contrast(&image, 0.6);
        assert_eq!((found.at(100, 100), found.at(100, 20)), (1.0, 0.0));
    }
}

//! A sheet of paper on a darker table.

use image::{GrayImage, ImageBuffer, Luma, Pixel};
use imageproc::contours::find_contours;
use imageproc::contrast::{ThresholdType, otsu_level, threshold};
use imageproc::distance_transform::Norm;
use imageproc::geometry::{contour_area, min_area_rect};
use imageproc::morphology::{dilate, erode};
use imageproc::point::Point;

use super::plane::median;

/// Longer side of the image on which a page is looked for.
const SIDE: u32 = 128;
/// How many times brighter than the table a page is, next to its edge.
const CONTRAST: f32 = 1.4;
/// Share of its smallest surrounding rectangle that a page fills, seen at an angle. A circle of light fills
/// 0.785 of it.
const FILL: f64 = 0.82;
/// Pixels of the edge, which is blurred, and where the paper may be curled.
const EDGE: u8 = 2;
/// Sides of the picture that a page reaches at most: the lit part of a paper in shadow reaches more.
const SIDES: usize = 2;

/// Gives everything beside the page the page's own colour, if there is a page of at least `area` of the
/// image; nothing changes else.
pub(super) fn keep<P: Pixel<Subpixel = u8>>(
    image: &ImageBuffer<P, Vec<u8>>,
    area: f64,
) -> Option<ImageBuffer<P, Vec<u8>>> {
    let levels = image::imageops::grayscale(image);
    if is_framed_in_white(&levels) {
        return None;
    }
    let (width, height) = levels.dimensions();
    let scale = scale(width, height);
    let (small_width, small_height) = smaller(width, height);
    let page = find(&image::imageops::thumbnail(&levels, small_width, small_height), area)?;
    let inside = erode(&page, Norm::LInf, EDGE);
    let at = |x: u32, y: u32| {
        let place = |at: u32, length: u32| ((f64::from(at) * scale) as u32).min(length - 1);
        inside.get_pixel(place(x, inside.width()), place(y, inside.height())).0[0] > 0
    };
    let colour: Vec<u8> = (0..P::CHANNEL_COUNT.into())
        .map(|channel| {
            let on_page = image.enumerate_pixels().step_by(7).filter(|(x, y, _)| at(*x, *y));
            median(on_page.map(|(_, _, pixel)| f32::from(pixel.channels()[channel])).collect()) as u8
        })
        .collect();
    let mut kept = image.clone();
    kept.enumerate_pixels_mut()
        .filter(|(x, y, _)| !at(*x, *y))
        .for_each(|(_, _, pixel)| pixel.channels_mut().copy_from_slice(&colour));
    Some(kept)
}

/// How many times as long the sides of the image are on which a page is looked for.
fn scale(width: u32, height: u32) -> f64 {
    f64::from(SIDE) / f64::from(width.max(height))
}

/// Width and height of the image on which a page is looked for.
fn smaller(width: u32, height: u32) -> (u32, u32) {
    let length = |length: u32| ((f64::from(length) * scale(width, height)) as u32).max(1);
    (length(width), length(height))
}

/// Whether nothing is brighter than the border, as in drawings on a white canvas: what is bright then reaches
/// every side, so that no page needs to be looked for.
fn is_framed_in_white(levels: &GrayImage) -> bool {
    let (width, height) = levels.dimensions();
    // Enlarging gives levels between those of two pixels.
    if width.max(height) < SIDE {
        return false;
    }
    let brightest = levels.iter().copied().max();
    let is_bright = |row: &[u8]| row.iter().all(|&level| Some(level) == brightest);
    // Of what smoothing makes the outermost pixels of the smaller image: two of its pixels, whose bounds are rounded.
    let margin = |length: u32, smaller: u32| (2 * length.div_ceil(smaller) + 1).min(length) as usize;
    let (small_width, small_height) = smaller(width, height);
    let (across, down) = (margin(width, small_width), margin(height, small_height));
    let is_end = |y: usize| y < down || y + down >= height as usize;
    let mut rows = levels.as_raw().chunks_exact(width as usize).enumerate();
    rows.all(|(y, row)| {
        if is_end(y) {
            is_bright(row)
        } else {
            is_bright(&row[..across]) && is_bright(&row[row.len() - across..])
        }
    })
}

/// The largest bright region, with what is written on it, if it has the form and the edge of a page.
fn find(levels: &GrayImage, area: f64) -> Option<GrayImage> {
    let smooth = imageproc::filter::box_filter(levels, 1, 1);
    let bright = threshold(&smooth, otsu_level(&smooth), ThresholdType::Binary);
    // A margin, so that outlines do not end at the border of the picture.
    let framed = GrayImage::from_fn(bright.width() + 2, bright.height() + 2, |x, y| {
        let inside = x > 0 && y > 0 && x <= bright.width() && y <= bright.height();
        Luma([if inside { bright.get_pixel(x - 1, y - 1).0[0] } else { 0 }])
    });
    let contours = find_contours::<i32>(&framed);
    let outline = contours
        .iter()
        .filter(|contour| contour.parent.is_none() && contour.points.len() > 3)
        .max_by(|a, b| contour_area(&a.points).total_cmp(&contour_area(&b.points)))?;
    let (covered, rectangle) = (contour_area(&outline.points), rectangle_area(&outline.points));
    let whole = f64::from(levels.width()) * f64::from(levels.height());
    if covered < area * whole || covered < FILL * rectangle {
        return None;
    }
    let mut filled = GrayImage::new(framed.width(), framed.height());
    imageproc::drawing::draw_polygon_mut(&mut filled, &open(&outline.points), Luma([255]));
    let page = image::imageops::crop_imm(&filled, 1, 1, bright.width(), bright.height()).to_image();
    let is_page = sides(&page) <= SIDES && is_plain(&page, &bright) && has_sharp_edge(levels, &page);
    is_page.then_some(page)
}

/// Whether the page is bright and the table is dark, each but for a quarter: squares and stripes are neither.
fn is_plain(page: &GrayImage, bright: &GrayImage) -> bool {
    let share = |on_page: bool| {
        let pixels = page.pixels().zip(bright.pixels()).filter(|(page, _)| (page.0[0] > 0) == on_page);
        let (count, equal) = pixels.fold((0u32, 0u32), |(count, equal), (_, bright)| {
            (count + 1, equal + u32::from((bright.0[0] > 0) == on_page))
        });
        f64::from(equal) / f64::from(count.max(1))
    };
    share(true) > 0.75 && share(false) > 0.75
}

/// Without the first point again at the end.
fn open(points: &[Point<i32>]) -> Vec<Point<i32>> {
    let mut points = points.to_vec();
    while points.len() > 1 && points.first() == points.last() {
        points.pop();
    }
    points
}

fn rectangle_area(points: &[Point<i32>]) -> f64 {
    let [a, b, c, _] = min_area_rect(points);
    let length = |p: Point<i32>, q: Point<i32>| f64::from(p.x - q.x).hypot(f64::from(p.y - q.y));
    length(a, b) * length(b, c)
}

/// On how many sides of the picture a region reaches the border.
fn sides(page: &GrayImage) -> usize {
    let (width, height) = page.dimensions();
    let reaches = |along: u32, place: &dyn Fn(u32) -> (u32, u32)| {
        (0..along).any(|at| {
            let (x, y) = place(at);
            page.get_pixel(x, y).0[0] > 0
        })
    };
    let borders = [
        reaches(width, &|at| (at, 0)),
        reaches(width, &|at| (at, height - 1)),
        reaches(height, &|at| (0, at)),
        reaches(height, &|at| (width - 1, at)),
    ];
    borders.into_iter().filter(|&reaches| reaches).count()
}

/// Whether it is much brighter just inside of the outline than just outside: the edge of a page is sharp, that
/// of a light is not.
fn has_sharp_edge(levels: &GrayImage, page: &GrayImage) -> bool {
    let ring = |outer: &GrayImage, inner: &GrayImage| {
        let marks = outer.pixels().zip(inner.pixels()).zip(levels.pixels());
        let between = marks.filter(|((outer, inner), _)| outer.0[0] > 0 && inner.0[0] == 0);
        median(between.map(|(_, level)| level.0[0].into()).collect())
    };
    let (smaller, larger) = (erode(page, Norm::LInf, 1), dilate(page, Norm::LInf, 1));
    let inside = ring(&smaller, &erode(&smaller, Norm::LInf, 2));
    let outside = ring(&dilate(&larger, Norm::LInf, 2), &larger);
    inside > CONTRAST * outside.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};
    use proptest::prelude::*;

    /// A 1 in the middle, on ground that is bright where `bright` says.
    fn photo(bright: impl Fn(u32, u32) -> f32) -> RgbImage {
        RgbImage::from_fn(300, 200, |x, y| {
            let ground = 60.0 + 170.0 * bright(y, x);
            let is_ink = (145..155).contains(&x) && (60..140).contains(&y);
            Rgb([if is_ink { ground / 4.0 } else { ground } as u8; 3])
        })
    }

    #[test]
    fn a_page_is_kept_and_the_table_gets_its_colour() {
        // Tilted by a twentieth.
        let on_page = |y: u32, x: u32| {
            let (y, x) = (y as f32 + x as f32 / 20.0, x as f32 - y as f32 / 20.0);
            if (40.0..180.0).contains(&y) && (50.0..250.0).contains(&x) { 1.0 } else { 0.0 }
        };
        let kept = keep(&photo(on_page), 0.1).unwrap();
        assert_eq!((kept.get_pixel(5, 5).0, kept.get_pixel(290, 190).0), ([230; 3], [230; 3]));
        assert_eq!(kept.get_pixel(150, 100).0, [57; 3]);
        let darker = kept.pixels().filter(|pixel| pixel.0[0] < 200).count();
        assert!(darker <= 800, "{darker}");
    }

    #[test]
    fn light_is_not_taken_for_a_page() {
        assert_eq!(keep(&photo(|_, _| 1.0), 0.1), None);
        assert_eq!(keep(&photo(|_, x| if x < 140 { 1.0 } else { 0.3 }), 0.1), None);
        let lamp = |y: u32, x: u32| {
            let distance = (y as f32 - 100.0).hypot(x as f32 - 150.0);
            (1.5 - distance / 90.0).clamp(0.0, 1.0)
        };
        assert_eq!(keep(&photo(lamp), 0.1), None);
    }

    #[test]
    fn squares_are_no_page() {
        let squares = |y: u32, x: u32| if (x / 12 + y / 12).is_multiple_of(2) { 1.0 } else { 0.0 };
        assert_eq!(keep(&photo(squares), 0.1), None);
    }

    #[test]
    fn tiny_and_plain_pictures_have_no_page() {
        for (width, height) in [(1, 1), (3, 1), (1, 200)] {
            assert_eq!(keep(&RgbImage::new(width, height), 0.1), None);
        }
    }

    proptest! {
        /// What lies within a bright border: rectangles, darker or as bright.
        #[test]
        fn no_page_is_found_within_a_white_border(
            (width, height) in (1u32..400, 1u32..400),
            level in 1u8..=255,
            within in prop::collection::vec((0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0, any::<u8>()), 0..6),
        ) {
            let mut levels = GrayImage::from_pixel(width, height, Luma([level]));
            for (left, top, right, bottom, within) in within {
                for y in (f64::from(height) * top) as u32..(f64::from(height) * bottom) as u32 {
                    for x in (f64::from(width) * left) as u32..(f64::from(width) * right) as u32 {
                        levels.put_pixel(x, y, Luma([within.min(level)]));
                    }
                }
            }
            if is_framed_in_white(&levels) {
                let (width, height) = smaller(width, height);
                prop_assert_eq!(find(&image::imageops::thumbnail(&levels, width, height), 0.0), None);
            }
        }
    }
}

//! What is on a picture besides writing: the table, frames, specks.

use image::{GrayImage, Luma};
use imageproc::contours::find_contours;
use imageproc::contrast::{ThresholdType, otsu_level, threshold};
use imageproc::geometry::{contour_area, min_area_rect};

use super::ink::Mask;
use super::parts::{Part, erase, parts};
use super::plane::Bounds;

/// How many times brighter than the table a page is.
const PAGE_CONTRAST: f32 = 1.35;
/// Share of its smallest surrounding rectangle that a page fills, seen at an angle.
const PAGE_FILL: f64 = 0.8;
/// Share of the ink that lies on the page, if it is one and not the lit part of a paper in shadow.
const INK_ON_PAGE: f64 = 0.9;
/// Longer side of the image on which a page is looked for.
const PAGE_SIDE: u32 = 128;

/// Where the page lies, if one lies on a darker table and the ink is on it: true on the page, a little
/// inside of its edge.
pub(super) fn page(levels: &GrayImage, ink: &Mask, area: f64) -> Option<Mask> {
    let (width, height) = levels.dimensions();
    let scale = f64::from(PAGE_SIDE) / f64::from(width.max(height));
    let small = |length: u32| ((f64::from(length) * scale) as u32).max(1);
    let image = image::imageops::thumbnail(levels, small(width), small(height));
    let image = imageproc::filter::median_filter(&image, 2, 2);
    let level = otsu_level(&image);
    let bright = threshold(&image, level, ThresholdType::Binary);
    let mean = |is_bright: bool| {
        let (mut sum, mut count) = (0f32, 0f32);
        for (pixel, mark) in image.pixels().zip(bright.pixels()) {
            if (mark.0[0] > 0) == is_bright {
                (sum, count) = (sum + f32::from(pixel.0[0]), count + 1.0);
            }
        }
        sum / count.max(1.0)
    };
    if mean(true) < PAGE_CONTRAST * mean(false) {
        return None;
    }
    // The outline of the largest bright region; ink on the page leaves holes, which do not count.
    let framed = GrayImage::from_fn(bright.width() + 2, bright.height() + 2, |x, y| {
        let inside = x > 0 && y > 0 && x <= bright.width() && y <= bright.height();
        Luma([if inside { bright.get_pixel(x - 1, y - 1).0[0] } else { 0 }])
    });
    let contours = find_contours::<i32>(&framed);
    let outline = contours
        .iter()
        .filter(|contour| contour.parent.is_none() && contour.points.len() > 3)
        .max_by(|a, b| contour_area(&a.points).total_cmp(&contour_area(&b.points)))?;
    let covered = contour_area(&outline.points);
    let whole = f64::from(image.width()) * f64::from(image.height());
    if !(area..0.97).contains(&(covered / whole)) || covered < PAGE_FILL * rectangle_area(&outline.points) {
        return None;
    }
    let mut filled = GrayImage::new(framed.width(), framed.height());
    let polygon: Vec<_> = outline.points.clone();
    imageproc::drawing::draw_polygon_mut(&mut filled, &without_repeat(polygon), Luma([255]));
    // The edge itself is blurred, and the paper may be curled there.
    let inside = imageproc::morphology::erode(&filled, imageproc::distance_transform::Norm::LInf, 2);
    let at = |row: usize, column: usize| {
        let place = |at: usize, length: u32| ((at as f64 * scale) as u32).min(length - 1) + 1;
        inside.get_pixel(place(column, image.width()), place(row, image.height())).0[0] > 0
    };
    let (height, width) = (height as usize, width as usize);
    let data: Vec<bool> = (0..height * width).map(|index| at(index / width, index % width)).collect();
    let all = ink.data.iter().filter(|&&is_ink| is_ink).count();
    let _ = all;
    let is_line = |part: &Part| part.height().min(part.width()) * 12 < part.size();
    let writing = parts(ink).into_iter().filter(|part| !touches_edge(part, ink) && !is_line(part));
    let (mut on, mut total) = (0usize, 0usize);
    for part in writing {
        total += part.pixels.len();
        on += part.pixels.iter().filter(|&&index| data[index]).count();
    }
    (on as f64 >= INK_ON_PAGE * total as f64 && total > 0).then_some(Mask { height, width, data })
}

fn without_repeat<T: PartialEq>(mut points: Vec<T>) -> Vec<T> {
    if points.len() > 1 && points.first() == points.last() {
        points.pop();
    }
    points
}

fn rectangle_area(points: &[imageproc::point::Point<i32>]) -> f64 {
    let [a, b, c, _] = min_area_rect(points);
    let length = |p: imageproc::point::Point<i32>, q: imageproc::point::Point<i32>| {
        f64::from(p.x - q.x).hypot(f64::from(p.y - q.y))
    };
    length(a, b) * length(b, c)
}

fn touches_edge(part: &Part, mask: &Mask) -> bool {
    let Bounds { top, left, bottom, right } = part.bounds;
    top == 0 || left == 0 || bottom == mask.height || right == mask.width
}

/// Takes frames, what hangs over the edge of the picture, and specks away.
pub(super) fn remove(mask: &mut Mask, speck: f64) {
    let mut all = parts(mask);
    remove_frames(mask, &mut all);
    remove_edges(mask, &mut all);
    let largest = all.iter().map(|part| part.pixels.len()).max().unwrap_or(0);
    let tallest = all.iter().map(Part::size).max().unwrap_or(0);
    for part in &all {
        let is_small = (part.pixels.len() as f64) < speck * largest as f64;
        if is_small || (part.size() as f64) < 2.0 * speck * tallest as f64 {
            erase(mask, part);
        }
    }
}

/// A part is a frame if others lie within it that are not just specks, and its middle is empty of it.
fn remove_frames(mask: &mut Mask, all: &mut Vec<Part>) {
    let is_within = |inner: &Part, outer: &Part| {
        let (a, b) = (inner.bounds, outer.bounds);
        a.top > b.top && a.left > b.left && a.bottom < b.bottom && a.right < b.right
    };
    let width = mask.width;
    let is_frame = |part: &Part| {
        let (b, height, across) = (part.bounds, part.height(), part.width());
        let content = all.iter().filter(|other| is_within(other, part)).map(Part::size).max().unwrap_or(0);
        let in_middle = part.pixels.iter().filter(|&&index| {
            let (row, column) = (index / width - b.top, index % width - b.left);
            (height / 5..height - height / 5).contains(&row)
                && (across / 5..across - across / 5).contains(&column)
        });
        content * 4 >= height.min(across) && in_middle.count() * 20 < part.pixels.len()
    };
    let frames: Vec<bool> = all.iter().map(is_frame).collect();
    let mut flags = frames.into_iter();
    all.retain(|part| {
        let keep = !flags.next().unwrap_or(false);
        if !keep {
            erase(mask, part);
        }
        keep
    });
}

/// What touches the edge is the table, a shadow or the next word, if something of a fair size does not.
fn remove_edges(mask: &mut Mask, all: &mut Vec<Part>) {
    let free = all.iter().filter(|part| !touches_edge(part, mask)).map(Part::size).max().unwrap_or(0);
    let least = mask.height.max(mask.width) / 12;
    if free < least {
        return;
    }
    let shape = Mask { height: mask.height, width: mask.width, data: Vec::new() };
    all.retain(|part| {
        let keep = !touches_edge(part, &shape) || (part.size() < free * 3 / 2 && !hugs_edge(part, &shape));
        if !keep {
            erase(mask, part);
        }
        keep
    });
}

/// Whether much of a part lies at the edge, as of what goes on beyond it.
fn hugs_edge(part: &Part, mask: &Mask) -> bool {
    let at_edge = part.pixels.iter().filter(|&&index| {
        let (row, column) = (index / mask.width, index % mask.width);
        row < 2 || column < 2 || row + 2 >= mask.height || column + 2 >= mask.width
    });
    at_edge.count() * 3 > part.size()
}

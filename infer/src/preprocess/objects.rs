//! Which parts belong to one object, and in which order objects are read.

use super::ink::Ink;
use super::parts::{Part, largest_parts};
use super::plane::{Bounds, Plane};

/// An object on black: bright where its ink is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// Its ink, 0 to 255, as large as its bounds.
    pub plane: Plane,
    /// Where it is on the working image.
    pub bounds: Bounds,
    /// Which line of text it belongs to, from 0.
    pub row: usize,
}

/// Groups parts into objects in reading order. Objects lower than `height` of the highest are not objects
/// but belong to the nearest one, or to none. Also gives how many parts were too many to look at.
pub(super) fn find(ink: &Ink, height: f64) -> (Vec<Object>, usize) {
    let (parts, others) = largest_parts(&ink.mask);
    let groups = merged(parts);
    let tallest = groups.iter().map(|group| size(group)).max().unwrap_or(0);
    let (mut large, small): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|group| size(group) as f64 >= height * tallest as f64);
    for group in small {
        adopt(&mut large, group);
    }
    let objects = in_reading_order(large).into_iter().map(|(row, group)| {
        let bounds = bounds(&group);
        Object { plane: draw(ink, &group, bounds), bounds, row }
    });
    (objects.collect(), others.len())
}

fn bounds(group: &[Part]) -> Bounds {
    group.iter().map(|part| part.bounds).reduce(Bounds::union).unwrap_or_default()
}

fn size(group: &[Part]) -> usize {
    let b = bounds(group);
    (b.bottom - b.top).max(b.right - b.left)
}

/// Parts that belong together as one group each.
fn merged(parts: Vec<Part>) -> Vec<Vec<Part>> {
    let mut groups: Vec<(Bounds, Vec<Part>)> =
        parts.into_iter().map(|part| (part.bounds, vec![part])).collect();
    // Of the first `done`, none belongs to any other, except to `one`, which may have grown. So this finds the first
    // pair, and after each the first again, without looking at all pairs each time.
    let (mut one, mut done) = (0, 0);
    while one < groups.len() {
        let is_part = |other: &usize| belong_together(groups[one].0, groups[*other].0);
        let pair = match (0..one).find(is_part) {
            Some(before) => Some((before, one)),
            None => (one + 1..groups.len()).find(is_part).map(|after| (one, after)),
        };
        let Some((keeps, goes)) = pair else {
            done = done.max(one + 1);
            one = done;
            continue;
        };
        let (bounds, more) = groups.swap_remove(goes);
        groups[keeps].0 = groups[keeps].0.union(bounds);
        groups[keeps].1.extend(more);
        // The last has taken the place of what went, and was not looked at.
        (one, done) = (keeps, done.min(goes));
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Above each other with little between them, as the bar and the bow of a 5, or one within the other.
fn belong_together(a: Bounds, b: Bounds) -> bool {
    let overlap = |a: (usize, usize), b: (usize, usize)| a.1.min(b.1) as f64 - a.0.max(b.0) as f64;
    let across = overlap((a.left, a.right), (b.left, b.right));
    let down = overlap((a.top, a.bottom), (b.top, b.bottom));
    let narrower = (a.right - a.left).min(b.right - b.left) as f64;
    let lower = (a.bottom - a.top).min(b.bottom - b.top) as f64;
    let higher = (a.bottom - a.top).max(b.bottom - b.top) as f64;
    let is_stacked = across >= 0.5 * narrower && -down <= 0.2 * higher && lower < 0.75 * higher;
    let is_crossing = across >= 0.6 * narrower && down >= 0.6 * lower;
    is_stacked || is_crossing
}

/// A small group goes to the group whose bounds it is next to, if one is near; else it is left out.
fn adopt(large: &mut [Vec<Part>], group: Vec<Part>) {
    let own = bounds(&group);
    let distance = |b: Bounds| {
        let gap = |a: (usize, usize), b: (usize, usize)| a.0.max(b.0).saturating_sub(a.1.min(b.1));
        gap((own.top, own.bottom), (b.top, b.bottom)).max(gap((own.left, own.right), (b.left, b.right)))
    };
    let nearest = large.iter_mut().min_by_key(|other| distance(bounds(other)));
    if let Some(nearest) = nearest {
        let near = size(nearest) / 8;
        if distance(bounds(nearest)) <= near {
            nearest.extend(group);
        }
    }
}

/// Lines of text from above, each from the left: groups are on one line if their heights overlap by half.
fn in_reading_order(mut groups: Vec<Vec<Part>>) -> Vec<(usize, Vec<Part>)> {
    groups.sort_by_key(|group| bounds(group).left);
    let mut lines: Vec<Vec<Vec<Part>>> = Vec::new();
    for group in groups {
        let own = bounds(&group);
        let line = lines.iter_mut().find(|line| {
            // The last of the line: lines of writing rise and fall.
            let last = line.last().map(|group| bounds(group)).unwrap_or_default();
            let overlap = own.bottom.min(last.bottom) as f64 - own.top.max(last.top) as f64;
            overlap >= 0.5 * (own.bottom - own.top).min(last.bottom - last.top) as f64
        });
        match line {
            Some(line) => line.push(group),
            None => lines.push(vec![group]),
        }
    }
    lines.sort_by_key(|line| line.iter().map(|group| bounds(group).top).min());
    lines
        .into_iter()
        .enumerate()
        .flat_map(|(row, line)| line.into_iter().map(move |group| (row, group)))
        .collect()
}

/// Objects as one.
pub(super) fn join(objects: &[&Object]) -> Option<Object> {
    let bounds = objects.iter().map(|object| object.bounds).reduce(Bounds::union)?;
    let mut plane = Plane::black(bounds.bottom - bounds.top, bounds.right - bounds.left);
    for object in objects {
        let (top, left) = (object.bounds.top - bounds.top, object.bounds.left - bounds.left);
        for (index, &level) in object.plane.data.iter().enumerate() {
            let place = (top + index / object.plane.width) * plane.width + left + index % object.plane.width;
            plane.data[place] = plane.data[place].max(level);
        }
    }
    Some(Object { plane, bounds, row: objects.first()?.row })
}

/// An object cut from top to bottom where there is least ink, between a quarter and three quarters of its
/// width; `None` if it is not wide enough for two.
pub(super) fn cut(object: &Object) -> Option<[Object; 2]> {
    let Plane { height, width, .. } = object.plane;
    if width < 4 || (width as f64) < 0.8 * height as f64 {
        return None;
    }
    let column_ink = |column: usize| (0..height).map(|row| object.plane.at(row, column)).sum::<f32>();
    let middle = width as f64 / 2.0;
    // Of equal columns the one nearest the middle.
    let cost = |column: usize| column_ink(column) + (column as f64 - middle).abs() as f32 * 0.02 * 255.0;
    let best = (width / 4..=width * 3 / 4).min_by(|&a, &b| cost(a).total_cmp(&cost(b)))?;
    let part = |columns: std::ops::Range<usize>| {
        let mut plane = Plane::black(height, columns.len());
        for row in 0..height {
            for (to, from) in columns.clone().enumerate() {
                plane.data[row * plane.width + to] = object.plane.at(row, from);
            }
        }
        let inner = plane.bounds(0.0)?;
        let Bounds { top, left, .. } = object.bounds;
        let bounds = Bounds {
            top: top + inner.top,
            left: left + columns.start + inner.left,
            bottom: top + inner.bottom,
            right: left + columns.start + inner.right,
        };
        Some(Object { plane: plane.part(inner), bounds, row: object.row })
    };
    Some([part(0..best)?, part(best..width)?])
}

/// The ink of a group, as strong as it is, up to full strength for a typical stroke.
fn draw(ink: &Ink, group: &[Part], bounds: Bounds) -> Plane {
    let (height, width) = (bounds.bottom - bounds.top, bounds.right - bounds.left);
    let mut plane = Plane::black(height, width);
    for &index in group.iter().flat_map(|part| &part.pixels) {
        let (row, column) = (index / ink.mask.width, index % ink.mask.width);
        let level = ink.strength.data[index] / (0.8 * ink.typical);
        plane.data[(row - bounds.top) * width + column - bounds.left] = 255.0 * level.min(1.0);
    }
    plane
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By the definition: the first pair of all becomes one, until there is none.
    fn expected(parts: Vec<Part>) -> Vec<Vec<Part>> {
        let mut groups: Vec<Vec<Part>> = parts.into_iter().map(|part| vec![part]).collect();
        let pair = |groups: &[Vec<Part>]| {
            let others = |one: usize| (one + 1..groups.len()).map(move |other| (one, other));
            let mut pairs = (0..groups.len()).flat_map(others);
            pairs.find(|&(one, other)| belong_together(bounds(&groups[one]), bounds(&groups[other])))
        };
        while let Some((one, other)) = pair(&groups) {
            let more = groups.swap_remove(other);
            groups[one].extend(more);
        }
        groups
    }

    proptest! {
        #[test]
        fn parts_are_merged_pair_by_pair(boxes in prop::collection::vec((0usize..60, 0usize..60, 1usize..9, 1usize..9), 0..40)) {
            let part = |(index, &(top, left, height, width)): (usize, &(usize, usize, usize, usize))| Part {
                pixels: vec![index],
                bounds: Bounds { top, left, bottom: top + height, right: left + width },
            };
            let parts: Vec<Part> = boxes.iter().enumerate().map(part).collect();
            let pixels = |groups: Vec<Vec<Part>>| -> Vec<Vec<usize>> {
                groups.iter().map(|group| group.iter().flat_map(|part| part.pixels.clone()).collect()).collect()
            };
            prop_assert_eq!(pixels(merged(parts.clone())), pixels(expected(parts)));
        }
    }
}

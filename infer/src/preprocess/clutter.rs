//! What is on a picture besides writing: frames, what hangs over the edge, specks.

use super::ink::Mask;
use super::parts::{Part, erase, largest_parts};

/// Lowest writing, as a share of the picture's longer side: a third of a line of writing on a whole sheet.
const LOWEST: f64 = 0.012;
/// Lowest writing in pixels: what is lower is noise.
const LOWEST_PIXELS: f64 = 5.0;

/// Takes frames, what hangs over the edge of the picture, and specks away; everything if all are specks. Gives how many
/// parts are gone that are none of these, because there are too many.
pub(super) fn remove(mask: &mut Mask, speck: f64) -> usize {
    let side = mask.height.max(mask.width) as f64;
    let lowest = (LOWEST * side).max(LOWEST_PIXELS);
    let (mut all, others) = largest_parts(mask);
    mask.data.fill(false);
    all.iter().flat_map(|part| &part.pixels).for_each(|&index| mask.data[index] = true);
    remove_frames(mask, &mut all);
    remove_edges(mask, &mut all);
    let largest = all.iter().map(|part| part.pixels.len()).max().unwrap_or(0);
    let tallest = all.iter().map(Part::size).max().unwrap_or(0);
    let is_speck = |part: &Part| {
        let is_small = (part.pixels.len() as f64) < speck * largest as f64;
        is_small || (part.size() as f64) < 2.0 * speck * tallest as f64 || (tallest as f64) < lowest
    };
    all.iter().filter(|part| is_speck(part)).for_each(|part| erase(mask, part));
    others.iter().filter(|part| !is_speck(part)).count()
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
    let free = all.iter().filter(|part| !part.touches_edge(mask)).map(Part::size).max().unwrap_or(0);
    let least = mask.height.max(mask.width) / 12;
    if free < least {
        return;
    }
    let shape = Mask { height: mask.height, width: mask.width, data: Vec::new() };
    all.retain(|part| {
        let keep = !part.touches_edge(&shape) || (part.size() < free * 3 / 2 && !hugs_edge(part, &shape));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(ink: impl Fn(usize, usize) -> bool) -> Mask {
        Mask { height: 200, width: 200, data: (0..40_000).map(|i| ink(i / 200, i % 200)).collect() }
    }

    /// A ring, as of a 0.
    fn ring(y: usize, x: usize) -> bool {
        let distance = (y as f64 - 100.0).hypot(x as f64 - 100.0);
        (25.0..33.0).contains(&distance)
    }

    fn removed(ink: impl Fn(usize, usize) -> bool) -> Mask {
        let mut mask = drawn(ink);
        remove(&mut mask, 0.03);
        mask
    }

    #[test]
    fn a_frame_goes_and_a_zero_stays() {
        let frame = |y: usize, x: usize| {
            let edge = |at: usize| (10..14).contains(&at) || (186..190).contains(&at);
            let inside = |at: usize| (10..190).contains(&at);
            edge(y) && inside(x) || edge(x) && inside(y)
        };
        assert_eq!(removed(|y, x| frame(y, x) || ring(y, x)), drawn(ring));
        assert_eq!(removed(ring), drawn(ring));
        // An empty frame is all there is.
        assert_eq!(removed(frame), drawn(frame));
    }

    #[test]
    fn what_hangs_over_the_edge_goes_if_something_else_is_there() {
        let table = |y: usize, _: usize| y >= 188;
        assert_eq!(removed(|y, x| table(y, x) || ring(y, x)), drawn(ring));
        let stroke = |_: usize, x: usize| (90..110).contains(&x);
        assert_eq!(removed(stroke), drawn(stroke));
    }

    #[test]
    fn specks_go() {
        let speck = |y: usize, x: usize| (5..7).contains(&y) && (50..52).contains(&x);
        assert_eq!(removed(|y, x| speck(y, x) || ring(y, x)), drawn(ring));
        // Noise leaves nothing but specks.
        let noise = |y: usize, x: usize| (y * 7919 + x * 104_729).is_multiple_of(97);
        assert_eq!(removed(noise), drawn(|_, _| false));
    }
}

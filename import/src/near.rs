//! Images that are nearly the same: other compression, another size, a crop of a pixel.
//!
//! Candidates have nearly the same difference hash (Krawetz 2013, "Kind of Like That": each bit says whether a cell is brighter
//! than its right neighbour); what correlates closely pixel by pixel as well is reported.

use std::collections::HashMap;

use crate::error::Result;
use crate::item::Part;
use crate::pipeline::Record;
use crate::spool::Spool;

/// Most bits in which the hashes of near images differ.
const BITS: u32 = 2;
/// Least correlation of their pixels.
const CORRELATION: f64 = 0.98;
/// Most pairs whose pixels are compared: alike images can be any number.
const MOST_COMPARED: usize = 200_000;
/// Most images that share half of their hash and are compared with each other: of flat images there can be any number.
const MOST_ALIKE: usize = 500;

/// Nearly equal images.
pub(crate) struct Near {
    /// By index; pairs of which one is trained on and one is not come first.
    pub(crate) pairs: Vec<[usize; 2]>,
    /// Whether these are all; else there were too many to compare or to name.
    pub(crate) is_complete: bool,
}

/// Pairs of nearly equal images that are not quite equal, at most `most`.
///
/// # Errors
/// If the pixels cannot be read.
pub(crate) fn near_pairs(records: &[Record], spool: &Spool, most: usize) -> Result<Near> {
    let (mut compared, mut is_complete) = (0, true);
    let is_trained = |index: usize| records[index].part == Part::Train;
    let (mut across, mut within) = (Vec::new(), Vec::new());
    // Hashes that differ in two bits have two of four quarters in common.
    const HALVES: [[u32; 2]; 6] = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]];
    'search: for (number, halves) in HALVES.into_iter().enumerate() {
        let mut alike: HashMap<[u16; 2], Vec<usize>> = HashMap::new();
        for (index, record) in records.iter().enumerate() {
            let half = halves.map(|quarter| (record.hash >> (16 * quarter)) as u16);
            alike.entry(half).or_default().push(index);
        }
        let mut groups: Vec<Vec<usize>> = alike.into_values().filter(|group| group.len() > 1).collect();
        groups.sort();
        for group in groups {
            for (at, &a) in group.iter().enumerate() {
                is_complete &= group.len() - at <= MOST_ALIKE + 1;
                for &b in group[at + 1..].iter().take(MOST_ALIKE) {
                    let (one, other) = (&records[a], &records[b]);
                    let differing = one.hash ^ other.hash;
                    let same = |quarter: u32| (differing >> (16 * quarter)) as u16 == 0;
                    // What has another half in common too was compared with that one.
                    let is_compared =
                        HALVES[..number].iter().any(|half| half.iter().all(|&quarter| same(quarter)));
                    if differing.count_ones() > BITS || one.digest == other.digest || is_compared {
                        continue;
                    }
                    if compared == MOST_COMPARED || across.len() == most {
                        is_complete = false;
                        break 'search;
                    }
                    compared += 1;
                    if correlation(&spool.read(one.stored)?, &spool.read(other.stored)?) >= CORRELATION {
                        let pairs = if is_trained(a) != is_trained(b) { &mut across } else { &mut within };
                        if pairs.len() < most {
                            pairs.push([a, b]);
                        } else {
                            is_complete = false;
                        }
                    }
                }
            }
        }
    }
    across.sort_unstable();
    within.sort_unstable();
    across.extend(within);
    is_complete &= across.len() <= most;
    across.truncate(most);
    Ok(Near { pairs: across, is_complete })
}

/// Pearson's correlation; 0 if one image is flat.
fn correlation(a: &[u8], b: &[u8]) -> f64 {
    let count = a.len().min(b.len()) as f64;
    let mean = |values: &[u8]| values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut product, mut squares_a, mut squares_b) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a) - mean_a, f64::from(b) - mean_b);
        product += a * b;
        squares_a += a * a;
        squares_b += b * b;
    }
    match squares_a * squares_b {
        0.0 => 0.0,
        scale => product / scale.sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::difference_hash;

    fn picture(shift: usize, noise: usize) -> Vec<u8> {
        let at = |x: usize, y: usize| ((x + shift) * 7 % 50 * 4 + y * 3 % 40 + (x * y * noise) % 3) as u8;
        (0..32 * 32).map(|i| at(i % 32, i / 32)).collect()
    }

    #[test]
    fn noise_changes_few_bits_and_another_picture_many() {
        let hash = |pixels: &[u8]| difference_hash(pixels, [32, 32]);
        let (one, noisy, other) = (picture(0, 0), picture(0, 5), picture(11, 0));
        assert!((hash(&one) ^ hash(&noisy)).count_ones() <= BITS);
        assert!((hash(&one) ^ hash(&other)).count_ones() > 10);
        assert!(correlation(&one, &noisy) > 0.99 && correlation(&one, &other) < 0.9);
        assert_eq!(correlation(&one, &[7; 1024]), 0.0);
    }
}

//! The difference hash of an image (Krawetz 2013, "Kind of Like That"): each bit says whether a cell is brighter than its right
//! neighbour. Images that are nearly the same nearly share it.

/// A bit for each of 8x8 cells.
pub(crate) fn difference_hash(pixels: &[u8], [height, width]: [usize; 2]) -> u64 {
    let plane = height * width;
    if plane == 0 {
        return 0;
    }
    let channels = pixels.len() / plane;
    let mean = |row: usize, column: usize| {
        let rows = row * height / 8..((row + 1) * height).div_ceil(8).max(row * height / 8 + 1);
        let columns = column * width / 9..((column + 1) * width).div_ceil(9).max(column * width / 9 + 1);
        let (mut sum, mut count) = (0u64, 0u64);
        for channel in 0..channels {
            for y in rows.clone() {
                for x in columns.clone() {
                    sum += u64::from(pixels[channel * plane + y * width + x]);
                    count += 1;
                }
            }
        }
        // In 1/16 of a step, so that noise does not decide.
        sum * 16 / count
    };
    let mut hash = 0;
    for row in 0..8 {
        let cells: Vec<u64> = (0..9).map(|column| mean(row, column)).collect();
        for pair in cells.windows(2) {
            hash = hash << 1 | u64::from(pair[0] > pair[1]);
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_of_neighbours() {
        let falling: Vec<u8> = (0..81).map(|i| 200 - 20 * (i % 9)).collect();
        assert_eq!(difference_hash(&falling, [9, 9]), u64::MAX);
        let rising: Vec<u8> = falling.iter().map(|value| 255 - value).collect();
        assert_eq!(difference_hash(&rising, [9, 9]), 0);
        assert_eq!((difference_hash(&[5], [1, 1]), difference_hash(&[], [0, 0])), (0, 0));
    }
}

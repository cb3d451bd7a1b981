//! Tiles in training: outputs that remember which values won a window, and slopes on their way back.

use pulp::{Simd, WithSimd};

use super::tiles::{TILE, Tiles};
use super::transforms;
use crate::pool::relu_winner;
use crate::unroll::unroll;

/// Largest values of 2x2 windows of the outputs, after ReLU, and which they were.
pub(super) struct PooledOutput<'a, const M: usize> {
    pub(super) bias: &'a [f32],
    pub(super) tiles: Tiles,
    /// Rows and columns that are convolved, even.
    pub(super) size: [usize; 2],
    pub(super) products: &'a [f32],
    pub(super) output: &'a mut [f32],
    /// As [`relu_winner`] says.
    pub(super) winners: &'a mut [f32],
}

impl<const M: usize> WithSimd for PooledOutput<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let PooledOutput { bias, tiles, size: [height, width], products, output, winners } = self;
        let count = tiles.count;
        let vectors = bias.len() / S::F32_LANES;
        let apart = tiles.apart(bias.len()) / S::F32_LANES;
        let (products, _) = S::as_simd_f32s(products);
        let (bias, _) = S::as_simd_f32s(bias);
        let (output, _) = S::as_mut_simd_f32s(output);
        let (winners, _) = S::as_mut_simd_f32s(winners);
        let (rows, columns) = (height / 2, width / 2);
        for tile in 0..count {
            let (image, y, x) = tiles.of(tile);
            let (top, left) = (y * M / 2, x * M / 2);
            let (down, right) = ((M / 2).min(rows - top), (M / 2).min(columns - left));
            for vector in 0..vectors {
                let value = |place: usize| products[place * apart + vector * count + tile];
                let mut lines = [[simd.splat_f32s(0.0); 4]; TILE];
                for (x, line) in lines.iter_mut().enumerate() {
                    *line = transforms::output::<S, TILE, M>(simd, unroll!(6, y => value(x * TILE + y)));
                }
                let sums =
                    unroll!(4, y => transforms::output::<S, TILE, M>(simd, unroll!(6, x => lines[x][y])));
                let corner = ((image * rows + top) * columns + left) * vectors + vector;
                unroll!(2, y => if y < down {
                    unroll!(2, x => if x < right {
                        let window = unroll!(4, at => sums[2 * y + at / 2][2 * x + at % 2]);
                        let at = corner + (y * columns + x) * vectors;
                        (output[at], winners[at]) = relu_winner(simd, window, bias[vector]);
                    });
                });
            }
        }
    }
}

/// `A dy A'` of the outputs' slopes, and their sums.
pub(super) struct SlopeTransform<'a> {
    /// `[N, height, width, features]`, or of the 2x2 windows.
    pub(super) slopes: &'a [f32],
    /// Which of a window's values the slope is for.
    pub(super) winners: Option<&'a [f32]>,
    pub(super) tiles: Tiles,
    /// Rows and columns that are convolved.
    pub(super) size: [usize; 2],
    /// `[features / lanes, tiles, lanes]` for each place.
    pub(super) values: &'a mut [f32],
    /// Sums of all slopes of a feature are added here.
    pub(super) bias: &'a mut [f32],
}

/// With the number of a tile's outputs and whether they were pooled known to the compiler.
pub(super) struct SlopeTransformOf<'a, const M: usize, const POOLED: bool>(SlopeTransform<'a>);

impl<'a> SlopeTransform<'a> {
    pub(super) fn of<const M: usize, const POOLED: bool>(self) -> SlopeTransformOf<'a, M, POOLED> {
        SlopeTransformOf(self)
    }
}

impl<const M: usize, const POOLED: bool> WithSimd for SlopeTransformOf<'_, M, POOLED> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let SlopeTransform { slopes, winners, tiles, size: [height, width], values, bias } = self.0;
        let count = tiles.count;
        let vectors = bias.len() / S::F32_LANES;
        let apart = tiles.apart(bias.len()) / S::F32_LANES;
        let (slopes, _) = S::as_simd_f32s(slopes);
        let (winners, _) = S::as_simd_f32s(winners.unwrap_or_default());
        let (values, _) = S::as_mut_simd_f32s(values);
        let (bias, _) = S::as_mut_simd_f32s(bias);
        let zero = simd.splat_f32s(0.0);
        let scale = if POOLED { 2 } else { 1 };
        let (rows, columns) = (height / scale, width / scale);
        for tile in 0..count {
            let (image, y, x) = tiles.of(tile);
            let (top, left) = (y * M / scale, x * M / scale);
            let (down, right) = ((M / scale).min(rows - top), (M / scale).min(columns - left));
            for vector in 0..vectors {
                let corner = ((image * rows + top) * columns + left) * vectors + vector;
                let mut outputs = [[zero; 4]; 4];
                for y in 0..down {
                    for x in 0..right {
                        let at = corner + (y * columns + x) * vectors;
                        let slope = slopes[at];
                        if POOLED {
                            let winner = winners[at];
                            for place in 0..4 {
                                let wins = simd.equal_f32s(winner, simd.splat_f32s(place as f32));
                                outputs[2 * y + place / 2][2 * x + place % 2] =
                                    simd.select_f32s(wins, slope, zero);
                            }
                        } else {
                            outputs[y][x] = slope;
                        }
                    }
                }
                let mut sum = bias[vector];
                for row in &outputs[..M] {
                    for slope in &row[..M] {
                        sum = simd.add_f32s(sum, *slope);
                    }
                }
                bias[vector] = sum;
                let lines = unroll!(4, y => transforms::slope::<S, M>(simd, outputs[y]));
                for x in 0..TILE {
                    let column = transforms::slope::<S, M>(simd, unroll!(4, y => lines[y][x]));
                    for (y, value) in column.into_iter().enumerate() {
                        values[(x * TILE + y) * apart + vector * count + tile] = value;
                    }
                }
            }
        }
    }
}

/// `B s B'` of the inputs' slopes at the points, added where each tile lies in its image.
pub(super) struct InputSlopes<'a> {
    pub(super) channels: usize,
    /// Rows and columns from a tile to the next.
    pub(super) step: usize,
    pub(super) tiles: Tiles,
    /// Rows and columns of a padded image.
    pub(super) padded: [usize; 2],
    /// `[channels / lanes, tiles, lanes]` for each place.
    pub(super) values: &'a [f32],
    /// `[N, padded height, padded width, channels]`.
    pub(super) input_slopes: &'a mut [f32],
}

impl WithSimd for InputSlopes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let InputSlopes { channels, step, tiles, padded: [height, width], values, input_slopes } = self;
        let count = tiles.count;
        let vectors = channels / S::F32_LANES;
        let row = width * vectors;
        let apart = tiles.apart(channels) / S::F32_LANES;
        let (values, _) = S::as_simd_f32s(values);
        let (input_slopes, _) = S::as_mut_simd_f32s(input_slopes);
        for tile in 0..count {
            let (image, y, x) = tiles.of(tile);
            let corner = (image * height + y * step) * row + x * step * vectors;
            for vector in 0..vectors {
                let value = |place: usize| values[place * apart + vector * count + tile];
                let mut lines = [[simd.splat_f32s(0.0); TILE]; TILE];
                for (x, line) in lines.iter_mut().enumerate() {
                    *line = transforms::input_slope(simd, unroll!(6, y => value(x * TILE + y)));
                }
                let rows = unroll!(6, y => transforms::input_slope(simd, unroll!(6, x => lines[x][y])));
                for (y, places) in rows.into_iter().enumerate() {
                    for (x, slope) in places.into_iter().enumerate() {
                        let at = corner + vector + y * row + x * vectors;
                        input_slopes[at] = simd.add_f32s(input_slopes[at], slope);
                    }
                }
            }
        }
    }
}

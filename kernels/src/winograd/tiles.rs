//! Tiles on their way from an image to the products, and back.

use pulp::{Simd, WithSimd};

use super::transforms;
use crate::frame::Images;
use crate::gemm::Clamp;
use crate::unroll::unroll;

/// Rows and columns of a tile in training, which takes the largest for every kernel.
pub(super) const TILE: usize = 6;
/// Places of such a tile.
pub(super) const PLACES: usize = TILE * TILE;

/// Tiles at a time: what they are turned into stays in the second-level cache.
const GROUP: usize = 24;

/// Values between those for one place of a tile and the next: at distances of 4 KiB, all would
/// fall into the same lines of the first-level cache.
const GAP: usize = 16;

/// How tiles lie in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tiling {
    /// Rows and columns of a tile.
    pub(super) tile: usize,
    /// Rows and columns of the outputs of a tile, from a tile to the next.
    pub(super) step: usize,
}

impl Tiling {
    pub(super) fn new(tile: usize, kernel_size: usize) -> Tiling {
        Tiling { tile, step: tile + 1 - kernel_size }
    }

    /// Rows or columns of input, padding included, that all tiles together read for so many outputs.
    pub(crate) fn reach(&self, outputs: usize) -> usize {
        outputs.next_multiple_of(self.step) + self.tile - self.step
    }

    /// Whether 2x2 windows of the outputs lie in one tile.
    pub(crate) fn pools(&self) -> bool {
        self.step.is_multiple_of(2)
    }

    /// Tiles of an image with so many rows and columns of outputs.
    pub(crate) fn count(&self, output: [usize; 2]) -> usize {
        output.iter().map(|length| length.div_ceil(self.step)).product()
    }

    /// The tiles of all images with so many channels, [`GROUP`] at a time.
    pub(super) fn groups(&self, images: Images<'_>, channels: usize) -> impl Iterator<Item = Tiles> + use<> {
        let [rows, columns] = images.output.map(|length| length.div_ceil(self.step));
        let count = images.values.len() / (images.padded[0] * images.padded[1] * channels);
        let tiles = rows * columns * count;
        let group = move |first| Tiles { first, count: GROUP.min(tiles - first), rows, columns };
        (0..tiles).step_by(GROUP).map(group)
    }
}

/// A group of tiles.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    pub(super) first: usize,
    pub(super) count: usize,
    /// Tiles above each other and side by side in an image.
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Tiles {
    /// From the values of one place of all tiles to those of the next, `each` to a tile.
    #[inline(always)]
    pub(super) fn apart(&self, each: usize) -> usize {
        self.count * each + GAP
    }

    /// Number of the image of a tile of the group, and the tile's row and column in it.
    #[inline(always)]
    pub(super) fn of(&self, tile: usize) -> (usize, usize, usize) {
        let tile = self.first + tile;
        let (row, column) = (tile / self.columns, tile % self.columns);
        (row / self.rows, row % self.rows, column)
    }
}

/// Values of the tiles at the points.
pub(super) struct InputTransform<'a, const N: usize> {
    pub(super) channels: usize,
    /// Rows and columns from a tile to the next.
    pub(super) step: usize,
    pub(super) tiles: Tiles,
    pub(super) images: Images<'a>,
    pub(super) values: &'a mut [f32],
}

impl<const N: usize> WithSimd for InputTransform<'_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let InputTransform { channels, step, .. } = self;
        let count = self.tiles.count;
        let vectors = channels / S::F32_LANES;
        let [height, width] = self.images.padded;
        let row = width * vectors;
        let apart = self.tiles.apart(channels) / S::F32_LANES;
        let (input, _) = S::as_simd_f32s(self.images.values);
        let (values, _) = S::as_mut_simd_f32s(self.values);
        for tile in 0..count {
            let (image, y, x) = self.tiles.of(tile);
            let corner = (image * height + y * step) * row + x * step * vectors;
            for vector in 0..vectors {
                let corner = corner + vector;
                let mut lines = [[simd.splat_f32s(0.0); N]; N];
                for (y, line) in lines.iter_mut().enumerate() {
                    *line = transforms::input::<S, N>(
                        simd,
                        std::array::from_fn(
                            #[inline(always)]
                            |x| input[corner + y * row + x * vectors],
                        ),
                    );
                }
                for x in 0..N {
                    let column = transforms::input::<S, N>(
                        simd,
                        std::array::from_fn(
                            #[inline(always)]
                            |y| lines[y][x],
                        ),
                    );
                    for (y, value) in column.into_iter().enumerate() {
                        values[(x * N + y) * apart + vector * count + tile] = value;
                    }
                }
            }
        }
    }
}

/// Outputs of the tiles from the sums of products.
pub(super) struct OutputTransform<'a> {
    /// One for each feature.
    pub(super) bias: &'a [f32],
    pub(super) tiles: Tiles,
    /// Rows and columns that are convolved.
    pub(super) size: [usize; 2],
    pub(super) products: &'a [f32],
    pub(super) clamp: Clamp,
    pub(super) output: &'a mut [f32],
}

/// With the tile, the number of outputs and what is stored known to the compiler.
pub(super) struct OutputTransformOf<'a, const N: usize, const M: usize, const POOLED: bool>(
    OutputTransform<'a>,
);

impl<'a> OutputTransform<'a> {
    pub(super) fn of<const N: usize, const M: usize, const POOLED: bool>(
        self,
    ) -> OutputTransformOf<'a, N, M, POOLED> {
        OutputTransformOf(self)
    }
}

impl<const N: usize, const M: usize, const POOLED: bool> WithSimd for OutputTransformOf<'_, N, M, POOLED> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let OutputTransform { bias, tiles, size: [height, width], products, clamp, output } = self.0;
        let count = tiles.count;
        let vectors = bias.len() / S::F32_LANES;
        let apart = tiles.apart(bias.len()) / S::F32_LANES;
        let (products, _) = S::as_simd_f32s(products);
        let (bias, _) = S::as_simd_f32s(bias);
        let (output, _) = S::as_mut_simd_f32s(output);
        let scale = if POOLED { 2 } else { 1 };
        let (rows, columns) = (height / scale, width / scale);
        for tile in 0..count {
            let (image, y, x) = tiles.of(tile);
            let (top, left) = (y * M / scale, x * M / scale);
            // What fits into the image, if that is not all.
            let (down, right) = ((M / scale).min(rows - top), (M / scale).min(columns - left));
            for vector in 0..vectors {
                let value = |place: usize| products[place * apart + vector * count + tile];
                let mut lines = [[simd.splat_f32s(0.0); 4]; N];
                for (x, line) in lines.iter_mut().enumerate() {
                    *line = transforms::output::<S, N, M>(
                        simd,
                        std::array::from_fn(
                            #[inline(always)]
                            |y| value(x * N + y),
                        ),
                    );
                }
                let sums = unroll!(4, y => if y < M {
                    transforms::output::<S, N, M>(simd, std::array::from_fn(#[inline(always)] |x| lines[x][y]))
                } else {
                    [bias[vector]; 4]
                });
                let corner = ((image * rows + top) * columns + left) * vectors + vector;
                unroll!(4, y => if y < down {
                    unroll!(4, x => if x < right {
                        let sum = if POOLED {
                            let [a, b, c, d] = [(0, 0), (0, 1), (1, 0), (1, 1)].map(#[inline(always)] |(i, j)| sums[(2 * y + i) % 4][(2 * x + j) % 4]);
                            simd.max_f32s(simd.max_f32s(a, b), simd.max_f32s(c, d))
                        } else {
                            sums[y][x]
                        };
                        let sum = simd.add_f32s(sum, bias[vector]);
                        output[corner + (y * columns + x) * vectors] = clamp.apply(simd, sum);
                    });
                });
            }
        }
    }
}

//! Convolution as a matrix product through an indirection buffer ([`gemm`](crate::gemm)): of any window,
//! with any groups.
//!
//! The runs of the buffer are rows of the kernel where the channels of neighbouring taps are side by side,
//! else single taps: with groups or dilation.

use crate::gemm::{Clamp, IndirectionBuffer, OutputRows, PackedWeights};
use crate::window::Window;

/// Windows of several images that go through one product: with more, the images would not stay in the first-level cache.
const ROWS: usize = 128;

/// A convolution for images of one shape.
#[derive(Debug)]
pub(crate) struct Indirect {
    /// First value of each window.
    origins: Vec<usize>,
    run_length: usize,
    groups: Vec<Group>,
    /// Of all groups.
    features: usize,
}

/// Features that see the same channels.
#[derive(Debug)]
struct Group {
    weights: PackedWeights,
    /// Where each run of a window begins.
    runs: Vec<usize>,
    /// First of its features.
    first: usize,
}

impl Indirect {
    /// Packs the weights of every group in the order in which the pixels of `padded` (`[H, W, C]`) lie.
    pub(crate) fn new(
        window: &Window,
        padded: [usize; 3],
        groups: usize,
        weight: &impl Fn(usize) -> f32,
        bias: &[f32],
    ) -> Indirect {
        let [rows, columns] = window.kernel;
        let channels = padded[2];
        let (depth, features) = (channels / groups, bias.len() / groups);
        // Taps side by side are one run; with groups or dilation, other values lie between them.
        let joined = if groups == 1 && window.dilations[1] == 1 { columns } else { 1 };
        let taps = window.taps(padded);
        let group = |group: usize| {
            let first = group * features;
            let at = |feature: usize, place: usize| {
                let (pixel, channel) = (place / depth, place % depth);
                weight(((first + feature) * depth + channel) * rows * columns + pixel)
            };
            let bias = bias[first..][..features].to_vec();
            let runs = taps.iter().step_by(joined).map(|tap| tap + group * depth).collect();
            Group { weights: PackedWeights::new(features, rows * columns * depth, at, bias), runs, first }
        };
        Indirect {
            origins: window.origins(padded),
            run_length: joined * depth,
            groups: (0..groups).map(group).collect(),
            features: bias.len(),
        }
    }

    /// Bytes of what [`Indirect::new`] keeps, about; `depth` is that of all groups together.
    pub(crate) fn bytes(groups: usize, features: usize, depth: usize, windows: usize) -> usize {
        let weights = groups.saturating_mul(PackedWeights::bytes(features / groups, depth / groups));
        weights.saturating_add(windows.saturating_mul(size_of::<usize>()))
    }

    /// Outputs `[N, windows, features]` for padded images, one after another, each of `size` values. The windows of several
    /// small images are rows of one product, so that fewer rows are left over for small microkernels; `origins` is kept for
    /// where they begin.
    pub(crate) fn forward(
        &self,
        images: &[f32],
        size: usize,
        clamp: Clamp,
        origins: &mut Vec<usize>,
        output: &mut [f32],
    ) {
        let Indirect { run_length, groups, features, .. } = self;
        let windows = self.origins.len();
        let together = (ROWS / windows).max(1);
        let images = images.chunks(together * size);
        for (images, output) in images.zip(output.chunks_mut(together * windows * features)) {
            origins.clear();
            let firsts = (0..images.len()).step_by(size);
            origins.extend(firsts.flat_map(|first| self.origins.iter().map(move |origin| first + origin)));
            for Group { weights, runs, first } in groups {
                let windows = IndirectionBuffer { origins, runs, run_length: *run_length };
                let rows = OutputRows { row_stride: *features, offset: *first };
                weights.forward_into(images, windows, clamp, rows, output);
            }
        }
    }
}

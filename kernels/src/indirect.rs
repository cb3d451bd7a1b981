//! Convolution as a matrix product through an indirection buffer ([`gemm`](crate::gemm)): of any window,
//! with any groups.
//!
//! The runs of the buffer are rows of the kernel where the channels of neighbouring taps are side by side,
//! else single taps: with groups or dilation.

use crate::gemm::{Clamp, IndirectionBuffer, OutputRows, PackedWeights};
use crate::window::Window;

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

    /// Outputs `[windows, features]` for one padded image.
    pub(crate) fn forward(&self, image: &[f32], clamp: Clamp, output: &mut [f32]) {
        let Indirect { origins, run_length, groups, features } = self;
        for Group { weights, runs, first } in groups {
            let windows = IndirectionBuffer { origins, runs, run_length: *run_length };
            let rows = OutputRows { row_stride: *features, offset: *first };
            weights.forward_into(image, windows, clamp, rows, output);
        }
    }
}

//! Matrix products on the widest vector unit that the processor has: convolutions and dense layers.
//!
//! The windows of a convolution are not copied. In an image `[H, W, C]` each row of a window is
//! `kernel_width * C` values side by side, so a window is a few such runs and its product with
//! the weights reads them where they are; a dense layer is the case of one run. Every output is
//! one chain of multiply-adds in the order of the runs, so it does not depend on what else is
//! computed at the same time.

use pulp::{Arch, Simd, WithSimd};

/// Weights `[features, depth]`, arranged in panels: as many features as a vector has lanes,
/// side by side, for each place of the depth.
#[derive(Debug)]
pub(super) struct Weights {
    panels: Vec<f32>,
    /// One value per lane of every panel.
    bias: Vec<f32>,
    depth: usize,
    features: usize,
    arch: Arch,
}

/// Where the inputs of each output row lie.
pub(super) struct Windows<'a> {
    /// First value of each window.
    pub(super) origins: &'a [usize],
    /// Number of runs of a window.
    pub(super) runs: usize,
    /// Values of a run.
    pub(super) run: usize,
    /// From one run to the next.
    pub(super) stride: usize,
}

impl Weights {
    /// Arranges `weight(feature, place)` for this processor; without a bias it is zero.
    pub(super) fn new(
        features: usize,
        depth: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: Option<&[f32]>,
    ) -> Weights {
        let arch = Arch::new();
        let lanes = arch.dispatch(Lanes);
        let padded = features.div_ceil(lanes) * lanes;
        let mut panels = Vec::with_capacity(padded * depth);
        for first in (0..features).step_by(lanes) {
            for place in 0..depth {
                let lane = |f| if f < features { weight(f, place) } else { 0.0 };
                panels.extend((first..first + lanes).map(lane));
            }
        }
        let mut bias = bias.unwrap_or_default().to_vec();
        bias.resize(padded, 0.0);
        Weights { panels, bias, depth, features, arch }
    }

    /// Outputs of a row.
    pub(super) fn features(&self) -> usize {
        self.features
    }

    /// `output[row] = window[row] * weights^T + bias`, at least 0 with `relu`, for outputs
    /// `[rows, features]`.
    pub(super) fn apply(&self, input: &[f32], windows: &Windows<'_>, relu: bool, output: &mut [f32]) {
        let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
        self.arch.dispatch(Product { input, windows, weights: self, floor, output });
    }
}

/// Asks for the number of `f32` in a vector.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

struct Product<'a> {
    input: &'a [f32],
    windows: &'a Windows<'a>,
    weights: &'a Weights,
    /// Smallest output.
    floor: f32,
    output: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let count = self.weights.bias.len() / S::F32_LANES;
        let mut panel = 0;
        // As many sums at a time as there are registers: a row alone takes many panels.
        if self.windows.origins.len() == 1 {
            while panel + 8 <= count {
                self.tile::<S, 1, 8>(simd, 0, panel);
                panel += 8;
            }
        }
        while panel + 2 <= count {
            self.rows::<S, 2>(simd, panel);
            panel += 2;
        }
        if panel < count {
            self.rows::<S, 1>(simd, panel);
        }
    }
}

impl Product<'_> {
    /// All rows for `V` panels.
    #[inline(always)]
    fn rows<S: Simd, const V: usize>(&mut self, simd: S, panel: usize) {
        let rows = self.windows.origins.len();
        let mut row = 0;
        // AVX-512 has 32 registers, AVX2 has 16.
        while S::F32_LANES == 16 && row + 12 <= rows {
            self.tile::<S, 12, V>(simd, row, panel);
            row += 12;
        }
        while row + 6 <= rows {
            self.tile::<S, 6, V>(simd, row, panel);
            row += 6;
        }
        while row + 4 <= rows {
            self.tile::<S, 4, V>(simd, row, panel);
            row += 4;
        }
        while row < rows {
            self.tile::<S, 1, V>(simd, row, panel);
            row += 1;
        }
    }

    /// `R` rows for `V` panels.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, row: usize, panel: usize) {
        let sums = self.sums::<S, R, V>(simd, row, panel);
        let floor = simd.splat_f32s(self.floor);
        let features = self.weights.features;
        let outputs = self.output[row * features..].chunks_exact_mut(features);
        for (output, sums) in outputs.zip(&sums) {
            let (whole, rest) = S::as_mut_simd_f32s(&mut output[panel * S::F32_LANES..]);
            for (output, sum) in whole.iter_mut().zip(sums) {
                *output = simd.max_f32s(floor, *sum);
            }
            if let Some(sum) = sums.get(whole.len()) {
                simd.partial_store_f32s(rest, simd.max_f32s(floor, *sum));
            }
        }
    }

    /// `R` rows for `V` panels, summed in registers.
    // Returned rather than written here, so that the compiler sees the sums apart from any memory.
    #[inline(always)]
    fn sums<S: Simd, const R: usize, const V: usize>(&self, simd: S, row: usize, panel: usize) -> [[S::f32s; V]; R] {
        let Weights { panels, bias, depth, .. } = self.weights;
        let Windows { origins, runs, run, stride } = *self.windows;
        // Loops, not `array::from_fn`: its closures are not inlined into code for another processor.
        let (all, _) = S::as_simd_f32s(panels);
        let mut panels = [all; V];
        for v in 0..V {
            panels[v] = &all[(panel + v) * depth..][..*depth];
        }
        let (all, _) = S::as_simd_f32s(bias);
        let mut bias = [simd.splat_f32s(0.0); V];
        bias.copy_from_slice(&all[panel..][..V]);
        let mut sums = [bias; R];
        for at in 0..runs {
            let mut inputs = [self.input; R];
            for r in 0..R {
                inputs[r] = &self.input[origins[row + r] + at * stride..][..run];
            }
            let mut weights = panels;
            for v in 0..V {
                weights[v] = &panels[v][at * run..][..run];
            }
            for place in 0..run {
                let mut weight = [simd.splat_f32s(0.0); V];
                for v in 0..V {
                    weight[v] = weights[v][place];
                }
                for r in 0..R {
                    let value = simd.splat_f32s(inputs[r][place]);
                    for v in 0..V {
                        sums[r][v] = simd.mul_add_e_f32s(value, weight[v], sums[r][v]);
                    }
                }
            }
        }
        sums
    }
}

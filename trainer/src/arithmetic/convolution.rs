//! Convolutions of stride 1 by our own kernels, with ReLU and max-pooling of 2x2 windows where they follow.
//!
//! A batch is cut into parts whatever the number of threads, and their sums for the gradient of weights are
//! added in the order of the parts, so the bits do not depend on threads.

use std::cell::RefCell;

use kernels::{AlignedBuffer, Factors, Slopes, TrainedConv, TrainingScratch};
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::host;

/// Most parts of a batch: threads beyond that have nothing to do. More would mean more sums to add.
const PARTS: usize = 8;
/// Sums that a thread adds at a time.
const CHUNK: usize = 1 << 13;

thread_local! {
    static SCRATCH: RefCell<TrainingScratch> = RefCell::default();
}

/// What the gradient of a pass needs.
pub(crate) struct Convolved {
    layer: TrainedConv,
    factors: Factors,
    /// `[N, H, W, C]`.
    images: Tensor,
    /// Which values of their windows went on; empty without pooling.
    winners: Tensor,
}

/// `[N, features, H', W']`, channels-last, for `x` `[N, C, H, W]`, `weight` `[features, C, k, k]` and `bias`
/// `[features]`; libtorch knows no gradient of it.
pub(crate) fn forward(
    layer: TrainedConv,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> (Tensor, Convolved) {
    let images = x.detach().permute([0, 2, 3, 1]).contiguous();
    let [height, width, features] = layer.output();
    let weight = weight.detach().permute([0, 2, 3, 1]).contiguous();
    let zeros = vec![0.0; features];
    let bias = bias.map_or(&zeros[..], host::values);
    let factors = layer.factors(host::values(&weight), bias, x.requires_grad());
    let count = images.size()[0] as usize;
    let shape = [count, height, width, features].map(|length| length as i64);
    let mut output = Tensor::empty(shape, (Kind::Float, Device::Cpu));
    let recorded = if layer.is_pooled() { output.numel() as i64 } else { 0 };
    let mut winners = Tensor::empty([recorded], (Kind::Float, Device::Cpu));
    let [input_part, output_part] = part_lengths(&images, &output);
    let parts = host::values(&images).par_chunks(input_part);
    let outputs = host::values_mut(&mut output).par_chunks_mut(output_part);
    let run = |images: &[f32], output: &mut [f32], winners: Option<&mut [f32]>| {
        SCRATCH.with_borrow_mut(|scratch| layer.forward(&factors, images, scratch, output, winners));
    };
    if layer.is_pooled() {
        let winners = host::values_mut(&mut winners).par_chunks_mut(output_part);
        parts
            .zip(outputs)
            .zip(winners)
            .for_each(|((images, output), winners)| run(images, output, Some(winners)));
    } else {
        parts.zip(outputs).for_each(|(images, output)| run(images, output, None));
    }
    (output.permute([0, 3, 1, 2]), Convolved { layer, factors: factors.for_gradient(), images, winners })
}

impl Convolved {
    /// Gradients of weights (in the order of the parameters' memory) and biases, written into the two
    /// slices, and of the input if it is needed, from that of the output, `[N, features, H', W']`.
    pub(crate) fn backward(
        &self,
        dy: &Tensor,
        weight: &mut [f32],
        bias: Option<&mut [f32]>,
        needs_input: bool,
    ) -> Option<Tensor> {
        let Convolved { layer, factors, images, winners } = self;
        let dy = dy.permute([0, 2, 3, 1]).contiguous();
        let [input_part, output_part] = part_lengths(images, &dy);
        let slopes =
            Slopes { values: host::values(&dy), winners: layer.is_pooled().then(|| host::values(winners)) };
        let mut dx = needs_input.then(|| images.empty_like());
        let image_slopes: Vec<Option<&mut [f32]>> = match &mut dx {
            Some(dx) => host::values_mut(dx).chunks_mut(input_part).map(Some).collect(),
            None => (0..images.numel().div_ceil(input_part)).map(|_| None).collect(),
        };
        let parts = host::values(images).par_chunks(input_part).zip(image_slopes).enumerate();
        let sums: Vec<AlignedBuffer> = parts
            .map(|(part, (images, image_slopes))| {
                let mut sums = AlignedBuffer::zeroed(layer.sums());
                let first = part * output_part;
                let slopes = slopes.part(first, output_part.min(slopes.values.len() - first));
                SCRATCH.with_borrow_mut(|scratch| {
                    layer.backward(factors, images, slopes, scratch, image_slopes, &mut sums);
                });
                sums
            })
            .collect();
        layer.finish(&added(sums), weight, bias);
        dx.map(|dx| dx.permute([0, 3, 1, 2]))
    }
}

/// Values of images and of outputs in a part of the batch.
fn part_lengths(images: &Tensor, outputs: &Tensor) -> [usize; 2] {
    let count = images.size()[0] as usize;
    let part = count.div_ceil(PARTS);
    [images, outputs].map(|tensor| tensor.numel() / count * part)
}

/// The sums of all parts, one after the other.
fn added(parts: Vec<AlignedBuffer>) -> AlignedBuffer {
    let mut parts = parts.into_iter();
    let mut total = parts.next().expect("a batch has images");
    let rest: Vec<AlignedBuffer> = parts.collect();
    total.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, total)| {
        for part in &rest {
            let part = &part[chunk * CHUNK..][..total.len()];
            total.iter_mut().zip(part).for_each(|(total, value)| *total += value);
        }
    });
    total
}

#[cfg(test)]
mod tests {
    use kernels::Window;

    use super::*;

    fn tensor(shape: &[i64], seed: i64) -> Tensor {
        let number = |i: i64| ((i * 37 + seed * 11) * 7919 % 1009) as f32 / 500.0 - 1.0;
        let values: Vec<f32> = (0..shape.iter().product()).map(number).collect();
        Tensor::from_slice(&values).view(shape)
    }

    /// Output, gradients of weight and bias, and of the input where there is one.
    fn ours(
        layer: &TrainedConv,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        slope: &Tensor,
    ) -> Vec<Vec<f32>> {
        let (y, convolved) = forward(layer.clone(), x, weight, Some(bias));
        let (mut dw, mut db) = (vec![0.0; weight.numel()], vec![0.0; bias.numel()]);
        let dx = convolved.backward(slope, &mut dw, Some(&mut db), x.requires_grad());
        let row_major = |tensor: Tensor| host::values(&tensor.contiguous()).to_vec();
        [vec![row_major(y), dw, db], dx.into_iter().map(row_major).collect()].concat()
    }

    fn theirs(is_pooled: bool, x: &Tensor, weight: &Tensor, bias: &Tensor, slope: &Tensor) -> Vec<Vec<f32>> {
        let [weight, bias] = [weight, bias].map(|tensor| tensor.copy().set_requires_grad(true));
        let mut y = x.conv2d(&weight, Some(&bias), [1, 1], [1, 1], [1, 1], 1);
        if is_pooled {
            y = y.relu().max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
        }
        let inputs: Vec<&Tensor> =
            [&weight, &bias].into_iter().chain(x.requires_grad().then_some(x)).collect();
        let gradients = Tensor::run_backward(&[&y * slope], &inputs, false, false);
        let mut found: Vec<Tensor> = std::iter::once(y.detach()).chain(gradients).collect();
        found[1] = found[1].permute([0, 2, 3, 1]);
        found.iter().map(|tensor| host::values(&tensor.contiguous()).to_vec()).collect()
    }

    /// For batches of any size, whatever the number of threads and the order of the input's memory.
    #[test]
    fn is_the_layer_of_libtorch() {
        for (count, channels, is_pooled) in
            [(1, 16, true), (3, 16, false), (9, 32, true), (20, 1, true), (5, 1, false)]
        {
            let window = Window { padding: [[1, 1], [1, 1]], ..Window::new([3, 3]) };
            let layer = TrainedConv::new(window, [9, 11, channels as usize], 32, is_pooled).unwrap();
            let [height, width, features] = layer.output().map(|length| length as i64);
            let [weight, bias] = [tensor(&[32, channels, 3, 3], 1), tensor(&[32], 2)];
            let slope = tensor(&[count, features, height, width], 3);
            let x = tensor(&[count, channels, 9, 11], 4).set_requires_grad(layer.has_input_slopes());
            let pool = |threads: usize| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let channels_last = x.detach().permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
            let channels_last = channels_last.set_requires_grad(x.requires_grad());
            let here = ours(&layer, &x, &weight, &bias, &slope);
            let expected = theirs(is_pooled, &x, &weight, &bias, &slope);
            assert_eq!(here.len(), expected.len());
            for (found, expected) in here.iter().zip(&expected) {
                let largest = expected.iter().fold(1f32, |largest, value| largest.max(value.abs()));
                let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
                assert!(
                    found.len() == expected.len() && worst < 3e-5 * largest,
                    "{count}, {channels}: {worst}"
                );
            }
            let shared = std::sync::Mutex::new((x, channels_last, weight, bias, slope));
            for threads in [1, 4] {
                let found = pool(threads).install(|| {
                    let (_, x, weight, bias, slope) = &*shared.lock().unwrap();
                    ours(&layer, x, weight, bias, slope)
                });
                assert_eq!(found, here, "{threads} threads");
            }
        }
    }
}

//! The layers of the published networks, one image to a call and eight: `cargo bench --bench kernels`.

use divan::{Bencher, counter::ItemsCount};
use kernels::{
    Clamp, Conv2d, Factors, IndirectionBuffer, MaxPool, PackedWeights, Scratch, Slopes, TrainedConv,
    TrainingScratch, Window,
};

fn main() {
    divan::main();
}

fn number(i: usize) -> f32 {
    ((i * 37 % 1009) as f32 - 500.0) / 500.0
}

/// `kernel`, `[H, W, C]`, features.
const CONVOLUTIONS: [(usize, [usize; 3], usize); 6] = [
    (5, [28, 28, 1], 32),
    (5, [12, 12, 32], 64),
    (5, [14, 14, 32], 64),
    (3, [28, 28, 1], 16),
    (3, [13, 13, 16], 32),
    (3, [7, 7, 32], 64),
];

#[divan::bench(args = CONVOLUTIONS, consts = [1, 8])]
fn convolution<const IMAGES: usize>(
    bencher: Bencher<'_, '_>,
    (kernel, input, features): (usize, [usize; 3], usize),
) {
    let bias: Vec<f32> = (0..features).map(number).collect();
    let conv = Conv2d::new(Window::new([kernel; 2]), input, 1, |i| number(i) / 10.0, bias);
    let images: Vec<f32> = (0..IMAGES * input.iter().product::<usize>()).map(number).collect();
    let mut output = vec![0.0; IMAGES * conv.output().iter().product::<usize>()];
    let mut scratch = Scratch::default();
    bencher
        .counter(ItemsCount::new(IMAGES))
        .bench_local(|| conv.forward(&images, Clamp::RELU, &mut scratch, &mut output));
}

#[divan::bench(consts = [1, 64])]
fn dense_1024_to_1024<const IMAGES: usize>(bencher: Bencher<'_, '_>) {
    let weights = PackedWeights::new(1024, 1024, |feature, place| number(feature + place), vec![0.0; 1024]);
    let input: Vec<f32> = (0..IMAGES * 1024).map(number).collect();
    let origins: Vec<usize> = (0..IMAGES).map(|row| row * 1024).collect();
    let mut output = vec![0.0; IMAGES * 1024];
    let windows = IndirectionBuffer { origins: &origins, runs: &[0], run_length: 1024 };
    bencher
        .counter(ItemsCount::new(IMAGES))
        .bench_local(|| weights.forward(&input, windows, Clamp::RELU, &mut output));
}

#[divan::bench]
fn max_pool_24x24x32(bencher: Bencher<'_, '_>) {
    let pool = MaxPool { window: Window { strides: [2, 2], ..Window::new([2, 2]) } };
    let image: Vec<f32> = (0..24 * 24 * 32).map(number).collect();
    let mut output = vec![0.0; 12 * 12 * 32];
    bencher.bench_local(|| pool.forward(&image, [24, 24, 32], &mut output));
}

/// Pass, and gradient with that of the inputs or without, of eight images with ReLU and pooling.
#[divan::bench(args = [(5, [28, 28, 1], 32), (5, [12, 12, 32], 64), (3, [14, 14, 64], 64)])]
fn training_pass(bencher: Bencher<'_, '_>, shape: (usize, [usize; 3], usize)) {
    let mut training = Training::new(shape);
    bencher.counter(ItemsCount::new(8usize)).bench_local(|| training.pass());
}

#[divan::bench(args = [(5, [28, 28, 1], 32), (5, [12, 12, 32], 64), (3, [14, 14, 64], 64)])]
fn training_gradient(bencher: Bencher<'_, '_>, shape: (usize, [usize; 3], usize)) {
    let mut training = Training::new(shape);
    training.pass();
    bencher.counter(ItemsCount::new(8usize)).bench_local(|| training.gradient(false));
}

#[divan::bench(args = [(5, [12, 12, 32], 64), (3, [14, 14, 64], 64)])]
fn training_gradient_of_inputs_too(bencher: Bencher<'_, '_>, shape: (usize, [usize; 3], usize)) {
    let mut training = Training::new(shape);
    training.pass();
    bencher.counter(ItemsCount::new(8usize)).bench_local(|| training.gradient(true));
}

struct Training {
    layer: TrainedConv,
    factors: Factors,
    scratch: TrainingScratch,
    images: Vec<f32>,
    output: Vec<f32>,
    winners: Vec<f32>,
    image_slopes: Vec<f32>,
    sums: Vec<f32>,
}

impl Training {
    fn new((kernel, input, features): (usize, [usize; 3], usize)) -> Training {
        let layer =
            TrainedConv::new(Window::new([kernel; 2]), input, features, true).expect("it has a kernel");
        let size = 8 * input.iter().product::<usize>();
        let weight: Vec<f32> = (0..features * kernel * kernel * input[2]).map(|i| number(i) / 10.0).collect();
        let outputs = 8 * layer.output().iter().product::<usize>();
        Training {
            factors: layer.factors(&weight, &vec![0.1; features], true),
            scratch: TrainingScratch::default(),
            images: (0..size).map(number).collect(),
            output: vec![0.0; outputs],
            winners: vec![0.0; outputs],
            image_slopes: vec![0.0; size],
            sums: vec![0.0; layer.sums()],
            layer,
        }
    }

    fn pass(&mut self) {
        let Training { layer, factors, scratch, images, output, winners, .. } = self;
        layer.forward(factors, images, scratch, output, Some(winners));
    }

    fn gradient(&mut self, with_inputs: bool) {
        let Training { layer, factors, scratch, images, output, winners, image_slopes, sums } = self;
        let slopes = Slopes { values: output, winners: Some(winners) };
        let image_slopes = with_inputs.then_some(&mut image_slopes[..]);
        layer.backward(factors, images, slopes, scratch, image_slopes, sums);
    }
}

//! Median time of a training step of the network of `mnist-cnn` with burn, on its backend in pure Rust.

use std::time::Instant;

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, Optimizer};
use burn::prelude::*;
use burn::tensor::Distribution;
use burn::tensor::activation::relu;

const BATCH: usize = 128;

#[derive(Module, Debug)]
struct Network {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    dense1: Linear,
    dense2: Linear,
}

impl Network {
    fn new(device: &Device) -> Network {
        Network {
            conv1: Conv2dConfig::new([1, 32], [5, 5]).init(device),
            conv2: Conv2dConfig::new([32, 64], [5, 5]).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            dense1: LinearConfig::new(1024, 1024).init(device),
            dense2: LinearConfig::new(1024, 10).init(device),
        }
    }

    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(relu(self.conv1.forward(images)));
        let x = self.pool.forward(relu(self.conv2.forward(x))).flatten(1, 3);
        self.dense2.forward(relu(self.dense1.forward(x)))
    }
}

fn main() {
    let device = Device::flex().autodiff();
    let mut network = Network::new(&device);
    let mut optimizer = AdamConfig::new().init();
    let images = Tensor::random([BATCH, 1, 28, 28], Distribution::Normal(0.0, 1.0), &device);
    let labels: Tensor<1, Int> = Tensor::arange(0..BATCH as i64, &device).remainder_scalar(10);
    let loss = CrossEntropyLossConfig::new().init(&device);
    let mut times = Vec::new();
    for _ in 0..7 {
        let started = Instant::now();
        let value = loss.forward(network.logits(images.clone()), labels.clone());
        let gradients = GradientsParams::from_grads(value.backward(), &network);
        network = optimizer.step(1e-3, network, gradients);
        times.push(started.elapsed());
    }
    times.sort();
    println!("burn 0.22.1: {} ms", times[times.len() / 2].as_millis());
}

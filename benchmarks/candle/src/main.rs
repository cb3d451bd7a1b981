//! Median time of a training step of the network of `mnist-cnn` with candle, on the processor.

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{AdamW, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, conv2d, linear, loss};

const BATCH: usize = 128;

fn main() -> Result<()> {
    let device = Device::Cpu;
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &device);
    let conv1 = conv2d(1, 32, 5, Default::default(), vb.pp("conv1"))?;
    let conv2 = conv2d(32, 64, 5, Default::default(), vb.pp("conv2"))?;
    let dense1 = linear(1024, 1024, vb.pp("dense1"))?;
    let dense2 = linear(1024, 10, vb.pp("dense2"))?;
    let parameters = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..Default::default() };
    let mut optimizer = AdamW::new(variables.all_vars(), parameters)?;
    let images = Tensor::randn(0f32, 1.0, (BATCH, 1, 28, 28), &device)?;
    let labels = Tensor::from_iter((0..BATCH as u32).map(|i| i % 10), &device)?;
    let mut times = Vec::new();
    for _ in 0..12 {
        let started = Instant::now();
        let x = conv1.forward(&images)?.relu()?.max_pool2d(2)?;
        let x = conv2.forward(&x)?.relu()?.max_pool2d(2)?.flatten_from(1)?;
        let logits = dense2.forward(&dense1.forward(&x)?.relu()?)?;
        optimizer.backward_step(&loss::cross_entropy(&logits, &labels)?)?;
        times.push(started.elapsed());
    }
    times.sort();
    println!("candle 0.11.1: {} ms", times[times.len() / 2].as_millis());
    Ok(())
}

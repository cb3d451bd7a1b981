//! The forward pass on libtorch.

use tch::Tensor;

use super::layer::{Conv2d, Layer, Pool};
use super::{BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, Network, Node, Shape};
use crate::parameters::Parameters;

/// Whether dropout is active and batch normalisation uses the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout active, batch statistics used and remembered.
    Train,
    /// Deterministic function of the input.
    Evaluate,
}

impl Network {
    /// Logits `[N, classes]` for normalised images `[N, C, H, W]`.
    pub fn logits(&self, images: &Tensor, parameters: &Parameters, mode: Mode) -> Tensor {
        run(&self.nodes, images, parameters, mode)
    }

    /// What each layer gives in evaluation, for normalised images `[N, C, H, W]`.
    pub fn activations(&self, images: &Tensor, parameters: &Parameters) -> Vec<Tensor> {
        let mut value = images.shallow_clone();
        let step = |node: &Node| {
            value = apply(node, &value, parameters, Mode::Evaluate);
            value.shallow_clone()
        };
        self.nodes.iter().map(step).collect()
    }
}

fn run(nodes: &[Node], input: &Tensor, parameters: &Parameters, mode: Mode) -> Tensor {
    let mut value = input.shallow_clone();
    let mut rest = nodes;
    while let Some((node, after)) = rest.split_first() {
        rest = after;
        match (&node.layer, after.split_first()) {
            // Pooled first, there is a quarter of the values to compare with zero. Values and gradients
            // stay the same to the bit: the maximum is where it was, or nothing passes either way.
            (Layer::Relu, Some((pool, after))) if matches!(pool.layer, Layer::MaxPool(_)) => {
                value = apply(pool, &value, parameters, mode).relu();
                rest = after;
            }
            _ => value = apply(node, &value, parameters, mode),
        }
    }
    value
}

fn apply(node: &Node, x: &Tensor, parameters: &Parameters, mode: Mode) -> Tensor {
    let tensor = |index: usize| parameters.tensor(node.first_parameter + index);
    match &node.layer {
        Layer::Conv2d(conv) => convolve(node, conv, x, tensor(0), conv.bias.then(|| tensor(1))),
        Layer::Dense(dense) => x.linear(tensor(0), dense.bias.then(|| tensor(1))),
        Layer::Relu => x.relu(),
        Layer::LeakyRelu => x.leaky_relu(),
        Layer::Elu => x.elu(),
        Layer::Gelu => x.gelu("none"),
        Layer::Silu => x.silu(),
        Layer::Tanh => x.tanh(),
        Layer::Sigmoid => x.sigmoid(),
        Layer::MaxPool(pool) => {
            let (kernel, stride, padding) = window(pool);
            x.max_pool2d(kernel, stride, padding, [1, 1], false)
        }
        Layer::AvgPool(pool) => {
            let (kernel, stride, padding) = window(pool);
            x.avg_pool2d(kernel, stride, padding, false, false, None)
        }
        Layer::GlobalAvgPool => x.mean_dim([2, 3].as_slice(), false, None),
        Layer::BatchNorm => x.batch_norm(
            Some(tensor(0)),
            Some(tensor(1)),
            Some(tensor(2)),
            Some(tensor(3)),
            mode == Mode::Train,
            BATCH_NORM_MOMENTUM,
            BATCH_NORM_EPSILON,
            false,
        ),
        Layer::Dropout(dropout) => x.dropout(dropout.rate, mode == Mode::Train),
        Layer::Flatten => x.flatten(1, -1),
        Layer::Residual(_) => {
            let body = run(&node.body, x, parameters, mode);
            match &node.skip {
                Some(skip) => body + apply(skip, x, parameters, mode),
                None => body + x,
            }
        }
        // The loss takes logits; whoever wants probabilities applies softmax to them.
        Layer::Softmax => x.shallow_clone(),
    }
}

fn convolve(node: &Node, conv: &Conv2d, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let stride = [conv.stride as i64; 2];
    let Shape::Image { height, width, .. } = node.input else { return x.shallow_clone() };
    let [top, bottom] = conv.padding.amounts(height, conv.kernel_size, conv.stride);
    let [left, right] = conv.padding.amounts(width, conv.kernel_size, conv.stride);
    if (top, left) == (bottom, right) {
        return x.conv2d(weight, bias, stride, [top as i64, left as i64], [1, 1], 1);
    }
    let padded = x.constant_pad_nd([left, right, top, bottom].map(|p| p as i64));
    padded.conv2d(weight, bias, stride, [0, 0], [1, 1], 1)
}

fn window(pool: &Pool) -> ([i64; 2], [i64; 2], [i64; 2]) {
    ([pool.kernel_size as i64; 2], [pool.stride as i64; 2], [pool.padding as i64; 2])
}

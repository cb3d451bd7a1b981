//! One typed layer list, the single source for everything about a network:
//! shapes, parameter names and counts, the forward pass, the ONNX graph, the table.

mod build;
mod forward;
mod layer;
mod summary;

pub use build::{Init, Network, Node, ParameterSpec, Shape, SlotKind};
pub use forward::Mode;
pub use layer::{Conv2d, Dense, Dropout, Layer, Padding, Pool, Residual, same_padding, stem};
pub use summary::table;

/// `epsilon` of batch normalisation, as in PyTorch.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;
/// Weight of the new batch in the running statistics, as in PyTorch.
pub const BATCH_NORM_MOMENTUM: f64 = 0.1;
/// Slope of `leaky_relu` below zero, as in PyTorch.
pub const LEAKY_RELU_SLOPE: f64 = 0.01;

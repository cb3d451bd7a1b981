//! From a trained network to an ONNX file, deterministically.
//!
//! The graph takes raw pixels, `image` `uint8 [N, C, H, W]`, and gives `probabilities`
//! `float32 [N, classes]`: cast and normalisation are inside, so that there is nothing
//! for a consumer to get wrong. Batch normalisation is folded into the layer before it
//! (or becomes a multiplication and an addition), dropout is gone.

mod annotate;
mod export;
pub(crate) mod graph;
pub(crate) mod value;

pub(crate) use export::{INPUT, IR_VERSION, OPSET, OUTPUT};
pub use export::{Identity, export};
pub(crate) use value::BATCH;

//! Published versions in the form of other hubs.

mod bom;
mod folder;
mod hugging_face;
mod onnx_hub;
mod torch;

pub use bom::bom;
pub use hugging_face::hugging_face;
pub use onnx_hub::{ONNX_HUB_MANIFEST, onnx_hub};
pub use torch::torch;

//! Predicts with published models and re-measures what their manifests claim; never links libtorch.
//!
//! ```
//! # fn main() -> infer::Result<()> {
//! # let (zoo, file) = (std::path::Path::new("../zoo"), std::path::Path::new("../docs/seven.png"));
//! let predictor = infer::Predictor::open(zoo, "mnist-cnn")?;
//! let image = infer::decode::read_image(file)?;
//! let prediction = predictor.predict(&image)?;
//! assert_eq!(prediction.label, "7");
//! # Ok(())
//! # }
//! ```

pub mod decode;
mod embedded;
mod error;
mod evaluate;
mod explain;
pub mod export;
pub mod golden;
mod network;
#[cfg(feature = "registry")]
pub mod oci;
mod predictor;
pub mod preprocess;
#[cfg(feature = "serve")]
pub mod serve;
mod session;
mod speed;
mod verify;

pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate};
pub use explain::{Explainer, Planes};
pub use predictor::{ClassProbability, Prediction, Predictor, Source};
pub use session::{Session, Worker};
pub use speed::{Speed, speed};
pub use verify::{Check, Finding, Report, verify, verify_all};

/// The ONNX file format: tract's protobuf types, also used for writing models.
pub use tract_onnx::pb;

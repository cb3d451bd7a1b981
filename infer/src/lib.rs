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
pub mod golden;
mod network;
mod predictor;
pub mod preprocess;
mod session;
mod speed;
mod verify;

pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate};
pub use predictor::{ClassProbability, Prediction, Predictor, Source};
pub use session::{Session, Worker};
pub use speed::{Speed, speed};
pub use verify::{Check, Finding, Report, verify, verify_all};

/// The ONNX file format: tract's protobuf types, also used for writing models.
pub use tract_onnx::pb;

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

#![forbid(unsafe_code)]

mod built_in;
#[cfg(feature = "cli")]
pub mod cli;
pub mod confidence;
pub mod corruptions;
pub mod decode;
pub mod drawing;
mod error;
mod evaluate;
mod executor;
mod explain;
mod frames;
pub mod golden;
mod jpeg;
mod network;
mod part;
mod predictor;
pub mod preprocess;
mod reading;
#[cfg(feature = "adopted")]
pub mod run;
mod session;
mod speed;
mod threads;
mod verify;

pub use built_in::built_in_model;
pub use confidence::Status;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate, probabilities};
pub use explain::{Explainer, Planes};
#[cfg(feature = "adopted")]
pub use network::shapes;
pub use network::{ADDED, Outline, OutlineConstant, OutlineNode, Summary, describe_adopted, outline};
pub use predictor::{ClassProbability, Opening, Prediction, Predictor, Source};
pub use reading::{ReadObject, Reading, Row};
pub use session::{Session, Worker};
pub use speed::{Speed, speed};
pub use verify::{
    Check, FIELDS, Finding, Options, Proof, Report, check_files, check_golden, verify, verify_all, verify_zoo,
};

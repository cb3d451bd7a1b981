//! The manifest, the hashes, the directory layout and the locking of a model zoo.
//!
//! ```text
//! <zoo>/models/<name>/<version>/manifest.yaml   what the version is and the sha256 of every other file
//!                              /model.onnx ...
//! <zoo>/.staging/                               versions being written, on the same file system
//! <zoo>/.lock                                   held while a version is added
//! ```
//!
//! `<zoo>/models` is a model repository as Triton, KServe and OpenVINO Model Server
//! read it. A version is complete when it appears and is never changed afterwards.

mod atomic;
mod count;
mod error;
mod manifest;
mod store;
mod version;

pub use atomic::{sync_dir, write_atomic};
pub use count::Count;
pub use error::{Error, Result};
pub use manifest::{
    ClassCount, DatasetInfo, Dim, FileRecord, Manifest, NetworkInfo, NumericProfileInfo, OnnxInfo, SCHEMA,
    SelfCheckInfo, TensorInfo, TestResult, TrainingInfo, check_name,
};
pub use store::{ModelVersions, Spec, Zoo};
pub use version::{MANIFEST, ONNX, Problem, VersionDir};

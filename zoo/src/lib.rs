//! The manifest, the hashes, the directory layout and the locking of a model zoo.
//!
//! ```text
//! <zoo>/models/<name>/<version>/manifest.yaml   what the version is and the sha256 of every other file
//!                              /model.onnx ...
//! <zoo>/index.json                             all versions, made from the manifests
//! <zoo>/.index.next                            the same after the change that is being made
//! <zoo>/costs.json                             times of versions on one machine, if they were measured
//! <zoo>/aliases.jsonl                          names for versions, a history that only grows
//! <zoo>/signatures/<name>/<version>/model.sig  OpenSSF model signature, if signed
//! <zoo>/.staging/                               versions being written, on the same file system
//! <zoo>/.pull-*/                                files that `zoo pull` is fetching
//! <zoo>/.tmp-*                                  files being written; swept by whoever changes the zoo next
//! <zoo>/.lock                                   held while a version is added
//! ```
//!
//! `<zoo>/models` is a model repository as Triton, KServe and OpenVINO Model Server
//! read it. A version is complete when it appears and is never changed afterwards.

#![forbid(unsafe_code)]

mod alias;
mod atomic;
mod confidence;
mod costs;
mod count;
mod error;
mod index;
mod layout;
mod lock;
mod manifest;
mod names;
mod origin;
mod outputs;
mod results;
pub mod signature;
mod spec;
mod store;
mod training;
mod version;

pub use alias::AliasEntry;
pub use atomic::{write_atomic, write_output};
pub use confidence::{CalibrationBin, Confidence, Coverage, Unlike};
pub use costs::{COSTS, Cost, Costs};
pub use count::Count;
pub use error::{Error, Result};
pub use index::{INDEX, Index, IndexModel, IndexVersion};
pub use layout::{Engine, Violation};
pub use manifest::{
    ClassCount, DatasetInfo, Dim, FileRecord, MANIFEST, MAX_FILE_BYTES, Manifest, NetworkInfo, ONNX,
    OnnxInfo, SCHEMA, SelfCheckInfo, TensorInfo, TestResult,
};
pub use names::{check_name, parse_version};
pub use origin::{Adopted, ForeignWeights, Origin};
pub use outputs::{refuse_published, refuse_same};
pub use results::grouped;
pub use spec::{Selector, Spec};
pub use store::{ModelVersions, Zoo};
pub use training::{NumericProfileInfo, TrainingInfo, ValidationRun};
pub use version::{ExpectedDigest, Problem, Unverified, VersionDir, list_files};

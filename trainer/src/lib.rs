//! Trains convolutional networks with libtorch and publishes them into a zoo.
//!
//! A [`recipe`] is one YAML file that determines everything. [`train`](train::train)
//! turns it into a run directory ([`run`]), [`publish`](publish::publish) turns a run
//! into a version of a zoo.

mod arithmetic;
pub mod attribution;
pub mod audit;
mod augment;
pub mod batches;
mod checkpoint;
mod distillation;
pub mod doctor;
mod early_stopping;
mod error;
mod evaluate;
pub mod fingerprint;
pub mod front;
pub mod history;
pub mod inspect;
pub mod layers;
pub mod machine;
pub mod network;
pub mod normaliser;
pub mod onnx;
mod optimizer;
mod outliers;
mod parameters;
pub mod pictures;
pub mod preview;
pub mod profile;
pub mod publish;
pub mod recipe;
pub mod reproduce;
pub mod run;
mod schedule;
pub mod schema;
mod sheet;
pub mod split;
pub mod starter;
mod step;
pub mod study;
pub mod table;
mod tagged;
mod teacher;
pub mod throughput;
pub mod train;
pub mod views;
pub mod weights;

pub use error::{Error, Result};

/// Version of the libtorch this was built against.
pub(crate) const LIBTORCH_VERSION: &str = env!("TRAINER_LIBTORCH_VERSION");

//! Studies: one recipe, some of its fields varied, several seeds each, and a report.
//!
//! A study is a small YAML file ([`Study`]). [`Plan`] turns it into recipes; each is trained
//! into the run folder that `trainer train` would use, so that a run is found again by its
//! recipe's hash and never trained twice ([`execute()`]). Every run is a process of its own, because
//! the numeric profile must be in force before libtorch loads. [`results`] reads the runs back and
//! [`report`] writes what they say. Only validation images are looked at, never the test split.

mod edit;
mod execute;
mod file;
mod plan;
pub mod report;
pub mod results;
mod slurm;
mod statistics;

pub use execute::{Observer, Workers, execute};
pub use file::{Study, StudyFile};
pub use plan::Plan;
pub use slurm::write_job;

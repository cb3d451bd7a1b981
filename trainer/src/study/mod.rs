//! Studies: one recipe, some of its fields varied, several seeds each, and a report.
//!
//! A study is a small YAML file ([`Study`]). [`Plan`] turns it into recipes; each is trained
//! into the run folder that `trainer train` would use, so that a run is found again by its
//! recipe's hash and never trained twice ([`execute()`]). Every run is a process of its own, because
//! the numeric profile must be in force before libtorch loads. [`results`] reads the runs back and
//! [`report`] writes what they say. Only validation images are looked at, never the test split.

mod comparison;
mod edit;
mod execute;
mod file;
mod plan;
pub mod report;
pub mod results;
mod slurm;
mod stage;
mod statistics;
pub mod timing;

pub use execute::{GRACE, Observer, Workers, execute, write_recipe};
pub use file::{Study, StudyFile};
pub use plan::{Plan, Trial};
pub use slurm::{Commands, write_job};
pub use stage::{Stage, next};

//! The manifest, the hashes, the directory layout and the locking of a model zoo.

mod atomic;
mod error;
mod manifest;

pub use atomic::{sync_dir, write_atomic};
pub use error::{Error, Result};
pub use manifest::{Count, check_name};

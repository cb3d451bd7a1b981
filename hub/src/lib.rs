//! Keeps and serves a model zoo: the HTTP server ([`serve`]), versions in OCI registries ([`oci`]) and
//! in the form of other hubs ([`export`]). The program is called `zoo`; folders, manifests, hashes and
//! signatures are the library `zoo`'s.

#![forbid(unsafe_code)]

pub mod adopt;
#[doc(hidden)]
pub mod cli;
pub mod compare;
mod error;
pub mod export;
pub mod oci;
pub mod serve;

pub use error::{Error, Result};

//! Reading, checking, describing and fetching image classification datasets.
//!
//! A dataset is a folder with a `dataset.yaml` ([`Description`]) and its files in
//! the IDX format ([`Idx`]), gzipped or plain. Every file is checked against the
//! sha256 of its decompressed bytes before its content is used.
//!
//! This crate is also the home of four small things that every other crate needs:
//! [`Digest`] (sha256), [`files`] (opening what other people made), [`yaml`] (strict YAML)
//! and [`markdown`] (texts from outside in cards).

#![forbid(unsafe_code)]

mod description;
mod digest;
#[cfg(feature = "download")]
mod download;
mod error;
pub mod files;
mod idx;
pub mod markdown;
mod message;
mod preprocessing;
pub mod yaml;

pub use description::{
    Dataset, Description, FileEntry, ImageShape, Normalisation, PLAIN_NAME, Samples, Split, SplitFiles,
    is_plain_name,
};
pub use digest::{Digest, Hasher};
#[cfg(feature = "download")]
pub use download::{Progress, download_missing};
pub use error::{Error, Result};
pub use idx::{Dtype, Idx, IdxReader, MAX_BYTES, idx_header};
pub use message::{plain as plain_message, serialize_path};
pub use preprocessing::{Preprocessing, Procedure, Step};

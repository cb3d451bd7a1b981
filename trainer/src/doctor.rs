//! What this machine can promise: processor, libraries, and whether its arithmetic is that of others.

use std::collections::BTreeMap;
use std::path::PathBuf;

use datasets::Digest;
use serde::Serialize;

use crate::error::Result;
use crate::fingerprint::{self, Operator};
use crate::machine::{self, Processor};
use crate::profile::NumericProfile;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// The processor.
    pub processor: Processor,
    /// Processors that the system gives this process.
    pub processors: usize,
    /// Version of the libtorch that is loaded, if its folder tells.
    pub libtorch: Option<String>,
    /// Version that this program was built for.
    pub libtorch_expected: &'static str,
    /// Where libtorch was loaded from.
    pub libtorch_path: Option<PathBuf>,
    /// OpenMP runtimes that are loaded.
    pub openmp: Vec<PathBuf>,
    /// The profile that was asked about.
    pub numeric_profile: NumericProfile,
    /// The environment under which it is given.
    pub environment: BTreeMap<&'static str, String>,
    /// Why this machine cannot give it.
    pub obstacle: Option<String>,
    /// What does not change bytes, and is worth knowing.
    pub notice: Option<String>,
    /// What each operator computes.
    pub operators: Vec<Operator>,
    /// sha256 over all of them.
    pub fingerprint: Digest,
    /// Whether bytes that are trained here are those that are trained elsewhere.
    pub same_bytes_everywhere: bool,
}

/// Examines this machine under a profile whose environment is in force.
///
/// # Errors
/// What libtorch says.
pub fn examine(profile: &NumericProfile) -> Result<Diagnosis> {
    let operators = fingerprint::operators(profile)?;
    let digests: Vec<[u8; 32]> = operators.iter().map(|operator| *operator.sha256.as_bytes()).collect();
    let obstacle = profile.obstacle();
    Ok(Diagnosis {
        processor: Processor::detect(),
        processors: machine::available_processors(),
        libtorch: machine::libtorch_version(),
        libtorch_expected: crate::LIBTORCH_VERSION,
        libtorch_path: machine::libtorch(),
        openmp: machine::openmp_runtimes(),
        environment: profile.environment(),
        notice: profile.notice(),
        same_bytes_everywhere: profile.isa.is_portable()
            && obstacle.is_none()
            && operators.iter().all(Operator::is_expected),
        numeric_profile: profile.clone(),
        obstacle,
        fingerprint: Digest::of(digests.as_flattened()),
        operators,
    })
}

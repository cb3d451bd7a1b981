//! Predicts with published models and re-measures what their manifests claim; never links libtorch.

/// stub
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// stub
    #[error(transparent)]
    Zoo(#[from] zoo::Error),
}

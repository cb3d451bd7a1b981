//! Plain loops on the widest vectors of the processor.

/// Runs a loop that was compiled for the widest vectors of this processor; what it calls must be `#[inline(always)]`, closures
/// included.
#[inline(always)]
pub fn with_widest_vectors<R>(run: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(run)
}

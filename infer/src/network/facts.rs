//! Short questions to a typed model of tract.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

/// Largest number of values between two operators, for one image (64 MiB).
pub(super) const MAX_VALUES: usize = 16 << 20;

/// Bytes that weights and windows may take that are packed for the kernels, whatever the file's
/// length: a file can name one constant many times, and a window has many places.
pub(super) const BASE_MEMORY: usize = 256 << 20;
/// Bytes for each byte of a constant: a 3x3 kernel becomes 36 values.
pub(super) const MEMORY_RATIO: usize = 8;

/// Bytes of all values between a network's operators, for one image. Not all are there at once, but
/// a file can keep them all: by reading each again at its end.
pub(super) const ALL_VALUES: usize = 512 << 20;

/// The only one of a node's outputs.
pub(super) fn only(outlets: &[OutletId]) -> TractResult<OutletId> {
    match *outlets {
        [outlet] => Ok(outlet),
        _ => bail!("{} values, expected 1", outlets.len()),
    }
}

/// Lengths of all dimensions after the batch.
pub(crate) fn per_image(model: &TypedModel, outlet: OutletId) -> TractResult<TVec<usize>> {
    model.outlet_fact(outlet)?.shape.iter().skip(1).map(|length| Ok(length.to_usize()?)).collect()
}

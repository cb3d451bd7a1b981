//! Short questions to a typed model of tract.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

/// Largest number of values between two operators, for one image (64 MiB).
pub(super) const MAX_VALUES: usize = 16 << 20;

/// The only one of a node's outputs.
pub(super) fn only(outlets: &[OutletId]) -> TractResult<OutletId> {
    match *outlets {
        [outlet] => Ok(outlet),
        _ => bail!("{} values, expected 1", outlets.len()),
    }
}

/// Lengths of all dimensions after the batch.
pub(super) fn per_image(model: &TypedModel, outlet: OutletId) -> TractResult<TVec<usize>> {
    model.outlet_fact(outlet)?.shape.iter().skip(1).map(|length| Ok(length.to_usize()?)).collect()
}

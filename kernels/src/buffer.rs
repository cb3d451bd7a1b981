//! Memory that is kept from one call to the next.

/// The first values of a buffer, which grows but never shrinks: what is in it is written over, so only
/// new memory is cleared. Clearing it on each call was a fifth of the time of `mnist-lite`.
pub(crate) fn at_least(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}

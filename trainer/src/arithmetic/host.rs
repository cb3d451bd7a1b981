//! The values of libtorch's tensors as slices, without a copy: the only unsafe code of the trainer.
//!
//! tch has no safe access to a tensor's memory, and copying weights, gradients and the optimizer's
//! memory out and in at every step takes a seventh of an epoch of `mnist-cnn`.

#![allow(unsafe_code)]

use tch::{Device, Kind, Tensor};

/// The values of a tensor in the order of its memory.
///
/// # Panics
/// If it is no dense `f32` tensor on the CPU.
pub(crate) fn values(tensor: &Tensor) -> &[f32] {
    let length = checked_length(tensor);
    if length == 0 {
        return &[]; // Without memory, the pointer is null.
    }
    // SAFETY: `checked_length` makes sure that so many `f32` lie side by side from `data_ptr` on. They
    // live as long as the tensor, which is borrowed. Nothing writes to them meanwhile: the callers are
    // all in this folder, and call libtorch only after they are done with the slice.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), length) }
}

/// The same, to be written.
///
/// # Panics
/// As for [`values`].
pub(crate) fn values_mut(tensor: &mut Tensor) -> &mut [f32] {
    let length = checked_length(tensor);
    if length == 0 {
        return &mut [];
    }
    // SAFETY: as for `values`. Other tensors may share the memory (views of parameters do), but none of
    // them is read or written while the slice lives, for the same reason.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), length) }
}

fn checked_length(tensor: &Tensor) -> usize {
    assert_eq!(
        (tensor.kind(), tensor.device()),
        (Kind::Float, Device::Cpu),
        "a tensor of a portable profile"
    );
    assert!(is_dense(tensor), "strides {:?} of {:?} leave gaps", tensor.stride(), tensor.size());
    tensor.numel()
}

/// Whether the values fill their memory, in whatever order of the dimensions.
fn is_dense(tensor: &Tensor) -> bool {
    let mut steps: Vec<(i64, i64)> =
        tensor.stride().into_iter().zip(tensor.size()).filter(|&(_, length)| length != 1).collect();
    steps.sort_unstable();
    let mut expected = 1;
    steps.iter().all(|&(stride, length)| {
        let fits = stride == expected || length == 0;
        expected *= length;
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_the_order_of_memory() {
        let mut tensor = Tensor::from_slice(&[0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).view([1, 2, 3, 1]);
        assert_eq!(values(&tensor), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(values(&tensor.permute([0, 3, 1, 2])), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        values_mut(&mut tensor)[5] = 7.0;
        assert_eq!(tensor.double_value(&[0, 1, 2, 0]), 7.0);
        let mut empty = Tensor::empty([0], (Kind::Float, Device::Cpu));
        assert!(values(&empty).is_empty() && values_mut(&mut empty).is_empty());
    }

    #[test]
    #[should_panic(expected = "leave gaps")]
    fn tensors_with_gaps_are_refused() {
        values(&Tensor::from_slice(&[0f32, 1.0, 2.0, 3.0]).view([2, 2]).select(1, 0));
    }
}

//! Activations that libtorch takes from MKL or from the C library.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use tch::Tensor;

use super::host;
pub(crate) use super::math::{elu, gelu, sigmoid, silu, tanh};

/// Values that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// `function(x)` of every value, with its gradient if `x` needs one; `function` gives value and derivative.
pub(crate) fn apply(x: &Tensor, function: impl Fn(f32) -> (f32, f32) + Sync) -> Tensor {
    let mut value = x.empty_like();
    if x.requires_grad() {
        let mut slope = x.empty_like();
        map(x, &function, &mut value, Some(&mut slope));
        // The product's gradient is the function's. Its value is not, and is overwritten: libtorch keeps
        // factors, not products, for the way back.
        let product = x * slope;
        product.detach().copy_(&value);
        return product;
    }
    map(x, &function, &mut value, None);
    value
}

fn map(
    x: &Tensor,
    function: &(impl Fn(f32) -> (f32, f32) + Sync),
    value: &mut Tensor,
    slope: Option<&mut Tensor>,
) {
    let inputs = host::values(x).par_chunks(CHUNK);
    let values = host::values_mut(value).par_chunks_mut(CHUNK);
    let arch = Arch::new();
    match slope {
        Some(slope) => {
            let slopes = host::values_mut(slope).par_chunks_mut(CHUNK);
            inputs.zip(values).zip(slopes).for_each(|((inputs, values), slopes)| {
                arch.dispatch(Map { function, inputs, values, slopes });
            });
        }
        None => inputs.zip(values).for_each(|(inputs, values)| {
            arch.dispatch(Map { function, inputs, values, slopes: &mut [] });
        }),
    }
}

struct Map<'a, F> {
    function: &'a F,
    inputs: &'a [f32],
    values: &'a mut [f32],
    /// Empty if not asked for.
    slopes: &'a mut [f32],
}

impl<F: Fn(f32) -> (f32, f32)> WithSimd for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Map { function, inputs, values, slopes } = self;
        if slopes.is_empty() {
            for (x, value) in inputs.iter().zip(values) {
                *value = function(*x).0;
            }
            return;
        }
        for ((x, value), slope) in inputs.iter().zip(values).zip(slopes) {
            (*value, *slope) = function(*x);
        }
    }
}

//! Fully connected layers: three matrix products by the kernels that predictions use.
//!
//! Every value is one chain of fused multiply-adds over the depth, so its bits depend neither on the
//! width of vectors nor on threads. Each product is put so that no weight matrix is transposed:
//!
//! ```text
//! y^T[o][n]  = sum over i of  W[o][i]    x[n][i]     rows of W
//! dx[n][i]   = sum over o of  dy[n][o]   W[o][i]     rows of dy, columns of W packed
//! dW[o][i]   = sum over n of  dy^T[o][n] x[n][i]     rows of dy^T, columns of x packed
//! ```

use kernels::{AlignedBuffer, Clamp, IndirectionBuffer, PackedWeights};
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::host;

/// Rows of a product that a thread takes at a time: a multiple of the 12 and 6 of the microkernels.
const ROWS: usize = 48;
/// Columns that a thread packs and multiplies at a time: few enough that the second-level cache holds them
/// for a depth of 1024, many enough that a row of them is worth a look-up of its page.
const COLUMNS: usize = 128;

/// `x W^T + b` for `x` `[N, I]`, `weight` `[O, I]` and `bias` `[O]`; libtorch knows no gradient of it.
pub(crate) fn forward(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let [rows, inputs] = lengths(x);
    let [outputs, _] = lengths(weight);
    let x = x.detach().contiguous();
    let (values, weights) = (host::values(&x), host::values(weight));
    let packed = PackedWeights::of_matrix(&transposed(values, inputs), rows, inputs, rows);
    let mut columns = AlignedBuffer::zeroed(outputs * rows);
    multiply(weights, inputs, &packed, rows, &mut columns);
    let mut y = Tensor::empty([rows as i64, outputs as i64], (Kind::Float, Device::Cpu));
    transpose(&columns, rows, host::values_mut(&mut y));
    if let Some(bias) = bias {
        let bias = host::values(bias);
        for row in host::values_mut(&mut y).chunks_exact_mut(outputs) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    }
    y
}

/// Gradients of `W` and `b` from that of the output, `[N, O]`, written into the two slices.
pub(crate) fn backward_parameters(x: &Tensor, dy: &Tensor, weight: &mut [f32], bias: Option<&mut [f32]>) {
    let [rows, inputs] = lengths(x);
    let [_, outputs] = lengths(dy);
    let (x, dy) = (x.detach().contiguous(), dy.contiguous());
    let (values, dy) = (host::values(&x), host::values(&dy));
    let packed = PackedWeights::of_matrix(values, inputs, rows, inputs);
    let columns = transposed(dy, outputs);
    multiply(&columns, rows, &packed, inputs, weight);
    if let Some(bias) = bias {
        let sums = columns.chunks_exact(rows).map(|row| row.iter().fold(0f32, |sum, dy| sum + dy));
        bias.iter_mut().zip(sums).for_each(|(bias, sum)| *bias = sum);
    }
}

/// Gradient of the input, `[N, I]`, from that of the output, `[N, O]`.
pub(crate) fn backward_input(dy: &Tensor, weight: &Tensor) -> Tensor {
    let [rows, outputs] = lengths(dy);
    let [_, inputs] = lengths(weight);
    let dy = dy.contiguous();
    let (dy, weights) = (host::values(&dy), host::values(weight));
    let starts: Vec<usize> = (0..inputs).step_by(COLUMNS).collect();
    let blocks: Vec<AlignedBuffer> = starts
        .par_iter()
        .map(|&first| {
            let columns = COLUMNS.min(inputs - first);
            let packed = PackedWeights::of_matrix(&weights[first..], inputs, outputs, columns);
            let mut block = AlignedBuffer::zeroed(rows * columns);
            multiply_rows(dy, outputs, &packed, &mut block);
            block
        })
        .collect();
    let mut dx = Tensor::empty([rows as i64, inputs as i64], (Kind::Float, Device::Cpu));
    for (row, dx) in host::values_mut(&mut dx).chunks_exact_mut(inputs).enumerate() {
        for (block, dx) in blocks.iter().zip(dx.chunks_mut(COLUMNS)) {
            dx.copy_from_slice(&block[row * dx.len()..][..dx.len()]);
        }
    }
    dx
}

/// `left B` for rows of `depth` values; `output` has `columns` values a row. In parallel.
fn multiply(left: &[f32], depth: usize, packed: &PackedWeights, columns: usize, output: &mut [f32]) {
    let rows = left.par_chunks(ROWS * depth).zip(output.par_chunks_mut(ROWS * columns));
    rows.for_each(|(left, output)| multiply_rows(left, depth, packed, output));
}

fn multiply_rows(left: &[f32], depth: usize, packed: &PackedWeights, output: &mut [f32]) {
    let origins: Vec<usize> = (0..left.len()).step_by(depth).collect();
    let windows = IndirectionBuffer { origins: &origins, runs: &[0], run_length: depth };
    packed.forward(left, windows, Clamp::NONE, output);
}

fn transposed(from: &[f32], columns: usize) -> Vec<f32> {
    let mut to = vec![0f32; from.len()];
    transpose(from, columns, &mut to);
    to
}

/// Writes rows of `columns` values as columns. In parallel.
fn transpose(from: &[f32], columns: usize, to: &mut [f32]) {
    // A line of the cache from each of as many rows as a set of the first-level cache has ways: rows of
    // 1024 values all fall into one set.
    const WIDTH: usize = 16;
    const HEIGHT: usize = 8;
    let rows = from.len() / columns.max(1);
    to.par_chunks_mut((WIDTH * rows).max(1)).enumerate().for_each(|(block, to)| {
        let first = block * WIDTH;
        for top in (0..rows).step_by(HEIGHT) {
            for (column, to) in to.chunks_exact_mut(rows).enumerate() {
                let to = &mut to[top..(top + HEIGHT).min(rows)];
                to.iter_mut()
                    .enumerate()
                    .for_each(|(row, to)| *to = from[(top + row) * columns + first + column]);
            }
        }
    });
}

fn lengths(tensor: &Tensor) -> [usize; 2] {
    let (rows, columns) = tensor.size2().expect("a dense layer works on matrices");
    [rows as usize, columns as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matrix(rows: usize, columns: usize, seed: usize) -> Tensor {
        let number = |i: usize| ((i * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0;
        let values: Vec<f32> = (0..rows * columns).map(number).collect();
        Tensor::from_slice(&values).view([rows as i64, columns as i64])
    }

    proptest! {
        /// Value and gradients are those that libtorch's own layer has.
        #[test]
        fn is_the_layer_of_libtorch(rows in 1usize..40, inputs in 1usize..120, outputs in 1usize..120) {
            let [x, weight, dy] = [(rows, inputs, 1), (outputs, inputs, 2), (rows, outputs, 3)]
                .map(|(rows, columns, seed)| matrix(rows, columns, seed));
            let bias = matrix(1, outputs, 4).view([outputs as i64]);
            let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.set_requires_grad(true));
            let y = x.linear(&weight, Some(&bias));
            let expected = Tensor::run_backward(&[&y * &dy], &[&x, &weight, &bias], false, false);
            let close = |a: &Tensor, b: &Tensor| f64::try_from((a - b).abs().max()).unwrap() < 1e-4;
            prop_assert!(close(&y, &forward(&x.detach(), &weight.detach(), Some(&bias.detach()))));
            let mut dw = vec![0f32; outputs * inputs];
            let mut db = vec![0f32; outputs];
            backward_parameters(&x, &dy, &mut dw, Some(&mut db));
            prop_assert!(close(&expected[0], &backward_input(&dy, &weight.detach())));
            prop_assert!(close(&expected[1].view([-1]), &Tensor::from_slice(&dw)));
            prop_assert!(close(&expected[2], &Tensor::from_slice(&db)));
        }
    }

    /// The bits of a sum do not depend on what is computed beside it.
    #[test]
    fn a_row_alone_has_the_same_bits() {
        let (x, weight) = (matrix(130, 77, 1), matrix(65, 77, 2));
        let all = forward(&x, &weight, None);
        for row in [0, 7, 95, 96, 129] {
            let alone = forward(&x.narrow(0, row, 1), &weight, None);
            assert_eq!(host::values(&all.get(row)), host::values(&alone), "row {row}");
        }
    }
}

//! What the profiles `portable` and `portable2` compute themselves, in arithmetic whose bits are the same on every processor.
//!
//! libtorch's convolutions (by oneDNN), poolings and normalisations give equal bits on every processor
//! with AVX2 and FMA once their instruction set is capped. Its matrix products, exponentials and square
//! roots come from MKL, whose code differs between vendors. They are replaced here by sums in one order,
//! by polynomials of additions, multiplications and fused multiply-adds, and by IEEE division and square
//! root: none depends on the width of vectors or on how the work is split over threads.

pub(crate) mod activation;
pub(crate) mod convolution;
pub(crate) mod dense;
mod host;
pub(crate) mod loss;
mod math;
pub(crate) mod sweep;
pub(crate) mod tape;

/// Whose arithmetic a network is computed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// libtorch's alone: bits depend on the processor.
    Libtorch,
    /// libtorch's only where it is the same on every processor, else ours.
    Portable {
        /// Whether convolutions are ours too, where there is a kernel for them.
        convolutions: bool,
    },
}

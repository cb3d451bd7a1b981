//! The arithmetic of a convolutional network: convolution, matrix product and pooling in `f32`
//! on images `[N, H, W, C]`, in which the channels of a pixel fill vectors, and of the training of convolutions.
//!
//! [`Conv2d`] chooses between an indirect matrix product ([`gemm`](PackedWeights)), a direct kernel for one channel, a
//! depthwise kernel and Winograd's minimal filtering by the shape alone, never by timing: equal inputs give equal bits on every run. So does
//! [`TrainedConv`], which has the gradient too.
//! Vectors come from `pulp`, which picks AVX-512, AVX2, NEON, WebAssembly SIMD or plain code when the
//! program runs. There is no unsafe code here, and a prediction allocates nothing once [`Scratch`] has grown.
//!
//! ```
//! use kernels::{Clamp, Conv2d, Scratch, Window};
//!
//! // One 3x3 kernel of ones over a 4x4 image of ones, with one pixel of padding.
//! let window = Window { padding: [[1, 1], [1, 1]], ..Window::new([3, 3]) };
//! let conv = Conv2d::new(window, [4, 4, 1], 1, |_| 1.0, vec![0.0]);
//! let mut output = vec![0.0; 16];
//! conv.forward(&[1.0; 16], Clamp::NONE, &mut Scratch::default(), &mut output);
//! assert_eq!(output[..4], [4.0, 6.0, 6.0, 4.0]);
//! ```

#![forbid(unsafe_code)]

mod blocks;
mod buffer;
mod conv;
mod depthwise;
mod direct;
mod frame;
mod gemm;
mod huge_pages;
mod indirect;
mod pool;
mod slopes;
mod training;
mod unroll;
mod vectors;
mod window;
mod winograd;

pub use buffer::AlignedBuffer;
pub use conv::{Conv2d, Scratch};
pub use gemm::{Clamp, IndirectionBuffer, PackedWeights};
pub use huge_pages::HugePageBuffer;
pub use pool::{AvgPool, MaxPool};
pub use slopes::Slopes;
pub use training::{Factors, TrainedConv, TrainingScratch};
pub use vectors::with_widest_vectors;
pub use window::Window;

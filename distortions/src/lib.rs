//! Seeded changes to images: what training augments with, and the corruption suite that models are
//! measured on.
//!
//! Planes are rows of `f32` grey levels from 0 to 255. Everything is drawn from a [`Stream`], and all
//! transcendental functions are `libm`'s, so that equal seeds give equal bytes on every machine.

#![forbid(unsafe_code)]

mod corruption;
pub mod filter;
pub mod marks;
pub mod noise;
mod plane;
pub mod random;
pub mod strokes;
pub mod warp;

pub use corruption::{Corruption, STRENGTHS, corrupt};
pub use plane::Plane;
pub use random::Stream;

//! All randomness: streams derived from the recipe's seed.
//!
//! Every use has its own stream, named by a purpose and two numbers (for example
//! epoch and image), so that nothing depends on the order in which threads work
//! and a run can be resumed anywhere. The generator is ChaCha8, whose output is
//! specified; the conversions below are ours, so that an upgrade of a library
//! does not change a published model.

use datasets::Digest;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers.
#[derive(Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `seed` for `purpose` and the numbers `a` and `b`.
    pub fn new(seed: u64, purpose: &str, a: u64, b: u64) -> Stream {
        let key = format!("{seed}/{purpose}/{a}/{b}");
        Stream(ChaCha8Rng::from_seed(*Digest::of(key.as_bytes()).as_bytes()))
    }

    /// Uniform in `[0, 1)`, 24 random bits.
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in `[-bound, bound)`.
    pub fn symmetric(&mut self, bound: f32) -> f32 {
        (2.0 * self.unit() - 1.0) * bound
    }

    /// Uniform in `0..n` (`n` above zero), by Lemire's multiplication; the bias is below `n / 2^64`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Normal, mean 0 and deviation 1 (Box and Muller 1958; the second of each pair is not used).
    pub fn normal(&mut self) -> f32 {
        let radius = libm::sqrtf(-2.0 * libm::logf(1.0 - self.unit()));
        radius * libm::cosf(std::f32::consts::TAU * self.unit())
    }

    /// Poisson distributed: uniform numbers multiplied until they fall below `exp(-mean)` (Knuth), in
    /// parts for a large mean.
    pub fn poisson(&mut self, mean: f32) -> u32 {
        let (mut count, mut left) = (0, mean.clamp(0.0, 1e4));
        while left > 0.0 {
            let part = left.min(16.0);
            let bound = libm::expf(-part);
            let mut product = self.unit();
            while product > bound {
                count += 1;
                product *= self.unit();
            }
            left -= part;
        }
        count
    }

    /// 63 random bits, for seeding libtorch.
    pub fn seed(&mut self) -> i64 {
        (self.0.next_u64() >> 1) as i64
    }

    /// Fisher-Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_fixed_and_independent() {
        let draw = |a, b| {
            let mut stream = Stream::new(7, "test", a, b);
            [stream.unit(), stream.symmetric(2.0)]
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 1));
        // Published models depend on these numbers.
        assert_eq!(Stream::new(1, "order", 1, 0).below(60_000), 28_215);
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..100).collect();
        Stream::new(1, "order", 0, 0).shuffle(&mut items);
        assert!(items.iter().enumerate().any(|(i, &x)| i != x));
        items.sort_unstable();
        assert!(items.iter().enumerate().all(|(i, &x)| i == x));
    }
}

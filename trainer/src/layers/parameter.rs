//! The named tensors of a network.

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Init {
    /// He uniform: `U(-b, b)` with `b = sqrt(6 / fan_in)` (He et al. 2015, arXiv:1502.01852, eq. 10).
    HeUniform {
        /// Inputs of one output value.
        fan_in: usize,
    },
    /// All the same.
    Constant(f32),
}

/// Which of the two buffers a tensor lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotKind {
    /// Changed by the optimizer.
    Trainable,
    /// Running statistics, changed by the forward pass.
    Statistic,
}

/// A named tensor; the name is its state-dict key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParameterSpec {
    /// State-dict name, e.g. `conv1.weight`.
    pub(crate) name: String,
    /// Shape as PyTorch has it: `[O, I, H, W]`, `[O, I]`, `[C, H, W]` or `[O]`.
    pub(crate) shape: Vec<usize>,
    /// How it starts.
    pub(crate) init: Init,
    /// Trainable or statistic.
    pub(crate) kind: SlotKind,
}

impl ParameterSpec {
    /// Number of values.
    pub(crate) fn numel(&self) -> usize {
        self.shape.iter().product()
    }
}

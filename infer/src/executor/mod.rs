//! Runs a network as a flat list of steps over one thread's buffers.
//!
//! tract reads, types and checks a graph. Its own plan allocates and clears a tensor for every operator,
//! casts and normalises in passes of their own and keeps books on each value, which for small networks
//! takes as long as their arithmetic.
//!
//! Values are `f32` for any number of images, one after another; an image is `[H, W, C]`, in which the
//! channels of a pixel fill vectors. [`lower`](lower::lower) turns a typed model into steps. A model with
//! an operator that has no step stays with tract.

mod lower;
mod steps;

use kernels::{AlignedBuffer, Scratch};
use tract_onnx::prelude::*;

use steps::{Operation, Step};

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// What comes in.
    Input,
    /// A buffer of the arena.
    Buffer(usize),
    /// What goes out.
    Output,
}

/// A step, what it reads and where it writes.
#[derive(Debug)]
struct Planned {
    step: Step,
    /// What is done in place to what the step gives.
    operations: Vec<Operation>,
    /// One place, or two for what joins two values.
    inputs: Vec<Place>,
    output: Place,
    /// Values of an image that come out.
    size: usize,
}

/// Steps from images, or from features, to the only output.
#[derive(Debug)]
pub(crate) struct Executor {
    steps: Vec<Planned>,
    buffers: usize,
}

/// What comes in: images one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// `[C, H, W]`.
    Pixels(&'a [u8]),
    /// What another executor gave.
    Features(&'a [f32]),
}

/// What a thread keeps between calls: no step allocates once this has grown.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    buffers: Vec<AlignedBuffer>,
    scratch: Scratch,
    origins: Vec<usize>,
}

impl Executor {
    /// `None` for a model with an operator that has no step.
    ///
    /// # Errors
    /// For a model whose values have no known size.
    pub(crate) fn of(model: &TypedModel) -> TractResult<Option<Executor>> {
        lower::lower(model)
    }

    /// Values of an image that come out.
    fn size(&self) -> usize {
        self.steps.last().map_or(0, |last| last.size)
    }

    /// Appends the output for `count` images.
    pub(crate) fn run(&self, input: Input<'_>, count: usize, arena: &mut Arena, output: &mut Vec<f32>) {
        let Arena { buffers, scratch, origins } = arena;
        buffers.resize_with(self.buffers.max(buffers.len()), AlignedBuffer::default);
        let start = output.len();
        output.resize(start + count * self.size(), 0.0);
        for Planned { step, operations, inputs, output: to, size } in &self.steps {
            // Taken out, so that others can be read while it is written.
            let mut buffer = match to {
                Place::Buffer(index) => std::mem::take(&mut buffers[*index]),
                Place::Input | Place::Output => AlignedBuffer::default(),
            };
            let length = count * size;
            let written = match to {
                // Not cleared: every step writes all values of its output.
                Place::Buffer(_) => buffer.at_least(length),
                Place::Input | Place::Output => &mut output[start..],
            };
            let at = |place: &Place| match *place {
                Place::Input => input,
                Place::Buffer(index) => Input::Features(&buffers[index]),
                Place::Output => unreachable!("only the last step writes the output, and none follows it"),
            };
            step.run(at(&inputs[0]), inputs.get(1).map(at), count, scratch, origins, written);
            operations.iter().for_each(|operation| operation.apply(written));
            if let Place::Buffer(index) = to {
                buffers[*index] = buffer;
            }
        }
    }
}

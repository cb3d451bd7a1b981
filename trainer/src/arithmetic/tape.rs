//! The gradient of a network some of whose layers libtorch does not know.
//!
//! libtorch differentiates what it computed itself. A layer of ours interrupts that: its input is the end
//! of one piece of libtorch's graph, its output the leaf of the next. Going back, each piece is
//! differentiated by libtorch and each layer between by its own rule.

use std::cell::RefCell;

use tch::Tensor;

use super::convolution::Convolved;
use super::{dense, host};
use crate::error::Result;
use crate::parameters::Parameters;

/// What a training pass remembers, and where its random numbers come from.
pub(crate) struct Tape {
    entries: RefCell<Vec<Entry>>,
    /// The recipe's seed.
    pub(crate) seed: u64,
    /// Optimizer steps taken before.
    pub(crate) step: u64,
}

/// A layer of ours.
struct Entry {
    /// The end of a piece of libtorch's graph.
    input: Tensor,
    /// Number of the entry whose output that is, if libtorch did nothing in between.
    source: Option<usize>,
    /// The leaf of the next.
    output: Tensor,
    layer: Recorded,
}

/// What a layer needs for its gradient beside its input.
pub(crate) enum Recorded {
    /// Nothing is computed: the gradients of several branches are summed before they go on, so that the layers
    /// before are differentiated once.
    Branch,
    Dense(Slots),
    Convolution(Slots, Box<Convolved>),
}

/// Where a layer's weight stands among the network's tensors; a bias follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slots {
    pub(crate) weight: usize,
    pub(crate) has_bias: bool,
}

impl Recorded {
    fn slots(&self) -> Option<Slots> {
        match self {
            Recorded::Branch => None,
            Recorded::Dense(slots) | Recorded::Convolution(slots, _) => Some(*slots),
        }
    }
}

impl Slots {
    fn holds(self, index: usize) -> bool {
        index == self.weight || (self.has_bias && index == self.weight + 1)
    }

    /// The parts of `gradient` for weight and bias.
    fn of<'a>(
        self,
        parameters: &Parameters,
        gradient: &'a mut Tensor,
    ) -> (&'a mut [f32], Option<&'a mut [f32]>) {
        let range = parameters.range(self.weight);
        let bias = self.has_bias.then(|| parameters.range(self.weight + 1).len());
        let values = &mut host::values_mut(gradient)[range.start..][..range.len() + bias.unwrap_or(0)];
        let (weights, biases) = values.split_at_mut(range.len());
        (weights, bias.map(|_| biases))
    }
}

impl Entry {
    /// Writes the gradients of its weight and bias; returns that of its input, if it needs one.
    fn backward(&self, dy: Tensor, parameters: &Parameters, gradient: &mut Tensor) -> Option<Tensor> {
        let needs_input = self.input.requires_grad();
        match &self.layer {
            Recorded::Branch => Some(dy),
            Recorded::Dense(slots) => {
                let (weights, biases) = slots.of(parameters, gradient);
                dense::backward_parameters(&self.input, &dy, weights, biases);
                needs_input.then(|| dense::backward_input(&dy, parameters.tensor(slots.weight)))
            }
            Recorded::Convolution(slots, convolved) => {
                let (weights, biases) = slots.of(parameters, gradient);
                convolved.backward(&dy, weights, biases, needs_input)
            }
        }
    }
}

impl Tape {
    /// An empty one.
    pub(crate) fn new(seed: u64, step: u64) -> Tape {
        Tape { entries: RefCell::default(), seed, step }
    }

    /// Remembers a layer; returns its output as the leaf that libtorch goes on from.
    pub(crate) fn record(&self, input: &Tensor, output: Tensor, layer: Recorded) -> Tensor {
        let output = output.set_requires_grad(true);
        let (kept, input) = (output.shallow_clone(), input.shallow_clone());
        let mut entries = self.entries.borrow_mut();
        // A view of a leaf has its memory too, but is none. Of leaves that share it, as a branch and what it was
        // made from do, only the last is used later.
        let is_input = |entry: &Entry| input.is_leaf() && entry.output.data_ptr() == input.data_ptr();
        let source = entries.iter().rposition(is_input);
        entries.push(Entry { input, source, output: kept, layer });
        output
    }

    /// Writes the gradient of all trainable values into `gradient`, which is like their buffer, from
    /// that of the network's output.
    ///
    /// # Errors
    /// What libtorch says.
    pub(crate) fn gradient(
        &self,
        parameters: &Parameters,
        output: &Tensor,
        slope: Tensor,
        gradient: &mut Tensor,
    ) -> Result<()> {
        let entries = self.entries.borrow();
        let ours = |index: usize| {
            entries.iter().filter_map(|entry| entry.layer.slots()).any(|slots| slots.holds(index))
        };
        let theirs: Vec<usize> = parameters.trainable_indices().filter(|&index| !ours(index)).collect();
        let mut sums = Sums { slots: (0..theirs.len() + entries.len()).map(|_| None).collect() };
        let leaves = |count: usize| -> Vec<&Tensor> {
            let tensors = theirs.iter().map(|&index| parameters.tensor(index));
            tensors.chain(entries[..count].iter().map(|entry| &entry.output)).collect()
        };
        sums.add(output, slope, &leaves(entries.len()))?;
        for (number, entry) in entries.iter().enumerate().rev() {
            let Some(dy) = sums.slots[theirs.len() + number].take() else { continue };
            match (entry.backward(dy, parameters, gradient), entry.source) {
                (Some(dx), Some(source)) => sums.add_to(theirs.len() + source, dx),
                (Some(dx), None) => sums.add(&entry.input, dx, &leaves(number))?,
                (None, _) => {}
            }
        }
        for (&index, slope) in theirs.iter().zip(&sums.slots) {
            let values = &mut host::values_mut(gradient)[parameters.range(index)];
            match slope {
                Some(slope) => values.copy_from_slice(host::values(&crate::parameters::flattened(slope))),
                None => values.fill(0.0),
            }
        }
        Ok(())
    }
}

/// Gradients of leaves, summed over the pieces that they reach.
struct Sums {
    slots: Vec<Option<Tensor>>,
}

impl Sums {
    /// Adds what `slope`, the gradient of `end`, means for the leaves that `end` depends on.
    fn add(&mut self, end: &Tensor, slope: Tensor, leaves: &[&Tensor]) -> Result<()> {
        // libtorch starts with ones, which the product turns into the slope. A shortcut may lead to a
        // piece of its graph twice, so pieces are kept; with our own convolutions in them that would cost time, so
        // there a residual block begins with a branch.
        let found = Tensor::f_run_backward(&[end * slope], leaves, true, false)?;
        for (number, found) in found.into_iter().enumerate().filter(|(_, found)| found.defined()) {
            self.add_to(number, found);
        }
        Ok(())
    }

    fn add_to(&mut self, number: usize, found: Tensor) {
        let slot = &mut self.slots[number];
        *slot = Some(match slot.take() {
            Some(sum) => sum + found,
            None => found,
        });
    }
}

//! The gradient of a network some of whose layers libtorch does not know.
//!
//! libtorch differentiates what it computed itself. A layer of ours interrupts that: its input is the end
//! of one piece of libtorch's graph, its output the leaf of the next. Going back, each piece is
//! differentiated by libtorch and each layer between by its own rule.

use std::cell::RefCell;

use tch::Tensor;

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

/// A dense layer.
struct Entry {
    /// The end of a piece of libtorch's graph.
    input: Tensor,
    /// The leaf of the next.
    output: Tensor,
    /// Number of its weight among the network's tensors; a bias follows.
    weight: usize,
    has_bias: bool,
}

impl Tape {
    /// An empty one.
    pub(crate) fn new(seed: u64, step: u64) -> Tape {
        Tape { entries: RefCell::default(), seed, step }
    }

    /// Remembers a dense layer; returns its output as the leaf that libtorch goes on from.
    pub(crate) fn record(&self, input: &Tensor, output: Tensor, weight: usize, has_bias: bool) -> Tensor {
        let output = output.set_requires_grad(true);
        let (kept, input) = (output.shallow_clone(), input.shallow_clone());
        self.entries.borrow_mut().push(Entry { input, output: kept, weight, has_bias });
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
            entries.iter().any(|entry| index == entry.weight || (entry.has_bias && index == entry.weight + 1))
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
            let range = parameters.range(entry.weight);
            let bias = entry.has_bias.then(|| parameters.range(entry.weight + 1).len());
            let slopes = &mut host::values_mut(gradient)[range.start..][..range.len() + bias.unwrap_or(0)];
            let (weights, biases) = slopes.split_at_mut(range.len());
            dense::backward_parameters(&entry.input, &dy, weights, bias.map(|_| biases));
            if entry.input.requires_grad() {
                let dx = dense::backward_input(&dy, parameters.tensor(entry.weight));
                sums.add(&entry.input, dx, &leaves(number))?;
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
        // piece of its graph twice, so pieces are kept; that costs neither time nor memory worth naming.
        let found = Tensor::f_run_backward(&[end * slope], leaves, true, false)?;
        for (slot, found) in self.slots.iter_mut().zip(found).filter(|(_, found)| found.defined()) {
            *slot = Some(match slot.take() {
                Some(sum) => sum + found,
                None => found,
            });
        }
        Ok(())
    }
}

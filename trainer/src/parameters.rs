//! The network's tensors, kept in two flat buffers.
//!
//! All trainable values live in one tensor and all running statistics in another;
//! the layers use views into them. The optimizer, the moving average, the
//! checkpoint and the hash each make one pass over one buffer.
//!
//! Convolution weights are stored `[O, H, W, I]` and viewed as `[O, I, H, W]`:
//! a channels-last weight makes libtorch keep activations and gradients
//! channels-last through convolution, ReLU and pooling, which is faster on CPUs
//! and needs no memory-format argument (tch has none).

use std::ops::Range;

use datasets::Digest;
use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::layers::parameter::{Init, ParameterSpec, SlotKind};
use distortions::Stream;

/// Values of a network's tensors on one device.
pub struct Parameters {
    specs: Vec<ParameterSpec>,
    trainable: Tensor,
    statistics: Tensor,
    views: Vec<Tensor>,
    /// Where each tensor lies in its buffer.
    ranges: Vec<Range<usize>>,
}

impl Parameters {
    /// Freshly initialised from `seed`.
    ///
    /// # Errors
    /// As for [`Parameters::zeros`].
    pub(crate) fn initialise(specs: &[ParameterSpec], seed: u64, device: Device) -> Result<Parameters> {
        let mut parameters = Parameters::zeros(specs, device)?;
        for (index, spec) in specs.iter().enumerate() {
            let values: Vec<f32> = match spec.init {
                Init::Constant(value) => vec![value; spec.numel()],
                Init::HeUniform { fan_in } => {
                    let bound = (6.0 / fan_in as f32).sqrt();
                    let mut stream = Stream::new(seed, "init", index as u64, 0);
                    (0..spec.numel()).map(|_| stream.symmetric(bound)).collect()
                }
            };
            parameters.set(index, &values);
        }
        Ok(parameters)
    }

    /// All zero, to be filled.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if there is not enough memory.
    pub(crate) fn zeros(specs: &[ParameterSpec], device: Device) -> Result<Parameters> {
        let total = |kind| specs.iter().filter(|p| p.kind == kind).map(|p| p.numel() as i64).sum::<i64>();
        let trainable = Tensor::f_zeros([total(SlotKind::Trainable)], (Kind::Float, device))?;
        let statistics = Tensor::f_zeros([total(SlotKind::Statistic)], (Kind::Float, device))?;
        Ok(Parameters::over(specs.to_vec(), trainable, statistics))
    }

    fn over(specs: Vec<ParameterSpec>, trainable: Tensor, statistics: Tensor) -> Parameters {
        let (mut next_trainable, mut next_statistic) = (0, 0);
        let (views, ranges) = specs
            .iter()
            .map(|spec| {
                let (buffer, next) = match spec.kind {
                    SlotKind::Trainable => (&trainable, &mut next_trainable),
                    SlotKind::Statistic => (&statistics, &mut next_statistic),
                };
                let range = *next..*next + spec.numel();
                let values = buffer.narrow(0, range.start as i64, range.len() as i64);
                *next = range.end;
                let view = shaped(&values, &spec.shape).detach();
                (view.set_requires_grad(spec.kind == SlotKind::Trainable), range)
            })
            .unzip();
        Parameters { specs, trainable, statistics, views, ranges }
    }

    /// Tensor number `index`, with its PyTorch shape.
    pub(crate) fn tensor(&self, index: usize) -> &Tensor {
        &self.views[index]
    }

    /// Where tensor number `index` lies in its buffer.
    pub(crate) fn range(&self, index: usize) -> Range<usize> {
        self.ranges[index].clone()
    }

    /// Numbers of the trainable tensors.
    pub(crate) fn trainable_indices(&self) -> impl Iterator<Item = usize> {
        let specs = self.specs.iter().enumerate();
        specs.filter(|(_, spec)| spec.kind == SlotKind::Trainable).map(|(index, _)| index)
    }

    /// An independent copy.
    pub(crate) fn copy(&self) -> Parameters {
        Parameters::over(self.specs.clone(), self.trainable.copy(), self.statistics.copy())
    }

    /// The same on a device.
    pub(crate) fn on_device(self, device: Device) -> Parameters {
        let [trainable, statistics] =
            [self.trainable, self.statistics].map(|buffer| buffer.to_device(device));
        Parameters::over(self.specs, trainable, statistics)
    }

    /// Overwrites tensor `index` with row-major `values` of its PyTorch shape.
    pub(crate) fn set(&mut self, index: usize, values: &[f32]) {
        let shape: Vec<i64> = self.specs[index].shape.iter().map(|&d| d as i64).collect();
        tch::no_grad(|| self.views[index].copy_(&Tensor::from_slice(values).view(shape.as_slice())));
    }

    /// The flat trainable buffer.
    pub(crate) fn trainable(&mut self) -> &mut Tensor {
        &mut self.trainable
    }

    /// The flat buffers, trainable first.
    pub(crate) fn buffers(&self) -> [&Tensor; 2] {
        [&self.trainable, &self.statistics]
    }

    /// The flat buffers, trainable first.
    pub(crate) fn buffers_mut(&mut self) -> [&mut Tensor; 2] {
        [&mut self.trainable, &mut self.statistics]
    }

    /// The gradient of `loss` as one flat tensor in the order of the trainable buffer.
    ///
    /// # Errors
    /// What libtorch says.
    pub(crate) fn gradient(&self, loss: &Tensor) -> Result<Tensor> {
        let inputs: Vec<&Tensor> = self.trainable_indices().map(|index| self.tensor(index)).collect();
        let gradients = Tensor::f_run_backward(&[loss], &inputs, false, false)?;
        let flat: Vec<Tensor> = gradients.iter().map(flattened).collect();
        Ok(Tensor::cat(&flat, 0))
    }

    /// Name, shape and row-major values of every tensor, in state-dict order.
    pub(crate) fn state_dict(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        self.specs
            .iter()
            .zip(&self.views)
            .map(|(spec, view)| {
                let mut values = vec![0f32; spec.numel()];
                let flat = view.detach().to_device(Device::Cpu).contiguous();
                flat.copy_data(&mut values, spec.numel());
                (spec.name.clone(), spec.shape.clone(), values)
            })
            .collect()
    }

    /// Whether every value is finite.
    pub(crate) fn is_finite(&self) -> bool {
        // A sum is finite only if all values are; computed in f64, it does not overflow by itself.
        self.buffers().iter().all(|buffer| buffer.sum(Kind::Double).double_value(&[]).is_finite())
    }

    /// sha256 over all values, little-endian `f32`, tensors in state-dict order.
    pub(crate) fn sha256(&self) -> Digest {
        let bytes: Vec<u8> = self
            .state_dict()
            .iter()
            .flat_map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()))
            .collect();
        Digest::of(&bytes)
    }
}

/// A flat slice as a tensor of PyTorch `shape`; 4-D ones are stored channels-last.
fn shaped(flat: &Tensor, shape: &[usize]) -> Tensor {
    let dims: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
    match dims.as_slice() {
        &[o, i, h, w] => flat.view([o, h, w, i]).permute([0, 3, 1, 2]),
        other => flat.view(other),
    }
}

/// The inverse of [`shaped`].
pub(crate) fn flattened(tensor: &Tensor) -> Tensor {
    match tensor.dim() {
        4 => tensor.permute([0, 2, 3, 1]).reshape([-1]),
        _ => tensor.reshape([-1]),
    }
}

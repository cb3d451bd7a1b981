//! Weights as `safetensors`: state-dict names, loadable by Python `safetensors.torch`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use datasets::Digest;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::Device;

use crate::error::{Error, Result};
use crate::network::Network;
use crate::parameters::Parameters;

/// File with the whole network, under its state-dict names.
pub(crate) const MODEL: &str = "model.safetensors";
/// File with the first layer that has weights.
pub(crate) const FIRST_LAYER: &str = "first_layer.safetensors";

/// The whole network.
///
/// # Errors
/// Never for parameters that training made.
pub fn whole(parameters: &Parameters) -> Result<Vec<u8>> {
    serialise(&parameters.state_dict())
}

/// The first layer that has weights.
///
/// # Errors
/// Never for parameters that training made.
pub fn first_layer(network: &Network, parameters: &Parameters) -> Result<Vec<u8>> {
    let first = network.first_weighted();
    let mut tensors = parameters.state_dict();
    tensors.retain(|(name, _, _)| {
        first.is_some_and(|placement| placement.parameters.iter().any(|parameter| parameter.name == *name))
    });
    serialise(&tensors)
}

/// Tensors by name, shape and row-major values.
///
/// # Errors
/// [`Error::Run`] if there are not as many values as shapes say.
pub(crate) fn serialise(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Result<Vec<u8>> {
    let wrong = |e: safetensors::SafeTensorError| Error::run(Path::new(MODEL), e.to_string());
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(wrong)?;
    // One key only: the library writes several in random order. Python's loader asks for this one.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(wrong)
}

/// Reads a whole network back, onto the CPU.
///
/// # Errors
/// [`Error::Run`] names the tensor that is missing, extra or has another shape.
pub fn read(path: &Path, network: &Network) -> Result<Parameters> {
    parse(&datasets::files::read(path, MAX_BYTES).map_err(Error::io(path))?, path, network)
}

/// Reads the network of a published version, its hash checked.
///
/// # Errors
/// [`Error::Zoo`] if the version is damaged, else as for [`read`].
pub fn published(version: &zoo::VersionDir, network: &Network) -> Result<Parameters> {
    parse(&version.read(MODEL)?, &version.path.join(MODEL), network)
}

/// Takes a whole network from a file's bytes, onto the CPU; `path` is only for the error.
///
/// # Errors
/// [`Error::Run`] names the tensor that is missing, extra or has another shape.
fn parse(bytes: &[u8], path: &Path, network: &Network) -> Result<Parameters> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| Error::run(path, e.to_string()))?;
    if tensors.len() != network.parameters().len() {
        let problem = format!("{} tensors, expected {}", tensors.len(), network.parameters().len());
        return Err(Error::run(path, problem));
    }
    let mut parameters = Parameters::zeros(network.parameters(), Device::Cpu)?;
    for (index, spec) in network.parameters().iter().enumerate() {
        let name = &spec.name;
        let view = tensors.tensor(name).map_err(|e| Error::run(path, format!("{name}: {e}")))?;
        if view.dtype() != Dtype::F32 || view.shape() != spec.shape {
            let found =
                format!("{name}: found {:?} {:?}, expected F32 {:?}", view.dtype(), view.shape(), spec.shape);
            return Err(Error::run(path, found));
        }
        let values: Vec<f32> =
            view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        parameters.set(index, &values);
    }
    Ok(parameters)
}

/// Values that PyTorch keeps beside the weights and that no network here has.
const PASSED_OVER: &str = "num_batches_tracked";

/// Weights that were trained elsewhere, and the sha256 of their file. `names` leads from our names to the file's, where
/// these differ.
///
/// # Errors
/// [`Error::Run`] with every tensor that is missing, unexpected or of another shape or type.
pub(crate) fn read_foreign(
    path: &Path,
    network: &Network,
    names: &BTreeMap<String, String>,
) -> Result<(Parameters, Digest)> {
    let bytes = datasets::files::read(path, MAX_BYTES).map_err(Error::io(path))?;
    if bytes.starts_with(b"PK") || bytes.starts_with(&[0x80]) {
        return Err(Error::run(path, PICKLED));
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| Error::run(path, e.to_string()))?;
    let mut parameters = Parameters::zeros(network.parameters(), Device::Cpu)?;
    let mut problems = Vec::new();
    let ours: Vec<&str> = network.parameters().iter().map(|spec| spec.name.as_str()).collect();
    problems.extend(names.keys().filter(|name| !ours.contains(&name.as_str())).map(|name| {
        format!("names: {name:?} is no tensor of the recipe's network, which has {}", ours.join(", "))
    }));
    let theirs = |name: &str| names.get(name).map_or(name, String::as_str).to_owned();
    for (index, spec) in network.parameters().iter().enumerate() {
        let name = theirs(&spec.name);
        match tensors.tensor(&name) {
            Err(_) => problems.push(format!("{name}: missing, expected {:?}", spec.shape)),
            Ok(view) if view.shape() != spec.shape => {
                problems.push(format!("{name}: {:?}, expected {:?}", view.shape(), spec.shape));
            }
            Ok(view) => match to_f32(&view) {
                Some(values) => parameters.set(index, &values),
                None => problems.push(format!("{name}: {:?}, expected F32, F16 or BF16", view.dtype())),
            },
        }
    }
    let known: Vec<String> = ours.iter().map(|name| theirs(name)).collect();
    let mut others: Vec<&str> = tensors.names();
    others.retain(|name| !known.iter().any(|known| known == name) && !name.ends_with(PASSED_OVER));
    others.sort_unstable();
    problems.extend(others.into_iter().map(|name| format!("{name}: unexpected")));
    if !problems.is_empty() {
        return Err(Error::run(path, problems.join("; ")));
    }
    if !parameters.is_finite() {
        return Err(Error::run(path, "a weight or statistic is not a finite number"));
    }
    Ok((parameters, Digest::of(&bytes)))
}

/// Longest file of weights.
const MAX_BYTES: u64 = 4 << 30;

/// What to do with files that can run any program when they are read.
const PICKLED: &str = "a pickled PyTorch file, which is not read here because reading it can run any program; where it \
    comes from somebody you trust: python -c \"import sys, torch, safetensors.torch as s; \
    s.save_file({k: v.contiguous() for k, v in torch.load(sys.argv[1], weights_only=True).items()}, sys.argv[2])\" \
    weights.pt weights.safetensors";

/// The values, widened exactly; `None` for types that would lose something.
fn to_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let halves = || view.data().as_chunks().0.iter().copied();
    Some(match view.dtype() {
        Dtype::F32 => view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Dtype::BF16 => halves().map(|bytes| bf16::from_le_bytes(bytes).to_f32()).collect(),
        Dtype::F16 => halves().map(|bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
        _ => return None,
    })
}

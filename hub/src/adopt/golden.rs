//! Golden data that come with a foreign file: inputs and the outputs that the framework gave, in ONNX's own form.

use std::path::{Path, PathBuf};

use datasets::{ImageShape, files};
use infer::golden::Golden;
use prost::Message;
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

use super::Form;
use super::ends::Ends;
use super::graph::{Kind, Pixels};
use crate::error::{Error, Result};

/// Longest file.
const MAX_BYTES: u64 = 1 << 30;
/// A pixel may be off by this much for having been converted to a float and back.
const ROUNDING: f64 = 0.02;

/// Inputs and outputs of one `test_data_set_*`.
pub(super) struct Pair {
    pub(super) folder: PathBuf,
    /// Shape and values of the input.
    pub(super) input: (Vec<usize>, Vec<f32>),
    /// Values of the output, for each image.
    pub(super) output: (Vec<usize>, Vec<f32>),
}

/// Reads every `test_data_set_*` of a folder, or the folder itself if it is one. Of several outputs it takes that of
/// the network's index, or the only one that is there.
///
/// # Errors
/// [`Error::Usage`] naming the file.
pub(super) fn read(dir: &Path, ends: &Ends) -> Result<Vec<Pair>> {
    let mut folders = Vec::new();
    if dir.join("input_0.pb").exists() {
        folders.push(dir.to_owned());
    } else {
        for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
            let path = entry.map_err(Error::io(dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("test_data_set_") && path.join("input_0.pb").exists() {
                folders.push(path);
            }
        }
        folders.sort();
    }
    if folders.is_empty() {
        let expected =
            "expected test_data_set_0/input_0.pb and output_0.pb, as scripts/export_torch.py writes";
        return Err(Error::Usage(format!("{}: no golden data; {expected}", dir.display())));
    }
    folders
        .into_iter()
        .map(|folder| {
            let input = floats(&folder.join("input_0.pb"))?;
            let output = floats(&output_file(&folder, ends)?)?;
            Ok(Pair { folder, input, output })
        })
        .collect()
}

/// The file of the output that is looked at.
fn output_file(folder: &Path, ends: &Ends) -> Result<PathBuf> {
    let Some(index) = ends.output_index else {
        return Err(Error::Usage(format!(
            "{}: golden data are of the file's outputs, not of the inner value {:?}",
            folder.display(),
            ends.output
        )));
    };
    let expected = folder.join(format!("output_{index}.pb"));
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?.flatten().map(|entry| entry.path());
    let is_output = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("output_") && name.ends_with(".pb")
    };
    let there: Vec<PathBuf> = entries.filter(is_output).collect();
    match there.as_slice() {
        [only] if !expected.exists() => Ok(only.clone()),
        // Reading says what is wrong where it is not there.
        _ => Ok(expected),
    }
}

fn floats(path: &Path) -> Result<(Vec<usize>, Vec<f32>)> {
    let wrong = |problem: String| Error::Usage(format!("{}: {problem}", path.display()));
    let bytes = files::read(path, MAX_BYTES).map_err(Error::io(path))?;
    let tensor =
        TensorProto::decode(bytes.as_slice()).map_err(|e| wrong(format!("not a TensorProto: {e}")))?;
    let shape: Vec<usize> = tensor.dims.iter().map(|&length| usize::try_from(length).unwrap_or(0)).collect();
    let raw = tensor.raw_data.as_slice();
    let values: Vec<f32> = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) if raw.is_empty() => tensor.float_data.clone(),
        Ok(DataType::Float) => raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Ok(DataType::Uint8) if raw.is_empty() => {
            tensor.int32_data.iter().map(|&value| value as f32).collect()
        }
        Ok(DataType::Uint8) => raw.iter().map(|&byte| byte.into()).collect(),
        Ok(other) => return Err(wrong(format!("{other:?}, expected Float or Uint8"))),
        Err(_) => return Err(wrong(format!("element type {}, expected Float or Uint8", tensor.data_type))),
    };
    if !raw.len().is_multiple_of(4) && tensor.data_type == i32::from(DataType::Float) {
        return Err(wrong(format!("{} bytes of data, expected 4 for each value", raw.len())));
    }
    let expected = shape.iter().try_fold(1usize, |all, &length| all.checked_mul(length));
    if expected != Some(values.len()) || !values.iter().all(|value| value.is_finite()) {
        return Err(wrong(format!("{} values for {shape:?}, expected as many finite ones", values.len())));
    }
    Ok((shape, values))
}

/// The pairs in the zoo's form: pixels, and the probabilities that follow from what the framework gave.
///
/// # Errors
/// Why they cannot be that: an input that is no image of 256 levels, or another number of classes.
pub(super) fn in_zoo_form(
    pairs: &[Pair],
    form: &Form,
    pixels: Option<&Pixels>,
    shape: ImageShape,
) -> Result<Golden> {
    let Form { ends, kind, is_last, order, classes, .. } = form;
    let (ImageShape { channels, height, width }, numel, classes) = (shape, shape.numel(), *classes);
    let affine = pixels
        .map_or(Ok(vec![(1.0, 0.0); channels]), |pixels| pixels.affine(channels))
        .map_err(Error::Usage)?;
    let mut golden = Golden { shape: Vec::new(), images: Vec::new(), probabilities: Vec::new() };
    for Pair { folder, input, output } in pairs {
        let wrong = |problem: String| Error::Usage(format!("{}: {problem}", folder.display()));
        let count = input.1.len() / numel.max(1);
        if count == 0 || input.1.len() != count * numel {
            return Err(wrong(format!(
                "input of {:?}, expected images of {channels}x{height}x{width}",
                input.0
            )));
        }
        if output.1.len() != count * classes || output.0.first() != Some(&count) {
            return Err(wrong(format!("output of {:?}, expected {count} times {classes} values", output.0)));
        }
        for image in input.1.chunks_exact(numel) {
            for place in 0..numel {
                let (channel, rest) = (place / (height * width), place % (height * width));
                let at = if *is_last { rest * channels + channel } else { place };
                let (factor, addend) = affine[channel];
                let pixel = (f64::from(image[at]) - addend) / factor;
                if (pixel - pixel.round()).abs() > ROUNDING || !(-0.5..255.5).contains(&pixel) {
                    return Err(wrong(format!(
                        "input {:?}: {} would be a pixel of {pixel:.3}, expected a whole number of 0 to 255: golden inputs \
                         are to be real images, as the network sees them",
                        ends.input, image[at]
                    )));
                }
                golden.images.push(pixel.round() as u8);
            }
        }
        for values in output.1.chunks_exact(classes) {
            let found = probabilities(values, *kind);
            let ordered = order
                .as_ref()
                .map_or(found.clone(), |order| order.iter().map(|&place| found[place]).collect());
            golden.probabilities.extend(ordered.iter().map(|&probability| probability as f32));
        }
    }
    golden.shape = vec![golden.images.len() / numel, channels, height, width];
    Ok(golden)
}

/// What follows from a network's outputs for one image.
pub(super) fn probabilities(values: &[f32], kind: Kind) -> Vec<f64> {
    let values = values.iter().map(|&value| f64::from(value));
    match kind {
        Kind::Probabilities => values.collect(),
        Kind::LogProbabilities => values.map(f64::exp).collect(),
        Kind::Logits => {
            let most = values.clone().fold(f64::MIN, f64::max);
            let all: Vec<f64> = values.map(|value| (value - most).exp()).collect();
            let sum: f64 = all.iter().sum();
            all.into_iter().map(|value| value / sum).collect()
        }
    }
}

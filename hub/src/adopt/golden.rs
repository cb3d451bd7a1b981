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
use super::precision;
use crate::error::{Error, Result};

/// Longest file.
const MAX_BYTES: u64 = 1 << 30;
/// A pixel may be off by this much for having been converted to a `float32` and back.
const ROUNDING: f64 = 0.02;
/// The same for a `float16`, which has 11 bits: 255 is off by 1/16.
const ROUNDING_OF_HALVES: f64 = 0.13;

/// Inputs and outputs of one `test_data_set_*`.
pub(super) struct Pair {
    folder: PathBuf,
    input: Values,
    output: Values,
}

/// A tensor of golden data.
struct Values {
    kind: DataType,
    shape: Vec<usize>,
    values: Vec<f32>,
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
            let input = read_values(&folder.join("input_0.pb"))?;
            let output = read_values(&output_file(&folder, ends)?)?;
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

fn read_values(path: &Path) -> Result<Values> {
    let wrong = |problem: String| Error::Usage(format!("{}: {problem}", path.display()));
    let bytes = files::read(path, MAX_BYTES).map_err(Error::io(path))?;
    let tensor =
        TensorProto::decode(bytes.as_slice()).map_err(|e| wrong(format!("not a TensorProto: {e}")))?;
    let shape: Vec<usize> = tensor.dims.iter().map(|&length| usize::try_from(length).unwrap_or(0)).collect();
    let kind = DataType::try_from(tensor.data_type).map_err(|_| {
        wrong(format!("element type {}, expected Float, Float16, Double or Uint8", tensor.data_type))
    })?;
    let raw = tensor.raw_data.as_slice();
    let values = match kind {
        DataType::Uint8 if raw.is_empty() => tensor.int32_data.iter().map(|&value| value as f32).collect(),
        DataType::Uint8 => raw.iter().map(|&byte| byte.into()).collect(),
        // The 8 bits of a bfloat16 do not tell pixels from each other.
        DataType::Float | DataType::Float16 | DataType::Double => {
            precision::float32s(&tensor).ok_or_else(|| {
                wrong(format!("{} bytes of data, expected a whole number of values", raw.len()))
            })?
        }
        other => return Err(wrong(format!("{other:?}, expected Float, Float16, Double or Uint8"))),
    };
    let expected = shape.iter().try_fold(1usize, |all, &length| all.checked_mul(length));
    if expected != Some(values.len()) || !values.iter().all(|value| value.is_finite()) {
        return Err(wrong(format!("{} values for {shape:?}, expected as many finite ones", values.len())));
    }
    Ok(Values { kind, shape, values })
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
        let count = input.values.len() / numel.max(1);
        if count == 0 || input.values.len() != count * numel {
            return Err(wrong(format!(
                "input of {:?}, expected images of {channels}x{height}x{width}",
                input.shape
            )));
        }
        if output.values.len() != count * classes || output.shape.first() != Some(&count) {
            return Err(wrong(format!(
                "output of {:?}, expected {count} times {classes} values",
                output.shape
            )));
        }
        let rounding = if input.kind == DataType::Float16 { ROUNDING_OF_HALVES } else { ROUNDING };
        for image in input.values.chunks_exact(numel) {
            for place in 0..numel {
                let (channel, rest) = (place / (height * width), place % (height * width));
                let at = if *is_last { rest * channels + channel } else { place };
                let (factor, addend) = affine[channel];
                let pixel = (f64::from(image[at]) - addend) / factor;
                if (pixel - pixel.round()).abs() > rounding || !(-0.5..255.5).contains(&pixel) {
                    return Err(wrong(format!(
                        "input {:?}: {} would be a pixel of {pixel:.3}, expected a whole number of 0 to 255: golden inputs \
                         are to be real images, as the network sees them",
                        ends.input, image[at]
                    )));
                }
                golden.images.push(pixel.round() as u8);
            }
        }
        for values in output.values.chunks_exact(classes) {
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

//! `test_data_set_0`: inputs and the outputs that libtorch gave, as ONNX `TensorProto`s.

use prost::Message;
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;
use zoo::VersionDir;

use crate::error::{Error, Result};
use crate::session::Session;

/// Input file of the golden data.
pub const INPUT: &str = "test_data_set_0/input_0.pb";
/// Output file of the golden data.
pub const OUTPUT: &str = "test_data_set_0/output_0.pb";

/// Images and the probabilities that libtorch gave for them.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Shape `[N, C, H, W]`.
    pub shape: Vec<usize>,
    /// Pixels.
    pub images: Vec<u8>,
    /// Probabilities `[N, classes]`.
    pub probabilities: Vec<f32>,
}

impl Golden {
    /// Reads the golden data of a version, hashes checked.
    ///
    /// # Errors
    /// [`Error::Zoo`] for a damaged file, [`Error::Model`] for wrong shapes.
    pub fn read(version: &VersionDir) -> Result<Golden> {
        let input = decode(version, INPUT, DataType::Uint8)?;
        let output = decode(version, OUTPUT, DataType::Float)?;
        let expected = version.manifest.image_shape();
        let wrong = |file: &str, shape: &[usize], expected: String| {
            Err(Error::model(&version.path.join(file), format!("shape {shape:?}, expected {expected}")))
        };
        let count = match input.shape.as_slice() {
            &[n, c, h, w] if n > 0 && (c, h, w) == (expected.channels, expected.height, expected.width) => n,
            other => return wrong(INPUT, other, format!("[N, C, H, W] of {expected:?}")),
        };
        let classes = version.manifest.labels.len();
        if output.shape != [count, classes] || input.data.len() != count * expected.numel() {
            return wrong(OUTPUT, &output.shape, format!("[{count}, {classes}]"));
        }
        let probabilities: Vec<f32> =
            output.data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        if probabilities.len() != count * classes {
            return wrong(OUTPUT, &[probabilities.len()], format!("{} values", count * classes));
        }
        // A difference to what is no number would be none.
        if !probabilities.iter().all(|value| value.is_finite()) {
            return Err(Error::model(&version.path.join(OUTPUT), "values that are not numbers"));
        }
        Ok(Golden { shape: input.shape, images: input.data, probabilities })
    }

    /// Both files' bytes: `(input_0.pb, output_0.pb)`.
    pub fn to_files(&self) -> (Vec<u8>, Vec<u8>) {
        let count = self.shape[0];
        let classes = self.probabilities.len() / count.max(1);
        let tensor = |name: &str, shape: &[usize], data_type: DataType, raw_data: Vec<u8>| TensorProto {
            name: name.into(),
            dims: shape.iter().map(|&d| d as i64).collect(),
            data_type: data_type.into(),
            raw_data,
            ..TensorProto::default()
        };
        let input = tensor("image", &self.shape, DataType::Uint8, self.images.clone());
        let bytes = self.probabilities.iter().flat_map(|p| p.to_le_bytes()).collect();
        let output = tensor("probabilities", &[count, classes], DataType::Float, bytes);
        (input.encode_to_vec(), output.encode_to_vec())
    }

    /// The first images, at most so many.
    #[must_use]
    pub fn first(mut self, most: usize) -> Golden {
        let count = self.shape.first().copied().unwrap_or(0);
        let kept = count.min(most);
        self.images.truncate(self.images.len() / count.max(1) * kept);
        self.probabilities.truncate(self.probabilities.len() / count.max(1) * kept);
        if let Some(first) = self.shape.first_mut() {
            *first = kept;
        }
        self
    }

    /// The largest difference between what `session` gives and what libtorch gave.
    ///
    /// # Errors
    /// As for [`crate::Worker::probabilities`].
    pub fn max_difference(&self, session: &Session) -> Result<f32> {
        let mut worker = session.worker()?;
        let size: usize = self.shape.iter().skip(1).product();
        let expected = self.probabilities.chunks_exact(session.classes().max(1));
        let mut largest = 0f32;
        for (image, expected) in self.images.chunks_exact(size.max(1)).zip(expected) {
            let found = worker.probabilities(image)?;
            largest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(largest, larger);
        }
        Ok(largest)
    }
}

/// `f32::max` passes over what is not a number.
fn larger(one: f32, other: f32) -> f32 {
    if one.is_nan() || other.is_nan() { f32::INFINITY } else { one.max(other) }
}

struct Raw {
    shape: Vec<usize>,
    data: Vec<u8>,
}

fn decode(version: &VersionDir, file: &str, expected: DataType) -> Result<Raw> {
    let path = version.path.join(file);
    let tensor = TensorProto::decode(version.read(file)?.as_slice())
        .map_err(|e| Error::model(&path, format!("not a TensorProto: {e}")))?;
    if tensor.data_type != i32::from(expected) {
        return Err(Error::model(&path, format!("element type {}, expected {expected:?}", tensor.data_type)));
    }
    let shape = tensor.dims.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect();
    Ok(Raw { shape, data: tensor.raw_data })
}

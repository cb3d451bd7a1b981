//! IDX files, as of MNIST and its relatives: images of any type, labels of any whole type that start anywhere.

use std::path::{Path, PathBuf};

use datasets::{Dtype, IdxReader};

use crate::error::{Error, Result};
use crate::item::{Content, Item, Part};
use crate::range::{Range, Scale};

/// The two files of a split.
pub(crate) struct Files {
    pub(crate) images: PathBuf,
    pub(crate) labels: PathBuf,
    pub(crate) part: Part,
}

/// What the files do not say.
pub(crate) struct Form {
    pub(crate) white: Option<f64>,
    /// Rows and columns change places, as EMNIST's are stored.
    pub(crate) transpose: bool,
}

/// Whether a file is one.
pub(crate) fn is_idx(path: &Path) -> bool {
    IdxReader::open(path).is_ok()
}

/// Gives all images of all splits.
///
/// # Errors
/// What is wrong with a file.
pub(crate) fn read(splits: &[Files], form: &Form, each: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
    for files in splits {
        let labels = labels(&files.labels)?;
        let scale = scale(&files.images, form.white)?;
        let mut images = IdxReader::open(&files.images)?;
        let (count, shape) = image_shape(&images, &files.images)?;
        if labels.len() != count {
            let problem = format!("{} labels, expected {count}, one for each image", labels.len());
            return Err(Error::new(&files.labels, problem));
        }
        let numel = shape.iter().product();
        for (index, label) in labels.iter().enumerate() {
            let data = images.next(numel)?;
            let mut pixels: Vec<u8> = numbers(images.dtype, &data).map(|value| scale.pixel(value)).collect();
            let mut shape = shape;
            if form.transpose {
                (shape, pixels) = super::transposed(shape, &pixels);
            }
            each(Item {
                part: files.part,
                label: label.to_string(),
                origin: format!("{}[{index}]", files.images.display()),
                content: Content::Pixels { shape, pixels },
                is_surely_image: true,
            })?;
        }
    }
    Ok(())
}

fn image_shape(images: &IdxReader, path: &Path) -> Result<(usize, [usize; 3])> {
    let found = match *images.shape.as_slice() {
        [count, height, width] => Some((count, [1, height, width])),
        [count, channels @ (1 | 3), height, width] => Some((count, [channels, height, width])),
        _ => None,
    };
    found.filter(|(_, shape)| shape.iter().all(|length| (1..=4096).contains(length))).ok_or_else(|| {
        let expected = "expected [N, H, W] or [N, C, H, W] with 1 or 3 channels";
        Error::new(path, format!("shape {:?}, {expected}", images.shape))
    })
}

/// Reads all values once, to see how far they go.
fn scale(path: &Path, white: Option<f64>) -> Result<Scale> {
    let mut images = IdxReader::open(path)?;
    let (count, shape) = image_shape(&images, path)?;
    let (numel, mut range) = (shape.iter().product(), Range::default());
    for _ in 0..count {
        let data = images.next(numel)?;
        numbers(images.dtype, &data).for_each(|value| range.add(value));
    }
    images.finish()?;
    Scale::choose(path, range, white)
}

/// One label for each image; of several numbers for an image, as in QMNIST, the first is the class.
fn labels(path: &Path) -> Result<Vec<i64>> {
    let mut labels = IdxReader::open(path)?;
    let (count, columns) = match *labels.shape.as_slice() {
        [count] => (count, 1),
        [count, columns @ 1..=64] => (count, columns),
        _ => {
            let problem = format!(
                "shape {:?}, expected [N] labels, or [N, columns] with the class first",
                labels.shape
            );
            return Err(Error::new(path, problem));
        }
    };
    let mut found = Vec::new();
    for index in 0..count {
        let row = labels.next(columns)?;
        let value = numbers(labels.dtype, &row).next().unwrap_or(f64::NAN);
        if value.fract() != 0.0 || value.is_nan() {
            return Err(Error::new(path, format!("label {index}: {value}, expected a whole number")));
        }
        found.push(value as i64);
    }
    labels.finish()?;
    Ok(found)
}

/// The elements of an IDX file.
fn numbers(dtype: Dtype, data: &[u8]) -> impl Iterator<Item = f64> {
    let size = dtype.size() as usize;
    data.chunks_exact(size).map(move |bytes| match (dtype, bytes) {
        (Dtype::I8, &[a]) => f64::from(a as i8),
        (Dtype::I16, &[a, b]) => f64::from(i16::from_be_bytes([a, b])),
        (Dtype::I32, &[a, b, c, d]) => f64::from(i32::from_be_bytes([a, b, c, d])),
        (Dtype::F32, &[a, b, c, d]) => f64::from(f32::from_be_bytes([a, b, c, d])),
        (Dtype::F64, &[a, b, c, d, e, f, g, h]) => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => f64::from(bytes[0]),
    })
}

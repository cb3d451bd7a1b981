//! IDX files, as of MNIST and its relatives: images of any type, labels of any whole type that start anywhere.

use std::path::{Path, PathBuf};

use datasets::{Dtype, IdxReader};

use super::rows::is_exact;
use crate::error::{Error, Result};
use crate::item::{Content, Item, Part};
use crate::layout::{Place, layout};
use crate::range::{Range, Scale};
use crate::request::Request;
use crate::tree::Tree;

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

/// The files of one or two splits, as they are named.
pub(crate) fn named(request: &Request) -> Result<Vec<Files>> {
    let source = request.source.as_path();
    let labels = request.labels.clone().or_else(|| labels_beside(source));
    let labels =
        labels.ok_or_else(|| Error::new(source, "IDX images; --labels names the file of their labels"))?;
    let mut splits = vec![Files { images: source.to_owned(), labels, part: Part::All }];
    if let Some(test) = &request.test {
        let labels = request.test_labels.clone().or_else(|| labels_beside(test));
        let labels = labels
            .ok_or_else(|| Error::new(test, "IDX images; --test-labels names the file of their labels"))?;
        splits[0].part = Part::Train;
        splits.push(Files { images: test.clone(), labels, part: Part::Test });
    }
    Ok(splits)
}

/// The file of labels that belongs to `x-images-idx3-ubyte`.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let start = &name[..name.find("images")?];
    let entries =
        std::fs::read_dir(images.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new(".")))
            .ok()?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut labels: Vec<String> =
        names.filter(|other| other.starts_with(&format!("{start}labels"))).collect();
    labels.sort();
    // An unpacking that broke off hides no packed file.
    let readable = labels.iter().find(|name| is_idx(&images.with_file_name(name)));
    Some(images.with_file_name(readable.or(labels.first())?))
}

/// Pairs of IDX files in a folder: those of MNIST and its relatives.
///
/// # Errors
/// If there are several sets in the folder, as of EMNIST: which one is meant must be said.
pub(crate) fn in_folder(tree: &Tree) -> Result<Vec<Files>> {
    let mut splits = Vec::new();
    for file in &tree.files {
        let name = file.name.rsplit('/').next().unwrap_or_default();
        let path = tree.root.join(&file.name);
        // torchvision leaves each file twice, as it came and unpacked.
        let is_twin = name.ends_with(".gz") && is_idx(&path.with_extension(""));
        if is_twin || !name.contains("images") || !name.contains("idx") || !is_idx(&path) {
            continue;
        }
        let is_test = name.split(|c: char| !c.is_alphanumeric()).any(|word| matches!(word, "t10k" | "test"));
        if let Some(labels) = labels_beside(&path) {
            splits.push(Files { images: path, labels, part: if is_test { Part::Test } else { Part::Train } });
        }
    }
    let count = |part: Part| splits.iter().filter(|files| files.part == part).count();
    let is_set = count(Part::Train) == 1 && count(Part::Test) <= 1;
    // IDX files have no extension, as images may have none.
    let is_image = |place: &Place| !is_idx(&tree.root.join(&tree.files[place.file].name));
    if splits.is_empty() || !is_set && layout(tree, 1).places.iter().any(is_image) {
        // Folders of classes are meant, beside which they lie.
        return Ok(Vec::new());
    }
    if count(Part::Train) > 1 || count(Part::Test) > 1 {
        let names: Vec<_> = splits.iter().take(8).map(|files| files.images.display().to_string()).collect();
        let problem = format!(
            "IDX files of several sets, as {}; name the images of one set, and those of its test split with --test",
            names.join(", ")
        );
        return Err(Error::new(&tree.root, problem));
    }
    if let [only] = splits.as_mut_slice() {
        only.part = Part::All;
    }
    Ok(splits)
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
        if !is_exact(value) {
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

//! numpy's arrays: `.npz` with the arrays of its splits, as Keras' `mnist.npz` or MedMNIST's, and `.npy` with a file of labels.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use npyz::{NpyFile, Order};
use terminal::catch_panic;

use super::rows::is_exact;
use crate::error::{Error, Result};
use crate::item::{Content, Item, Part};
use crate::layout::part;
use crate::range::{Range, Scale};
use crate::report::LeftOut;

/// Words in the name of an array of labels.
const LABELS: [&str; 7] = ["y", "label", "labels", "target", "targets", "class", "classes"];

/// What the files do not say.
pub(crate) struct Form {
    pub(crate) white: Option<f64>,
    pub(crate) size: Option<[usize; 2]>,
    pub(crate) transpose: bool,
}

/// An array in a file.
#[derive(Debug, Clone, PartialEq)]
struct Array {
    file: PathBuf,
    /// Number and name in a `.npz`.
    entry: Option<(usize, String)>,
    shape: Vec<usize>,
}

/// Images and labels of a split.
#[derive(Debug)]
pub(crate) struct Split {
    images: Array,
    labels: Array,
    part: Part,
}

/// Finds the splits of a `.npz`; `None` if the file is none.
///
/// # Errors
/// If arrays cannot be told apart.
pub(crate) fn npz(path: &Path) -> Result<Option<(Vec<Split>, Vec<LeftOut>)>> {
    if !super::starts_with(path, b"PK\x03\x04")? {
        return Ok(None);
    }
    let mut archive = zip(path)?;
    let mut arrays = Vec::new();
    for place in 0..archive.len() {
        let file = archive.by_index(place).map_err(|error| Error::new(path, error.to_string()))?;
        let name = file.name().map(|name| name.into_owned()).unwrap_or_default();
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else { return Ok(None) };
        let header = open(file).map_err(|problem| Error::new(path, format!("{name}: {problem}")))?;
        let shape = header.shape().iter().map(|&length| length as usize).collect();
        arrays.push(Array { file: path.to_owned(), entry: Some((place, name)), shape });
    }
    if arrays.is_empty() {
        return Ok(None);
    }
    splits(path, arrays).map(Some)
}

/// The splits of `.npy` files; `None` if the first file is none.
///
/// # Errors
/// If there are no labels.
pub(crate) fn npy(
    path: &Path,
    labels: Option<&Path>,
    test: Option<(&Path, Option<&Path>)>,
) -> Result<Option<Vec<Split>>> {
    if !super::starts_with(path, b"\x93NUMPY")? {
        return Ok(None);
    }
    let split = |images: &Path, labels: Option<&Path>, option: &str, part| {
        let labels = labels
            .ok_or_else(|| Error::new(images, format!("an array; {option} names that of its labels")))?;
        Ok::<_, Error>(Split { images: file(images)?, labels: file(labels)?, part })
    };
    let Some((test, test_labels)) = test else {
        return Ok(Some(vec![split(path, labels, "--labels", Part::All)?]));
    };
    let train = split(path, labels, "--labels", Part::Train)?;
    Ok(Some(vec![train, split(test, test_labels, "--test-labels", Part::Test)?]))
}

impl Split {
    /// Whether its arrays are those of a `.npz`.
    pub(super) fn is_in_archive(&self) -> bool {
        self.images.entry.is_some()
    }

    /// Whether each image is a row of values, `[N, H x W]`.
    pub(super) fn is_rows(&self) -> bool {
        self.images.shape.len() == 2
    }
}

/// Reads the header. The library multiplies the lengths of a shape, whatever they are.
fn open<R: Read>(reader: R) -> std::result::Result<NpyFile<R>, String> {
    let opened = catch_panic(|| NpyFile::new(reader)).map_err(|panic| format!("damaged: {panic}"))?;
    opened.map_err(|error| error.to_string())
}

fn file(path: &Path) -> Result<Array> {
    let file = crate::error::open(path)?;
    let header = open(BufReader::new(file)).map_err(|problem| Error::new(path, problem))?;
    Ok(Array {
        file: path.to_owned(),
        entry: None,
        shape: header.shape().iter().map(|&n| n as usize).collect(),
    })
}

fn zip(path: &Path) -> Result<zip::ZipArchive<BufReader<File>>> {
    let file = crate::error::open(path)?;
    zip::ZipArchive::new(BufReader::new(file)).map_err(|error| Error::new(path, error.to_string()))
}

/// Pairs images with labels by the words in their names: `x_train` and `y_train`, `val_images` and `val_labels`.
/// What belongs to no split is left out.
fn splits(path: &Path, arrays: Vec<Array>) -> Result<(Vec<Split>, Vec<LeftOut>)> {
    let names: Vec<String> = arrays.iter().map(Array::name).collect();
    let has_word = |name: &str| {
        name.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|word| LABELS.contains(&word))
    };
    let is_label = |array: &Array| has_word(&array.name()) || array.shape.len() == 1;
    let (labels, images): (Vec<Array>, Vec<Array>) = arrays.into_iter().partition(is_label);
    let of = |array: &Array| part(&array.name()).unwrap_or(Part::All);
    let (images, others): (Vec<Array>, Vec<Array>) =
        images.into_iter().partition(|array| array.shape.len() >= 2);
    let lonely = labels.iter().filter(|labels| !images.iter().any(|images| of(images) == of(labels)));
    // What is called a split's labels was meant to be used.
    if let Some(one) =
        lonely.clone().find(|labels| has_word(&labels.name()) && part(&labels.name()).is_some())
    {
        let problem = format!(
            "which array has the images of {:?}, shape {:?}? There are {names:?}",
            one.name(),
            one.shape
        );
        return Err(Error::new(path, problem));
    }
    let why = |array: &Array| format!("shape {:?}, not images and not their labels", array.shape);
    let left_out =
        lonely.chain(&others).map(|array| LeftOut { name: array.name(), why: why(array) }).collect();
    let mut splits = Vec::new();
    for images in images {
        let part = of(&images);
        let mut fitting = labels.iter().filter(|labels| of(labels) == part);
        let (Some(labels), None) = (fitting.next(), fitting.next()) else {
            let problem = format!("which array has the labels of {:?}? There are {names:?}", images.name());
            return Err(Error::new(path, problem));
        };
        splits.push(Split { images, labels: labels.clone(), part });
    }
    let twice =
        splits.iter().enumerate().any(|(at, one)| splits[..at].iter().any(|other| other.part == one.part));
    if splits.is_empty() || twice {
        return Err(Error::new(
            path,
            format!("arrays {names:?}, expected images and labels, as x_train and y_train"),
        ));
    }
    // Only one: it is all there is.
    if let [only] = splits.as_mut_slice() {
        only.part = Part::All;
    }
    Ok((splits, left_out))
}

impl Array {
    fn name(&self) -> String {
        self.entry.as_ref().map_or_else(|| self.file.display().to_string(), |(_, name)| name.clone())
    }

    fn place(&self) -> String {
        match &self.entry {
            Some((_, name)) => format!("{}: {name}", self.file.display()),
            None => self.file.display().to_string(),
        }
    }

    fn error(&self, problem: impl Into<String>) -> Error {
        Error::new(Path::new(&self.place()), problem)
    }

    /// Gives every value, in the order of rows.
    fn each(&self, each: &mut dyn FnMut(f64) -> Result<()>) -> Result<()> {
        match &self.entry {
            None => {
                let file = crate::error::open(&self.file)?;
                self.each_of(BufReader::new(file), each)
            }
            Some((place, _)) => {
                let mut archive = zip(&self.file)?;
                let file = archive.by_index(*place).map_err(|error| self.error(error.to_string()))?;
                self.each_of(BufReader::new(file), each)
            }
        }
    }

    fn each_of(&self, mut reader: impl Read, each: &mut dyn FnMut(f64) -> Result<()>) -> Result<()> {
        let npy = open(&mut reader).map_err(|problem| self.error(problem))?;
        if npy.order() == Order::Fortran && self.shape.len() > 1 {
            return Err(self.error("in Fortran's order; save it as numpy.ascontiguousarray gives it"));
        }
        let kind = npy.dtype().descr();
        macro_rules! values {
            ($type:ty) => {{
                let data = npy.data::<$type>().map_err(|error| self.error(error.to_string()))?;
                for value in data {
                    each(value.map_err(|error| self.error(error.to_string()))? as f64)?;
                }
            }};
        }
        match kind.trim_matches('\'').trim_start_matches(['<', '>', '|', '=']) {
            "u1" => values!(u8),
            "i1" => values!(i8),
            "u2" => values!(u16),
            "i2" => values!(i16),
            "u4" => values!(u32),
            "i4" => values!(i32),
            "u8" => values!(u64),
            "i8" => values!(i64),
            "f4" => values!(f32),
            "f8" => values!(f64),
            "b1" => {
                let data = npy.data::<bool>().map_err(|error| self.error(error.to_string()))?;
                for value in data {
                    each(f64::from(u8::from(value.map_err(|error| self.error(error.to_string()))?)))?;
                }
            }
            "O" => return Err(self.error("Python objects; save an array of numbers")),
            other => {
                return Err(self.error(format!("type {other}, expected whole numbers or float32 or float64")));
            }
        }
        // An archive compares its checksum at the end.
        match reader.read(&mut [0]).map_err(|error| self.error(error.to_string()))? {
            0 => Ok(()),
            _ => Err(self.error(format!("more bytes, expected the end after shape {:?}", self.shape))),
        }
    }

    /// Number of images, how one lies in the array, and its `[C, H, W]`.
    fn images(&self, size: Option<[usize; 2]>) -> Result<(usize, Lie, [usize; 3])> {
        let found = match *self.shape.as_slice() {
            [count, height, width, channels @ (1 | 3)] => {
                Some((count, Lie::ChannelsLast, [channels, height, width]))
            }
            [count, channels @ (1 | 3), height, width] => {
                Some((count, Lie::ChannelsFirst, [channels, height, width]))
            }
            [count, height, width] => Some((count, Lie::ChannelsFirst, [1, height, width])),
            [count, values] => {
                let [height, width] = size.unwrap_or([values.isqrt(); 2]);
                (height * width == values).then_some((count, Lie::ChannelsFirst, [1, height, width]))
            }
            _ => None,
        };
        found.filter(|(_, _, shape)| shape.iter().all(|length| (1..=4096).contains(length))).ok_or_else(
            || {
                let expected =
                    "expected [N, H, W], [N, H, W, C], [N, C, H, W] with 1 or 3 channels, or [N, H x W]";
                self.error(format!("shape {:?}, {expected}; --size says how rows of values lie", self.shape))
            },
        )
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Lie {
    ChannelsFirst,
    ChannelsLast,
}

/// Gives all images of all splits.
///
/// # Errors
/// What is wrong with an array.
pub(crate) fn read(splits: &[Split], form: &Form, each: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
    let mut range = Range::default();
    for split in splits {
        split.images.images(form.size)?;
        split.images.each(&mut |value| {
            range.add(value);
            Ok(())
        })?;
    }
    let Some(first) = splits.first() else { return Ok(()) };
    let scale = Scale::choose(Path::new(&first.images.place()), range, form.white)?;
    for split in splits {
        let (count, lie, shape) = split.images.images(form.size)?;
        // Before they are read: there may be any number of them.
        let found = split.labels.shape.first().copied().unwrap_or(0);
        if found != count {
            return Err(split.labels.error(format!("{found} labels, expected {count}, one for each image")));
        }
        let labels = labels(&split.labels)?;
        let mut pixels = Vec::with_capacity(shape.iter().product());
        let mut labels = labels.iter().enumerate();
        split.images.each(&mut |value| {
            pixels.push(scale.pixel(value));
            if pixels.len() < shape.iter().product() {
                return Ok(());
            }
            let whole = planes(lie, shape, std::mem::take(&mut pixels));
            let (shape, pixels) =
                if form.transpose { super::transposed(shape, &whole) } else { (shape, whole) };
            let Some((index, label)) = labels.next() else { return Ok(()) };
            each(Item {
                part: split.part,
                label: label.to_string(),
                origin: format!("{}[{index}]", split.images.place()),
                content: Content::Pixels { shape, pixels },
                is_surely_image: true,
            })
        })?;
    }
    Ok(())
}

fn planes(lie: Lie, [channels, height, width]: [usize; 3], pixels: Vec<u8>) -> Vec<u8> {
    if lie == Lie::ChannelsFirst || channels == 1 {
        return pixels;
    }
    (0..channels)
        .flat_map(|c| (0..height * width).map(move |at| (c, at)))
        .map(|(c, at)| pixels[at * channels + c])
        .collect()
}

/// One number for each image, or where the one is in a row of zeros.
fn labels(array: &Array) -> Result<Vec<i64>> {
    let columns = match *array.shape.as_slice() {
        [_] => 1,
        [_, columns @ 1..=256] => columns,
        _ => return Err(array.error(format!("shape {:?}, expected [N] labels", array.shape))),
    };
    let mut values: Vec<f64> = Vec::new();
    array.each(&mut |value| {
        values.push(value);
        Ok(())
    })?;
    let whole = |value: f64| is_exact(value).then_some(value as i64);
    let label = |(index, row): (usize, &[f64])| {
        let label = match row {
            [value] => whole(*value),
            _ => {
                let one = row.iter().position(|&value| value == 1.0);
                let is_one_hot = row.iter().filter(|&&value| value != 0.0).count() == 1;
                one.filter(|_| is_one_hot).map(|place| place as i64)
            }
        };
        label.ok_or_else(|| {
            array.error(format!(
                "label {index}: {row:?}, expected a whole number below 2^53, or a 1 among zeros"
            ))
        })
    };
    values.chunks_exact(columns).enumerate().map(label).collect()
}

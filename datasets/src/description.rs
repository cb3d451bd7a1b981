//! `dataset.yaml`, and reading the samples it describes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Digest, Dtype, Error, Idx, Preprocessing, Result, yaml};

/// What a dataset is: the content of its `dataset.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Short name, the name of its folder.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Licence of the data.
    pub licence: String,
    /// Where the data was first published.
    pub source: String,
    /// Folders on public servers that hold the files under the same names.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Class names; label `k` means `classes[k]`.
    pub classes: Vec<String>,
    /// Shape of every image.
    pub image: ImageShape,
    /// How a foreign image is brought into the form of this dataset.
    pub preprocessing: Preprocessing,
    /// Mean and standard deviation of the training split, per channel, for pixels in `[0, 1]`.
    pub normalisation: Normalisation,
    /// The training split.
    pub train: SplitFiles,
    /// The test split: read to report, never to choose.
    pub test: SplitFiles,
    /// How many of the training images, the last ones, are the validation split that the data came with.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub validation: usize,
}

/// Shape of one image, `[C, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// 1 for grey, 3 for RGB.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// `serde` asks by reference.
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl ImageShape {
    /// Values in one image.
    pub fn numel(&self) -> usize {
        self.channels * self.height * self.width
    }
}

/// Per-channel statistics for pixels in `[0, 1]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Means, one per channel.
    pub mean: Vec<f64>,
    /// Standard deviations, one per channel, above zero.
    pub std: Vec<f64>,
}

/// The two files of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitFiles {
    /// `uint8` images, `[N, H, W]` or `[N, C, H, W]`.
    pub images: FileEntry,
    /// `uint8` labels, `[N]`.
    pub labels: FileEntry,
}

/// A file of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Name inside the dataset's folder.
    pub file: String,
    /// sha256 of the decompressed bytes.
    pub sha256: Digest,
}

/// Which part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// For fitting and for choosing.
    Train,
    /// For the final report only.
    Test,
}

/// Images and labels of one split.
#[derive(Debug, Clone)]
pub struct Samples {
    /// Shape of every image.
    pub shape: ImageShape,
    /// Pixels, `[N, C, H, W]`, row-major.
    pub images: Vec<u8>,
    /// Class indices, `[N]`.
    pub labels: Vec<u8>,
    /// How many of them, the last ones, are the validation split that the data came with.
    pub validation: usize,
}

impl Samples {
    /// The images at some indices.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn select(&self, indices: &[usize]) -> Samples {
        let images = indices.iter().flat_map(|&index| self.image(index)).copied().collect();
        Samples {
            shape: self.shape,
            images,
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            validation: 0,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Pixels of image `index`, `[C, H, W]`.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.shape.numel();
        &self.images[index * size..][..size]
    }
}

/// A dataset's folder and its description.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The folder.
    pub dir: PathBuf,
    /// The content of `dataset.yaml`.
    pub description: Description,
}

/// What [`is_plain_name`] takes.
pub const PLAIN_NAME: &str = "letters, digits, `-` and `_`";

/// Whether the name of a dataset can be a folder's anywhere.
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

impl Dataset {
    /// Opens `<root>/<name>`.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such dataset, [`Error::Invalid`] if it has another name than its folder, else as for
    /// [`Dataset::open`].
    pub fn find(root: &Path, name: &str) -> Result<Dataset> {
        if !is_plain_name(name) {
            return Err(Error::invalid(root, "dataset name", format!("`{name}`"), PLAIN_NAME));
        }
        let dataset = Dataset::open(&root.join(name))?;
        // What is made from it names it, and could not find it again.
        if dataset.description.name != name {
            let (found, path) = (format!("`{}`", dataset.description.name), dataset.dir.join("dataset.yaml"));
            return Err(Error::invalid(&path, "name", found, format!("`{name}`, as its folder is called")));
        }
        Ok(dataset)
    }

    /// Reads and checks the description in a folder; the data files are not touched.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Yaml`], or [`Error::Invalid`] naming the field.
    pub fn open(dir: &Path) -> Result<Dataset> {
        let path = dir.join("dataset.yaml");
        if !path.is_file() {
            return Err(Error::Missing { path, expected: "the description of a dataset".into() });
        }
        let description: Description = yaml::read(&path)?;
        description.check(&path)?;
        Ok(Dataset { dir: dir.to_owned(), description })
    }

    /// Reads one split and checks hashes, shapes, counts and label range.
    ///
    /// # Errors
    /// [`Error::Missing`] for an absent file, [`Error::Invalid`] for wrong content.
    pub fn load(&self, split: Split) -> Result<Samples> {
        let files = self.description.files(split);
        let (images_path, images) = self.read_file(&files.images)?;
        let (labels_path, labels) = self.read_file(&files.labels)?;
        let mut samples = self.description.samples(images, &images_path, labels, &labels_path)?;
        if split == Split::Train {
            let (own, all) = (self.description.validation, samples.len());
            if own > 0 && own >= all {
                let path = self.dir.join("dataset.yaml");
                return Err(Error::invalid(
                    &path,
                    "validation",
                    own,
                    format!("fewer than the {all} training images"),
                ));
            }
            samples.validation = own;
        }
        Ok(samples)
    }

    /// Every file of the dataset: training images, training labels, test images, test labels.
    pub fn files(&self) -> [&FileEntry; 4] {
        let Description { train, test, .. } = &self.description;
        [&train.images, &train.labels, &test.images, &test.labels]
    }

    fn read_file(&self, entry: &FileEntry) -> Result<(PathBuf, Idx)> {
        let path = self.dir.join(&entry.file);
        let idx = Idx::read(&path)?;
        if idx.sha256 != entry.sha256 {
            return Err(Error::invalid(&path, "sha256 of the decompressed bytes", idx.sha256, entry.sha256));
        }
        Ok((path, idx))
    }
}

impl Description {
    /// The files of a split.
    pub fn files(&self, split: Split) -> &SplitFiles {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }

    /// Names everything that training takes from a dataset: images, labels, their validation split, normalisation.
    pub fn training_sha256(&self) -> Digest {
        let SplitFiles { images, labels } = &self.train;
        let Normalisation { mean, std } = &self.normalisation;
        let text = format!("{} {} {} {mean:?} {std:?}", images.sha256, labels.sha256, self.validation);
        Digest::of(text.as_bytes())
    }

    /// Checks what the types cannot say.
    fn check(&self, path: &Path) -> Result<()> {
        if !is_plain_name(&self.name) {
            return Err(Error::invalid(path, "name", format!("`{}`", self.name), PLAIN_NAME));
        }
        let ImageShape { channels, height, width } = self.image;
        if !matches!(channels, 1 | 3) || !(1..=4096).contains(&height) || !(1..=4096).contains(&width) {
            let found = format!("{channels}x{height}x{width}");
            return Err(Error::invalid(path, "image", found, "1 or 3 channels, 1 to 4096 rows and columns"));
        }
        if let Err((field, found, expected)) = self.preprocessing.check(channels) {
            return Err(Error::invalid(path, format!("preprocessing{field}"), found, &expected));
        }
        if !(2..=256).contains(&self.classes.len()) {
            return Err(Error::invalid(path, "classes", self.classes.len(), "2 to 256 names"));
        }
        let mut names = HashSet::new();
        if let Some(name) = self.classes.iter().find(|name| name.trim().is_empty() || !names.insert(*name)) {
            return Err(Error::invalid(path, "classes", format!("{name:?}"), "names, each once"));
        }
        for (field, values, minimum) in [
            ("normalisation.mean", &self.normalisation.mean, f64::MIN),
            ("normalisation.std", &self.normalisation.std, 1e-6),
        ] {
            if values.len() != channels || !values.iter().all(|v| v.is_finite() && *v >= minimum) {
                let expected =
                    format!("{channels} finite numbers{}", if minimum > 0.0 { " above zero" } else { "" });
                return Err(Error::invalid(path, field, format!("{values:?}"), expected));
            }
        }
        for (index, entry) in [&self.train.images, &self.train.labels, &self.test.images, &self.test.labels]
            .into_iter()
            .enumerate()
        {
            if entry.file.is_empty() || entry.file.starts_with('.') || entry.file.contains(['/', '\\']) {
                return Err(Error::invalid(
                    path,
                    format!("file {index}"),
                    format!("`{}`", entry.file),
                    "a plain file name",
                ));
            }
        }
        Ok(())
    }

    /// Pairs images with labels after checking both against the description.
    fn samples(&self, images: Idx, images_path: &Path, labels: Idx, labels_path: &Path) -> Result<Samples> {
        let ImageShape { channels, height, width } = self.image;
        let count = images.shape.first().copied().unwrap_or(0);
        let with_channels = [count, channels, height, width];
        let grey = [count, height, width];
        if images.shape != with_channels && !(channels == 1 && images.shape == grey) {
            let expected = format!("[N, {channels}, {height}, {width}] as described");
            return Err(Error::invalid(images_path, "image shape", format!("{:?}", images.shape), expected));
        }
        for (path, idx) in [(images_path, &images), (labels_path, &labels)] {
            if idx.dtype != Dtype::U8 {
                return Err(Error::invalid(path, "element type", idx.dtype, Dtype::U8));
            }
        }
        if labels.shape != [count] {
            let expected = format!("[{count}], one for each image in {}", images_path.display());
            return Err(Error::invalid(labels_path, "label shape", format!("{:?}", labels.shape), expected));
        }
        let classes = self.classes.len();
        if let Some(index) = labels.data.iter().position(|&label| usize::from(label) >= classes) {
            let found = labels.data[index];
            return Err(Error::invalid(
                labels_path,
                format!("labels[{index}]"),
                found,
                format!("0 to {}", classes - 1),
            ));
        }
        Ok(Samples { shape: self.image, images: images.data, labels: labels.data, validation: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(name: &str) -> Dataset {
        Dataset::find(Path::new(env!("CARGO_MANIFEST_DIR")), name).unwrap()
    }

    #[test]
    fn shipped_datasets_load_and_match_their_statistics() {
        for name in ["mnist", "fashion-mnist"] {
            let dataset = shipped(name);
            let train = dataset.load(Split::Train).unwrap();
            assert_eq!((train.len(), dataset.load(Split::Test).unwrap().len()), (60_000, 10_000));
            let count = train.images.len() as f64;
            let mean = train.images.iter().map(|&p| f64::from(p)).sum::<f64>() / count;
            let square = train.images.iter().map(|&p| f64::from(p).powi(2)).sum::<f64>() / count;
            let std = (square - mean * mean).sqrt();
            let stated = &dataset.description.normalisation;
            assert!((stated.mean[0] - mean / 255.0).abs() < 1e-9, "{name}: mean {}", mean / 255.0);
            assert!((stated.std[0] - std / 255.0).abs() < 1e-9, "{name}: std {}", std / 255.0);
        }
    }

    fn idx(shape: &[usize], data: Vec<u8>) -> Idx {
        Idx::new_u8(shape, data).unwrap()
    }

    #[test]
    fn mismatched_images_and_labels_are_refused() {
        let description = shipped("mnist").description;
        let check = |images, labels| {
            description
                .samples(images, Path::new("images"), labels, Path::new("labels"))
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        let good = || idx(&[2, 28, 28], vec![0; 2 * 784]);
        assert_eq!(check(good(), idx(&[2], vec![0, 9])), Ok(()));
        let wrong = check(good(), idx(&[3], vec![0; 3])).unwrap_err();
        assert!(wrong.contains("labels: label shape: found [3], expected [2]"), "{wrong}");
        let wrong = check(good(), idx(&[2], vec![3, 10])).unwrap_err();
        assert!(wrong.contains("labels[1]: found 10, expected 0 to 9"), "{wrong}");
        let wrong = check(idx(&[2, 28, 27], vec![0; 2 * 756]), idx(&[2], vec![0; 2])).unwrap_err();
        assert!(wrong.contains("image shape"), "{wrong}");
    }

    #[test]
    fn dataset_names_cannot_leave_the_root() {
        for name in ["", "..", "../mnist", "a/b", "a\\b"] {
            assert!(Dataset::find(Path::new("."), name).is_err(), "{name}");
        }
    }
}

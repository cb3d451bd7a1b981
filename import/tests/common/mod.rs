//! Sources for tests.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use datasets::{Dataset, Preprocessing, Procedure, Samples, Split};
use image::{GrayImage, Luma};
use import::{Imported, Request};

/// A folder that is gone after the test.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Images of a class; no two of different seeds are equal or nearly so.
    pub(crate) fn images(&self, folder: &str, count: u32, seed: u32) {
        for index in 0..count {
            self.write(&format!("{folder}/{index}.png"), png(seed * 1000 + index));
        }
    }

    pub(crate) fn import(&self, source: &str, change: impl FnOnce(&mut Request)) -> Result<Imported, String> {
        let mut request = request(&self.path(source));
        change(&mut request);
        import::import(&request, &self.path("datasets"), &|_, _| {}).map_err(|error| error.to_string())
    }

    pub(crate) fn load(&self) -> (Samples, Samples, Dataset) {
        let dataset = Dataset::open(&self.path("datasets/x")).unwrap();
        (dataset.load(Split::Train).unwrap(), dataset.load(Split::Test).unwrap(), dataset)
    }
}

pub(crate) fn request(source: &Path) -> Request {
    Request {
        source: source.to_owned(),
        name: "x".into(),
        title: "x".into(),
        licence: "unknown".into(),
        origin: "unknown".into(),
        preprocessing: Preprocessing::Procedure(Procedure::Resize),
        size: None,
        channels: None,
        class_level: None,
        test_share: None,
        fold: None,
        seed: None,
        group_by: None,
        skip_unreadable: false,
        exclude: None,
        relabel: None,
        white: None,
        label_column: None,
        images: None,
        labels: None,
        test: None,
        test_labels: None,
        classes: Vec::new(),
        transpose: false,
    }
}

/// Noise of blocks, so that neither hashes nor pixels of two are alike.
pub(crate) fn picture(seed: u32) -> GrayImage {
    let hash = |x: u32, y: u32| {
        let mut value =
            seed.wrapping_mul(0x9e37_79b9) ^ x.wrapping_mul(0x85eb_ca6b) ^ y.wrapping_mul(0xc2b2_ae35);
        value ^= value >> 15;
        value = value.wrapping_mul(0x2c1b_3c6d);
        value ^= value >> 12;
        value = value.wrapping_mul(0x297a_2d39);
        (value >> 24) as u8
    };
    GrayImage::from_fn(12, 12, |x, y| Luma([hash(x / 2, y / 2)]))
}

pub(crate) fn png(seed: u32) -> Vec<u8> {
    encoded(seed, image::ImageFormat::Png)
}

pub(crate) fn encoded(seed: u32, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    // Not every form has grey images.
    image::DynamicImage::from(picture(seed)).into_rgb8().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Train, validation and test images of each class.
pub(crate) fn counts(imported: &Imported) -> Vec<(String, usize, usize, usize)> {
    imported.classes.iter().map(|c| (c.name.clone(), c.train, c.validation, c.test)).collect()
}

pub(crate) fn expect(counts: &[(&str, usize, usize, usize)]) -> Vec<(String, usize, usize, usize)> {
    counts.iter().map(|(name, a, b, c)| ((*name).to_owned(), *a, *b, *c)).collect()
}

pub(crate) fn idx(code: u8, shape: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, code, shape.len() as u8];
    shape.iter().for_each(|length| bytes.extend(length.to_be_bytes()));
    bytes.extend(data);
    bytes
}

/// `count` pictures of 12x12.
pub(crate) fn pixels(count: u32, seed: u32) -> Vec<u8> {
    (0..count).flat_map(|index| picture(seed * 1000 + index).into_raw()).collect()
}

pub(crate) fn rows(count: u32, seed: u32, separator: &str, value: impl Fn(u8) -> String) -> String {
    let row = |index: u32| {
        let values: Vec<String> = picture(seed * 1000 + index).into_raw().into_iter().map(&value).collect();
        format!("{}{separator}{}\n", if index.is_multiple_of(2) { "a" } else { "b" }, values.join(separator))
    };
    (0..count).map(row).collect()
}

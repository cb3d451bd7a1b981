//! Writing a dataset: four IDX files, a table of their images, and their description.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use datasets::{Description, FileEntry, ImageShape, Normalisation, SplitFiles};

use crate::error::{Error, Result};
use crate::item::Part;
use crate::pipeline::Record;
use crate::request::Request;
use crate::spool::Spool;

/// The table of all images.
const TABLE: &str = "images.csv";

/// What becomes a dataset.
pub(crate) struct Made<'a> {
    pub(crate) shape: ImageShape,
    pub(crate) classes: &'a [String],
    pub(crate) records: &'a [Record],
    pub(crate) spool: &'a Spool,
}

/// What was written.
pub(crate) struct Written {
    pub(crate) description: Description,
    /// The table of all images.
    pub(crate) images: FileEntry,
}

impl Made<'_> {
    fn of(&self, parts: &[Part]) -> Vec<&Record> {
        let of_part = |&part: &Part| self.records.iter().filter(move |record| record.part == part);
        parts.iter().flat_map(of_part).collect()
    }

    /// Writes the files into the folder `dir`, reads them back as training will, and says what they are.
    ///
    /// # Errors
    /// If a channel never varies, or the disk is full.
    pub(crate) fn write(&self, dir: &Path, request: &Request) -> Result<Written> {
        let train = self.of(&[Part::Train, Part::Validation]);
        let validation = self.of(&[Part::Validation]).len();
        let test = self.of(&[Part::Test]);
        let mut statistics = Statistics::new(self.shape);
        let train_files = self.write_split(dir, "train", &train, |index, pixels| {
            if index < train.len() - validation {
                statistics.add(pixels);
            }
        })?;
        let test_files = self.write_split(dir, "test", &test, |_, _| {})?;
        let normalisation = statistics.normalisation().ok_or_else(|| {
            let problem = "a channel has the same value in every pixel of every image; nothing to learn from";
            Error::new(&request.source, problem)
        })?;
        let description = Description {
            name: request.name.clone(),
            title: request.title.clone(),
            licence: request.licence.clone(),
            source: request.origin.clone(),
            mirrors: Vec::new(),
            classes: self.classes.to_vec(),
            image: self.shape,
            preprocessing: request.preprocessing.clone(),
            normalisation,
            train: train_files,
            test: test_files,
            validation,
        };
        zoo::write_atomic(&dir.join("dataset.yaml"), datasets::yaml::to_string(&description)?.as_bytes())?;
        datasets::Dataset::open(dir)?;
        let images = self.write_table(dir, [&train, &test])?;
        Ok(Written { description, images })
    }

    /// Where every image is from.
    fn write_table(&self, dir: &Path, splits: [&[&Record]; 2]) -> Result<FileEntry> {
        let path = dir.join(TABLE);
        let file = File::create_new(&path).map_err(Error::io(&path))?;
        let mut table = csv::Writer::from_writer(Hashing { file, hasher: datasets::Hasher::default() });
        let failed = |error: csv::Error| Error::new(&path, error.to_string());
        table.write_record(["split", "index", "class", "sha256", "origin"]).map_err(failed)?;
        for records in splits {
            for (index, record) in records.iter().enumerate() {
                let split = match record.part {
                    Part::Validation => "validation",
                    Part::Test => "test",
                    Part::Train | Part::All => "train",
                };
                let (index, digest) = (index.to_string(), record.digest.to_string());
                let class = &self.classes[record.label as usize];
                table.write_record([split, &index, class, &digest, &*record.origin]).map_err(failed)?;
            }
        }
        let Hashing { file, hasher } =
            table.into_inner().map_err(|error| Error::new(&path, error.to_string()))?;
        file.sync_all().map_err(Error::io(&path))?;
        Ok(FileEntry { file: TABLE.into(), sha256: hasher.digest() })
    }

    fn write_split(
        &self,
        dir: &Path,
        name: &str,
        records: &[&Record],
        mut each: impl FnMut(usize, &[u8]),
    ) -> Result<SplitFiles> {
        let ImageShape { channels, height, width } = self.shape;
        let mut images = IdxFile::create(dir, name, "images", &[records.len(), channels, height, width])?;
        let mut labels = IdxFile::create(dir, name, "labels", &[records.len()])?;
        for (index, record) in records.iter().enumerate() {
            let pixels = self.spool.read(record.stored)?;
            each(index, &pixels);
            images.write(&pixels)?;
            labels.write(&[record.label as u8])?;
        }
        Ok(SplitFiles { images: images.finish()?, labels: labels.finish()? })
    }
}

/// A file that is hashed while it is written.
struct Hashing {
    file: File,
    hasher: datasets::Hasher,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// An IDX file of bytes, written and hashed piece by piece.
struct IdxFile {
    name: String,
    path: std::path::PathBuf,
    writer: BufWriter<File>,
    hasher: datasets::Hasher,
}

impl IdxFile {
    fn create(dir: &Path, split: &str, kind: &str, shape: &[usize]) -> Result<IdxFile> {
        let name = format!("{split}-{kind}-idx{}-ubyte", shape.len());
        let path = dir.join(&name);
        let file = File::create_new(&path).map_err(Error::io(&path))?;
        let writer = BufWriter::with_capacity(1 << 18, file);
        let mut idx = IdxFile { name, path, writer, hasher: datasets::Hasher::default() };
        idx.write(&datasets::idx_header(shape)?)?;
        Ok(idx)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.writer.write_all(bytes).map_err(Error::io(&self.path))
    }

    fn finish(self) -> Result<FileEntry> {
        let file = self.writer.into_inner().map_err(|error| Error::io(&self.path)(error.into_error()))?;
        file.sync_all().map_err(Error::io(&self.path))?;
        Ok(FileEntry { file: self.name, sha256: self.hasher.digest() })
    }
}

/// Mean and standard deviation of every channel.
struct Statistics {
    shape: ImageShape,
    count: u64,
    /// Whole numbers, so that the order of the images does not matter.
    sums: Vec<[u64; 2]>,
}

impl Statistics {
    fn new(shape: ImageShape) -> Statistics {
        Statistics { shape, count: 0, sums: vec![[0; 2]; shape.channels] }
    }

    fn add(&mut self, pixels: &[u8]) {
        let plane = self.shape.height * self.shape.width;
        for (sums, values) in self.sums.iter_mut().zip(pixels.chunks_exact(plane)) {
            for &value in values {
                sums[0] += u64::from(value);
                sums[1] += u64::from(value) * u64::from(value);
            }
        }
        self.count += plane as u64;
    }

    /// `None` if a channel never varies.
    fn normalisation(&self) -> Option<Normalisation> {
        let count = self.count as f64;
        let of = |[sum, squares]: &[u64; 2]| {
            let mean = *sum as f64 / count;
            let deviation = (*squares as f64 / count - mean * mean).max(0.0).sqrt();
            (deviation / 255.0 >= 1e-6).then_some((mean / 255.0, deviation / 255.0))
        };
        let (mean, std) = self.sums.iter().map(of).collect::<Option<Vec<_>>>()?.into_iter().unzip();
        Some(Normalisation { mean, std })
    }
}

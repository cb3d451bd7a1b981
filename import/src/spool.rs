//! Pixels on disk while a dataset is made.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file of pixels, one image after another.
pub(crate) struct Spool {
    path: PathBuf,
    writer: BufWriter<File>,
    length: u64,
    /// Bytes that every image shall have.
    wanted: usize,
}

/// Where an image's pixels are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stored {
    at: u64,
    pub(crate) length: usize,
}

impl Spool {
    pub(crate) fn create(dir: &Path) -> Result<Spool> {
        let path = dir.join("pixels");
        let file =
            File::options().read(true).write(true).create_new(true).open(&path).map_err(Error::io(&path))?;
        Ok(Spool { path, writer: BufWriter::with_capacity(1 << 18, file), length: 0, wanted: 0 })
    }

    pub(crate) fn add(&mut self, pixels: &[u8]) -> Result<Stored> {
        let stored = Stored { at: self.length, length: pixels.len() };
        self.writer.write_all(pixels).map_err(Error::io(&self.path))?;
        self.length += pixels.len() as u64;
        Ok(stored)
    }

    /// Ends the writing; every image that is read shall have so many bytes.
    pub(crate) fn finish(mut self, wanted: usize) -> Result<Spool> {
        self.writer.flush().map_err(Error::io(&self.path))?;
        self.wanted = wanted;
        Ok(self)
    }

    /// The pixels of an image; of a grey one among coloured ones, three times the same plane.
    pub(crate) fn read(&self, stored: Stored) -> Result<Vec<u8>> {
        let mut file = self.writer.get_ref();
        let mut pixels = vec![0; stored.length];
        file.seek(SeekFrom::Start(stored.at)).map_err(Error::io(&self.path))?;
        file.read_exact(&mut pixels).map_err(Error::io(&self.path))?;
        if stored.length * 3 == self.wanted {
            pixels = pixels.repeat(3);
        }
        Ok(pixels)
    }
}

//! The library's reader of Parquet, with bounds: of memory, of depth, and against what a damaged file makes it do.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::schema::types::Type;
use terminal::catch_panic;

use crate::error::{Error, Result};

/// Most bytes of a page, which is read and unpacked as a whole: a hundred photos of some megabytes.
const MAX_PAGE: usize = 256 << 20;
/// Most bytes of the description at the end of a file, and levels of its columns.
const MAX_FOOTER: u32 = 1 << 20;
const MAX_DEPTH: usize = 32;
/// The library reads columns in columns by recursion: room for as many as the description can hold.
const STACK: usize = 1 << 30;

/// A file of which no more than a page is read at a time.
pub(super) struct Limited(File);

impl Length for Limited {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Limited {
    type T = <File as ChunkReader>::T;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match length > MAX_PAGE {
            true => Err(ParquetError::General(format!(
                "a page of {length} bytes, expected at most {MAX_PAGE}: write it with smaller groups of rows"
            ))),
            false => self.0.get_bytes(start, length),
        }
    }
}

/// Opens a file whose description is not larger than it may be.
///
/// # Errors
/// If it cannot be read, is no Parquet file, or its description is too long or its columns too deep.
pub(super) fn open(path: &Path) -> Result<SerializedFileReader<Limited>> {
    if let Some(what) = crate::source::lone(path)? {
        return Err(Error::new(path, what));
    }
    let mut file = crate::error::open(path)?;
    let mut end = [0; 8];
    let at = file.seek(SeekFrom::End(-8)).and_then(|_| file.read_exact(&mut end));
    let length = u32::from_le_bytes([end[0], end[1], end[2], end[3]]);
    if at.is_err() || &end[4..] != b"PAR1" {
        return Err(Error::new(path, "ends before its description: the file is not whole"));
    }
    if length > MAX_FOOTER {
        let problem = format!("a description of {length} bytes, expected at most {MAX_FOOTER}");
        return Err(Error::new(path, problem));
    }
    let read = || {
        let reader = guarded(path, || SerializedFileReader::new(Limited(file)))?;
        match depth(reader.metadata().file_metadata().schema()) > MAX_DEPTH {
            true => Err(Error::new(path, format!("columns of more than {MAX_DEPTH} levels"))),
            false => Ok(reader),
        }
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, read);
        let joined = thread.map_err(Error::io(path))?.join();
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Levels of columns in columns, as far as they matter.
fn depth(schema: &Type) -> usize {
    let mut level = vec![schema];
    let mut depth = 0;
    while !level.is_empty() && depth <= MAX_DEPTH {
        let inner = level.iter().filter(|field| field.is_group());
        level = inner.flat_map(|group| group.get_fields()).map(AsRef::as_ref).collect();
        depth += 1;
    }
    depth
}

/// What the library says of a file; a damaged one may make it panic.
pub(super) fn guarded<T>(path: &Path, read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    let outcome = catch_panic(read).map_err(|panic| Error::new(path, format!("damaged: {panic}")))?;
    outcome.map_err(|error| {
        let text = error.to_string();
        match text.contains("Disabled feature") {
            true => {
                let problem =
                    "compressed by gzip or brotli, which is not read here: write it with snappy or zstd";
                Error::new(path, problem)
            }
            false => Error::new(path, text),
        }
    })
}

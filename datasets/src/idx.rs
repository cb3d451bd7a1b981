//! The IDX format of the MNIST files (<http://yann.lecun.com/exdb/mnist/>, "the IDX file format").
//!
//! Two zero bytes, a type code, the rank, one big-endian `u32` per dimension,
//! then the elements in row-major order, big-endian.

use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::digest::HashingReader;
use crate::{Digest, Error, Result, files};

/// Files whose header declares more element bytes than this are refused.
pub const MAX_BYTES: u64 = 8 << 30;
/// How many times shorter than its content a gzipped file may be, beyond [`ALWAYS`]. Images reach 5 to 50; gzip
/// reaches 1000, with which a file of 8 MB would take all memory.
const MAX_COMPRESSION: u64 = 100;
/// Bytes of elements that any file may have: labels in order compress without limit.
const ALWAYS: u64 = 64 << 20;

/// Element types of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// Code 0x08.
    U8,
    /// Code 0x09.
    I8,
    /// Code 0x0B.
    I16,
    /// Code 0x0C.
    I32,
    /// Code 0x0D.
    F32,
    /// Code 0x0E.
    F64,
}

impl Dtype {
    fn from_code(code: u8) -> Option<Dtype> {
        Some(match code {
            0x08 => Dtype::U8,
            0x09 => Dtype::I8,
            0x0B => Dtype::I16,
            0x0C => Dtype::I32,
            0x0D => Dtype::F32,
            0x0E => Dtype::F64,
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub fn size(self) -> u64 {
        match self {
            Dtype::U8 | Dtype::I8 => 1,
            Dtype::I16 => 2,
            Dtype::I32 | Dtype::F32 => 4,
            Dtype::F64 => 8,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::U8 => "uint8",
            Dtype::I8 => "int8",
            Dtype::I16 => "int16",
            Dtype::I32 => "int32",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
        })
    }
}

/// One IDX file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first, e.g. `[60000, 28, 28]`.
    pub shape: Vec<usize>,
    /// The elements as they are in the file: row-major, big-endian.
    pub data: Vec<u8>,
    /// sha256 of the whole decompressed file.
    pub sha256: Digest,
}

impl Idx {
    /// Reads a file, gzipped (told by its first bytes, not its name) or plain.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Io`] for the file, [`Error::Invalid`] for its content.
    pub fn read(path: &Path) -> Result<Idx> {
        let (reader, length) = open(path)?;
        Idx::from_reader(reader, length, path)
    }

    /// Parses bytes, gzipped or plain; `path` is only for the error. Never panics.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field that is wrong.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Idx> {
        Idx::from_reader(bytes, bytes.len() as u64, path)
    }

    fn from_reader(mut reader: impl std::io::BufRead, length: u64, path: &Path) -> Result<Idx> {
        let start = reader.fill_buf().map_err(Error::io(path))?;
        if start.starts_with(&[0x1f, 0x8b]) {
            let most = length.saturating_mul(MAX_COMPRESSION).saturating_add(ALWAYS);
            Idx::from_plain(GzDecoder::new(reader), most.min(MAX_BYTES), path)
        } else {
            Idx::from_plain(reader, MAX_BYTES, path)
        }
    }

    /// Reads at most `most` bytes of elements.
    fn from_plain(reader: impl Read, most: u64, path: &Path) -> Result<Idx> {
        let mut reader = HashingReader::new(reader);
        let (dtype, dimensions, expected) = read_header(&mut reader, most, path)?;
        // One byte more than expected, to see a file that is too long. `read_to_end`
        // grows with what really arrives, so a lying header cannot exhaust memory.
        let mut data = Vec::new();
        read_all(reader.by_ref().take(expected + 1), &mut data, path)?;
        let found = data.len() as u64;
        if found != expected {
            let found = if found < expected { format!("{found} bytes") } else { "more bytes".into() };
            return Err(Error::invalid(
                path,
                "elements",
                found,
                format!("{expected} bytes for {dimensions:?} of {dtype}"),
            ));
        }
        let (sha256, _) = reader.finish();
        let shape = dimensions.iter().map(|&d| d as usize).collect();
        Ok(Idx { dtype, shape, data, sha256 })
    }

    /// Serialises to the plain format; `parse` gives the same value back.
    ///
    /// # Panics
    /// Never for a value that `parse` or [`Idx::new_u8`] made.
    pub fn to_bytes(&self) -> Vec<u8> {
        header(self.dtype, &self.shape).chain(self.data.iter().copied()).collect()
    }

    /// A `uint8` array.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the shape is empty, too large or does not match `data`.
    pub fn new_u8(shape: &[usize], data: Vec<u8>) -> Result<Idx> {
        let bytes: Vec<u8> = header(Dtype::U8, shape).chain(data).collect();
        Idx::parse(&bytes, Path::new("(memory)"))
    }
}

/// Type, dimensions, and bytes of elements, of which there are at most `most`.
fn read_header(mut reader: impl Read, most: u64, path: &Path) -> Result<(Dtype, Vec<u32>, u64)> {
    let reader = &mut reader;
    let [zero0, zero1, code, rank] = read_array(reader, path, "magic")?;
    if (zero0, zero1) != (0, 0) {
        let found = format!("0x{zero0:02x}{zero1:02x}{code:02x}{rank:02x}");
        return Err(Error::invalid(path, "magic", found, "two zero bytes, a type code and the rank"));
    }
    let dtype = Dtype::from_code(code).ok_or_else(|| {
        Error::invalid(
            path,
            "magic: type code",
            format!("0x{code:02x}"),
            "0x08, 0x09, 0x0b, 0x0c, 0x0d or 0x0e",
        )
    })?;
    if rank == 0 {
        return Err(Error::invalid(path, "magic: rank", 0, "1 to 255"));
    }
    let mut dimensions = Vec::with_capacity(rank.into());
    for index in 0..rank {
        let field = format!("dimension {index}");
        dimensions.push(u32::from_be_bytes(read_array(reader, path, &field)?));
    }
    let expected = byte_length(&dimensions, dtype).filter(|&bytes| bytes <= most).ok_or_else(|| {
        let found = format!("{dimensions:?} of {dtype}");
        Error::invalid(path, "dimensions", found, format!("at most {most} bytes of elements in this file"))
    })?;
    Ok((dtype, dimensions, expected))
}

fn open(path: &Path) -> Result<(BufReader<std::fs::File>, u64)> {
    let file = files::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            Error::Missing { path: path.to_owned(), expected: "an IDX file".into() }
        }
        _ => Error::Io { path: path.to_owned(), source },
    })?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    Ok((BufReader::with_capacity(1 << 16, file), length))
}

/// An IDX file whose elements are read piece by piece.
pub struct IdxReader {
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    reader: Box<dyn Read>,
    path: std::path::PathBuf,
}

impl IdxReader {
    /// Opens a file, gzipped or plain, and reads what it has.
    ///
    /// # Errors
    /// As for [`Idx::read`].
    pub fn open(path: &Path) -> Result<IdxReader> {
        use std::io::BufRead;
        let (mut reader, length) = open(path)?;
        let packed = reader.fill_buf().map_err(Error::io(path))?.starts_with(&[0x1f, 0x8b]);
        let most =
            if packed { length.saturating_mul(MAX_COMPRESSION).saturating_add(ALWAYS) } else { u64::MAX };
        let mut reader: Box<dyn Read> =
            if packed { Box::new(BufReader::new(GzDecoder::new(reader))) } else { Box::new(reader) };
        let (dtype, dimensions, _) = read_header(&mut reader, most, path)?;
        let shape = dimensions.iter().map(|&d| d as usize).collect();
        Ok(IdxReader { dtype, shape, reader, path: path.to_owned() })
    }

    /// The next `count` elements, big-endian.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the file ends before.
    pub fn next(&mut self, count: usize) -> Result<Vec<u8>> {
        let bytes = count as u64 * self.dtype.size();
        let mut data = Vec::new();
        read_all((&mut self.reader).take(bytes), &mut data, &self.path)?;
        match data.len() as u64 == bytes {
            true => Ok(data),
            false => {
                let found = format!("the end of the file {} bytes before", bytes - data.len() as u64);
                Err(Error::invalid(
                    &self.path,
                    "elements",
                    found,
                    format!("{:?} of {}", self.shape, self.dtype),
                ))
            }
        }
    }

    /// That the file ends after the last element; a compressed one's checksum is compared there.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it goes on, [`Error::Io`] if it is damaged.
    pub fn finish(mut self) -> Result<()> {
        let mut data = Vec::new();
        read_all((&mut self.reader).take(1), &mut data, &self.path)?;
        match data.is_empty() {
            true => Ok(()),
            false => {
                let expected = format!("the end after {:?} of {}", self.shape, self.dtype);
                Err(Error::invalid(&self.path, "elements", "more bytes", expected))
            }
        }
    }
}

/// How an IDX file of bytes begins.
///
/// # Errors
/// [`Error::Invalid`] if a dimension does not fit into 32 bits.
pub fn idx_header(shape: &[usize]) -> Result<Vec<u8>> {
    match shape.iter().find(|&&length| u32::try_from(length).is_err()) {
        None => Ok(header(Dtype::U8, shape).collect()),
        Some(length) => Err(Error::invalid(Path::new("(memory)"), "dimensions", length, "at most 2^32 - 1")),
    }
}

fn header(dtype: Dtype, shape: &[usize]) -> impl Iterator<Item = u8> {
    let code = match dtype {
        Dtype::U8 => 0x08,
        Dtype::I8 => 0x09,
        Dtype::I16 => 0x0B,
        Dtype::I32 => 0x0C,
        Dtype::F32 => 0x0D,
        Dtype::F64 => 0x0E,
    };
    let dimensions = shape.iter().flat_map(|&d| u32::try_from(d).unwrap_or(u32::MAX).to_be_bytes());
    [0, 0, code, shape.len().min(255) as u8].into_iter().chain(dimensions.collect::<Vec<_>>())
}

fn byte_length(dimensions: &[u32], dtype: Dtype) -> Option<u64> {
    dimensions.iter().try_fold(dtype.size(), |product, &dimension| product.checked_mul(dimension.into()))
}

fn read_array<const N: usize>(reader: &mut impl Read, path: &Path, field: &str) -> Result<[u8; N]> {
    let mut bytes = Vec::with_capacity(N);
    read_all(reader.take(N as u64), &mut bytes, path)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| {
        Error::invalid(
            path,
            field,
            format!("the end of the file after {} bytes", bytes.len()),
            format!("{N} bytes"),
        )
    })
}

fn read_all(mut reader: impl Read, data: &mut Vec<u8>, path: &Path) -> Result<()> {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match reader.read_to_end(data) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof) => {
            Err(Error::invalid(path, "gzip stream", error, "an intact gzip stream"))
        }
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn parse(bytes: &[u8]) -> std::result::Result<Idx, String> {
        Idx::parse(bytes, Path::new("x.idx")).map_err(|e| e.to_string())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn reads_every_type_plain_and_gzipped() {
        for (code, dtype) in [
            (8, Dtype::U8),
            (9, Dtype::I8),
            (11, Dtype::I16),
            (12, Dtype::I32),
            (13, Dtype::F32),
            (14, Dtype::F64),
        ] {
            let mut bytes = vec![0, 0, code, 2, 0, 0, 0, 2, 0, 0, 0, 3];
            bytes.extend(0..6 * dtype.size() as u8);
            for input in [bytes.clone(), gzip(&bytes)] {
                let idx = parse(&input).unwrap();
                assert_eq!((idx.dtype, idx.shape.as_slice()), (dtype, &[2, 3][..]));
                assert_eq!(idx.sha256, Digest::of(&bytes));
                assert_eq!(idx.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn a_huge_declared_size_is_refused_before_allocation() {
        let bytes = [0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(parse(&bytes).unwrap_err().contains("dimensions"));
        // 4 GiB declared, nothing there: fails at once without reserving 4 GiB.
        assert!(parse(&[0, 0, 8, 1, 255, 255, 255, 255]).unwrap_err().contains("elements"));
    }

    #[test]
    fn what_a_small_file_decompresses_to_is_bounded() {
        let bomb = |megabytes: u32| {
            let header = [&[0, 0, 8, 1][..], &(megabytes << 20).to_be_bytes()].concat();
            gzip(&[header, vec![0; (megabytes as usize) << 20]].concat())
        };
        assert!(parse(&bomb(60)).is_ok());
        let message = parse(&bomb(120)).unwrap_err();
        assert!(message.contains("dimensions") && message.contains("in this file"), "{message}");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
            let _ = parse(&[&[0x1f, 0x8b][..], &bytes].concat());
            let _ = parse(&[&[0, 0, 8, 1][..], &bytes].concat());
        }

        #[test]
        fn round_trips(height in 0usize..5, width in 0usize..5, seed in any::<u8>()) {
            let data: Vec<u8> = (0..height * width).map(|i| seed.wrapping_mul(31).wrapping_add(i as u8)).collect();
            let idx = Idx::new_u8(&[height, width], data).unwrap();
            prop_assert_eq!(Idx::parse(&gzip(&idx.to_bytes()), Path::new("x")).unwrap(), idx);
        }
    }
}

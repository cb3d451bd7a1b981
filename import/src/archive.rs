//! What files of a source are in, and what the records of an archive say.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result, open};

/// What files are in.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Folder,
    Zip,
    Tar,
}

/// How gzip files begin.
pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How many entries a zip file says that it has (APPNOTE.TXT 4.3.16, its last record); 0 where that record does not say.
pub(crate) fn zip_entry_count(path: &Path) -> Result<usize> {
    let mut file = open(path)?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    // The record's 22 bytes and the longest comment.
    file.seek(SeekFrom::Start(length.saturating_sub(22 + 65_535))).map_err(Error::io(path))?;
    let mut end = Vec::new();
    file.take(22 + 65_535).read_to_end(&mut end).map_err(Error::io(path))?;
    // A comment may look like one; the record's own comment reaches the end.
    let is_record = |at: &usize| {
        let record = &end[*at..];
        let comment = usize::from(u16::from_le_bytes([record[20], record[21]]));
        record.starts_with(b"PK\x05\x06") && record.len() == 22 + comment
    };
    let places = || 0..(end.len() + 1).saturating_sub(22);
    let last = || places().rfind(|&at| end[at..].starts_with(b"PK\x05\x06"));
    let record = places().find(is_record).or_else(last).map(|at| &end[at..]);
    let count = record.map_or(0, |record| usize::from(u16::from_le_bytes([record[10], record[11]])));
    // So many stand for more, which another record says.
    Ok(if count == 0xffff { 0 } else { count })
}

/// What kind of archive a file is, by its first bytes; `None` for other files.
pub(crate) fn form_of(path: &Path) -> Result<Option<Form>> {
    let mut file = open(path)?;
    let mut start = Vec::new();
    file.by_ref().take(512).read_to_end(&mut start).map_err(Error::io(path))?;
    let others: [(&[u8], &str); 5] = [
        (b"Rar!", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"\xfd7zXZ", "an XZ file"),
        (b"BZh", "a bzip2 file"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    ];
    if let Some((_, what)) = others.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(Error::new(
            path,
            format!("{what}, which is not read here: unpack it, or make a zip or tar.gz"),
        ));
    }
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return Ok(Some(Form::Zip));
    }
    if start.get(257..262) == Some(b"ustar") {
        return Ok(Some(Form::Tar));
    }
    if start.starts_with(&GZIP) {
        // IDX files and tables are compressed too.
        file.rewind().map_err(Error::io(path))?;
        let mut inner = Vec::new();
        let inside = MultiGzDecoder::new(BufReader::new(file)).take(512).read_to_end(&mut inner);
        return Ok((inside.is_ok() && inner.get(257..262) == Some(b"ustar")).then_some(Form::Tar));
    }
    Ok(None)
}

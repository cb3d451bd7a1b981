//! Fetching missing files from public mirrors.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use crate::{Dataset, Error, FileEntry, Idx, Result};

/// Told about a download as it goes; binaries draw a bar from it.
pub trait Progress {
    /// A file begins; `total` bytes if the server says how many.
    fn start(&mut self, file: &str, total: Option<u64>);
    /// More bytes arrived.
    fn advance(&mut self, bytes: u64);
    /// The file is complete and verified.
    fn finish(&mut self);
}

/// Downloads every file of `dataset` that is not there, verifies it, then moves it into place.
///
/// A file that is there is never touched. Returns how many files were fetched.
///
/// # Errors
/// [`Error::Download`] says what each mirror answered.
pub fn download_missing(dataset: &Dataset, progress: &mut dyn Progress) -> Result<usize> {
    let mut fetched = 0;
    for entry in dataset.files() {
        if !dataset.dir.join(&entry.file).exists() {
            fetch(dataset, entry, progress)?;
            fetched += 1;
        }
    }
    Ok(fetched)
}

fn fetch(dataset: &Dataset, entry: &FileEntry, progress: &mut dyn Progress) -> Result<()> {
    let path = dataset.dir.join(&entry.file);
    let mut reasons = Vec::new();
    for mirror in &dataset.description.mirrors {
        match fetch_from(mirror, entry, &path, progress) {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(format!("{mirror}: {reason}")),
        }
    }
    if reasons.is_empty() {
        reasons.push("the description names no mirrors".into());
    }
    Err(Error::Download { path, reasons: reasons.join("; ") })
}

fn fetch_from(
    mirror: &str,
    entry: &FileEntry,
    path: &Path,
    progress: &mut dyn Progress,
) -> std::result::Result<(), String> {
    let url = format!("{}/{}", mirror.trim_end_matches('/'), entry.file);
    let mut response = ureq::get(&url).call().map_err(|e| e.to_string())?;
    let body = response.body_mut();
    progress.start(&entry.file, body.content_length());
    let mut reader = body.with_config().limit(crate::MAX_BYTES).reader();
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(|e| e.to_string())?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = reader.read(&mut buffer).map_err(|e| e.to_string())?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(|e| e.to_string())?;
        progress.advance(count as u64);
    }
    let found = Idx::read(file.path()).map_err(|e| e.to_string())?.sha256;
    if found != entry.sha256 {
        return Err(format!("sha256 of the decompressed bytes is {found}, expected {}", entry.sha256));
    }
    file.as_file().sync_all().map_err(|e| e.to_string())?;
    file.persist_noclobber(path).map_err(|e| e.to_string())?;
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| e.to_string())?;
    progress.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;
    use std::io::BufRead;
    use std::net::TcpListener;

    #[derive(Default)]
    struct Count(u64, usize);

    impl Progress for Count {
        fn start(&mut self, _: &str, _: Option<u64>) {}
        fn advance(&mut self, bytes: u64) {
            self.0 += bytes;
        }
        fn finish(&mut self) {
            self.1 += 1;
        }
    }

    /// A server that answers every path with `body`, on loopback.
    fn serve(body: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|l| !l.is_empty())) {}
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            }
        });
        format!("http://{address}")
    }

    fn dataset(dir: &Path, mirrors: Vec<String>, sha256: Digest) -> Dataset {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("mnist");
        let mut dataset = Dataset::open(&shipped).unwrap();
        dataset.dir = dir.to_owned();
        let description = &mut dataset.description;
        description.mirrors = mirrors;
        for split in [&mut description.train, &mut description.test] {
            split.images.sha256 = sha256;
            split.labels.sha256 = sha256;
        }
        dataset
    }

    #[test]
    fn the_second_mirror_serves_when_the_first_lies() {
        let good = Idx::new_u8(&[3], vec![1, 2, 3]).unwrap().to_bytes();
        let mirrors = vec![serve(b"not found, but 200".to_vec()), serve(good.clone())];
        let dir = tempfile::tempdir().unwrap();
        let dataset = dataset(dir.path(), mirrors, Digest::of(&good));
        let mut count = Count::default();
        assert_eq!(download_missing(&dataset, &mut count).unwrap(), 4);
        assert_eq!(count.1, 4);
        assert!(count.0 >= 4 * good.len() as u64);
        assert_eq!(std::fs::read(dir.path().join("t10k-labels-idx1-ubyte.gz")).unwrap(), good);
        assert_eq!(download_missing(&dataset, &mut count).unwrap(), 0);
    }

    #[test]
    fn a_file_with_the_wrong_hash_never_gets_into_place() {
        let dir = tempfile::tempdir().unwrap();
        let other = Idx::new_u8(&[1], vec![9]).unwrap().to_bytes();
        let dataset = dataset(dir.path(), vec![serve(other)], Digest::of(b"something else"));
        let error = download_missing(&dataset, &mut Count::default()).unwrap_err().to_string();
        assert!(error.contains("sha256") && error.contains("train-images"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

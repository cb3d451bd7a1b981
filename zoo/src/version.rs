//! One published version: its folder, its manifest, and whether its files are what it says.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use datasets::{Digest, files, yaml};

use crate::error::{Error, Result};
use crate::manifest::{FileRecord, MANIFEST, Manifest};

/// First bytes of a file that Git LFS has not fetched.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// A published version.
#[derive(Debug, Clone)]
pub struct VersionDir {
    /// `<zoo>/models/<name>/<version>`.
    pub path: PathBuf,
    /// Its checked manifest.
    pub manifest: Manifest,
    /// sha256 of the text that the manifest was read from.
    pub manifest_sha256: Digest,
}

/// How a file differs from what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It is not there.
    Missing,
    /// The manifest does not name it.
    Extra,
    /// It is longer or shorter than the published one, in bytes.
    Length {
        /// What the manifest says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Its content is not the published one.
    Changed {
        /// What the manifest says.
        expected: Digest,
        /// What is there.
        found: Digest,
    },
    /// Git LFS put a pointer in its place.
    LfsPointer,
    /// It cannot be read, or is not a regular file.
    Unreadable(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Missing => f.write_str("missing: the manifest names it"),
            Problem::Extra => f.write_str("extra: the manifest does not name it"),
            Problem::Length { expected, found } => write!(f, "changed: {found} bytes, expected {expected}"),
            Problem::Changed { expected, found } => {
                write!(f, "changed: sha256 {found}, expected {expected}")
            }
            Problem::LfsPointer => f.write_str("a Git LFS pointer, not the file; run `git lfs pull`"),
            Problem::Unreadable(why) => write!(f, "cannot be read: {why}"),
        }
    }
}

impl VersionDir {
    /// Reads and checks the manifest in a version's folder; other files are not touched.
    ///
    /// # Errors
    /// [`Error::NotFound`], a YAML error with its line, or [`Error::Manifest`] naming the field.
    pub fn open(path: &Path) -> Result<VersionDir> {
        let file = path.join(MANIFEST);
        if !file.exists() {
            return Err(Error::NotFound {
                path: file,
                hint: "expected the manifest of a published version".into(),
            });
        }
        let text = yaml::read_text(&file)?;
        let manifest: Manifest = yaml::parse(&text, &file)?;
        manifest.check(&file)?;
        Ok(VersionDir { path: path.to_owned(), manifest, manifest_sha256: Digest::of(text.as_bytes()) })
    }

    /// Reads a file and checks length and hash, so that nothing unverified is used.
    ///
    /// # Errors
    /// [`Error::Damaged`] says how it differs.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        if name == MANIFEST {
            let text = yaml::read_text(&path)?.into_bytes();
            let problem = "not the manifest that was opened".into();
            return if Digest::of(&text) == self.manifest_sha256 {
                Ok(text)
            } else {
                Err(Error::Damaged { path, problem })
            };
        }
        let unverified = self.open_unverified(name)?;
        let mut bytes = vec![0; unverified.length()];
        unverified.read(&mut bytes)?.verify(&bytes)?;
        Ok(bytes)
    }

    /// Opens a file and checks its length, but not its hash: that takes as long as loading a network, and
    /// can be done beside it. Nothing that is made of the bytes may be shown to anyone before
    /// [`ExpectedDigest::verify`] has said that they are the published ones.
    ///
    /// # Errors
    /// As for [`VersionDir::read`].
    pub fn open_unverified(&self, name: &str) -> Result<Unverified> {
        let path = self.path.join(name);
        let damaged = |problem: Problem| Error::Damaged { path: path.clone(), problem: problem.to_string() };
        let expected = self.manifest.files.get(name).ok_or_else(|| damaged(Problem::Extra))?;
        let content = open_file(&path, expected).map_err(damaged)?;
        let length =
            usize::try_from(expected.bytes).map_err(|_| damaged(Problem::Unreadable("too large".into())))?;
        let digest = ExpectedDigest { path, expected: expected.sha256 };
        Ok(Unverified { content: Box::new(content), length, digest })
    }

    /// Whether every file is as the manifest says.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the first that is not.
    pub fn check(&self) -> Result<()> {
        match self.problems()?.into_iter().next() {
            Some((file, problem)) => {
                Err(Error::Damaged { path: self.path.join(file), problem: problem.to_string() })
            }
            None => Ok(()),
        }
    }

    /// Every file that is not as the manifest says, by path.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be listed.
    pub fn problems(&self) -> Result<Vec<(String, Problem)>> {
        let mut problems = Vec::new();
        let present = list_files(&self.path)?;
        for (name, expected) in &self.manifest.files {
            if let Err(problem) = check_file(&self.path.join(name), expected) {
                problems.push((name.clone(), problem));
            }
        }
        let known = |name: &String| name == MANIFEST || self.manifest.files.contains_key(name);
        problems.extend(present.into_iter().filter(|name| !known(name)).map(|name| (name, Problem::Extra)));
        Ok(problems)
    }
}

/// A file of a version, open, of the published length.
pub struct Unverified {
    content: Box<dyn Read>,
    length: usize,
    digest: ExpectedDigest,
}

impl Unverified {
    /// Bytes of the file.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Reads it into as many bytes as it has.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it cannot be read, or has become shorter.
    pub fn read(mut self, bytes: &mut [u8]) -> Result<ExpectedDigest> {
        match fill(&mut self.content, bytes) {
            Ok(()) => Ok(self.digest),
            Err(problem) => Err(Error::Damaged { path: self.digest.path, problem: problem.to_string() }),
        }
    }
}

/// The hash that a file of a version must have.
#[derive(Debug)]
pub struct ExpectedDigest {
    path: PathBuf,
    expected: Digest,
}

impl ExpectedDigest {
    /// Whether these bytes of the file are the published ones.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn verify(&self, bytes: &[u8]) -> Result<()> {
        let found = Digest::of(bytes);
        if found == self.expected {
            return Ok(());
        }
        let problem = Problem::Changed { expected: self.expected, found };
        Err(Error::Damaged { path: self.path.clone(), problem: problem.to_string() })
    }
}

/// Reads until `bytes` are full.
fn fill(content: &mut impl Read, bytes: &mut [u8]) -> std::result::Result<(), Problem> {
    let expected = bytes.len() as u64;
    let mut found = 0;
    while let Some(rest) = bytes.get_mut(found..).filter(|rest| !rest.is_empty()) {
        match content.read(rest) {
            Ok(0) => return Err(Problem::Length { expected, found: found as u64 }),
            Ok(more) => found += more,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(unreadable(&e)),
        }
    }
    Ok(())
}

fn unreadable(error: &std::io::Error) -> Problem {
    match error.kind() {
        std::io::ErrorKind::NotFound => Problem::Missing,
        _ => Problem::Unreadable(error.to_string()),
    }
}

/// A file of the expected length, to be read as far as one byte beyond that.
fn open_file(path: &Path, expected: &FileRecord) -> std::result::Result<impl Read + use<>, Problem> {
    let mut file = files::open(path).map_err(|e| unreadable(&e))?;
    let bytes = file.metadata().map_err(|e| unreadable(&e))?.len();
    let mut start = Vec::new();
    (&mut file).take(LFS_POINTER.len() as u64).read_to_end(&mut start).map_err(|e| unreadable(&e))?;
    if start == LFS_POINTER {
        return Err(Problem::LfsPointer);
    }
    if bytes != expected.bytes {
        return Err(Problem::Length { expected: expected.bytes, found: bytes });
    }
    Ok(std::io::Cursor::new(start).chain(file).take(expected.bytes.saturating_add(1)))
}

/// Whether a file is what was expected.
fn check_file(path: &Path, expected: &FileRecord) -> std::result::Result<(), Problem> {
    let content = open_file(path, expected)?;
    let (sha256, bytes) = Digest::of_reader(content).map_err(|e| unreadable(&e))?;
    // It may have grown since.
    if bytes != expected.bytes {
        return Err(Problem::Length { expected: expected.bytes, found: bytes });
    }
    if sha256 != expected.sha256 {
        return Err(Problem::Changed { expected: expected.sha256, found: sha256 });
    }
    Ok(())
}

/// What file managers and network file systems leave in folders by themselves: it belongs to no version, and nothing
/// reads it.
fn is_litter(name: &str) -> bool {
    let names = [".DS_Store", ".directory", "@eaDir", "Thumbs.db", "__MACOSX", "desktop.ini"];
    names.contains(&name) || [".nfs", "._"].iter().any(|start| name.starts_with(start))
}

/// Paths of all files below `root`, with `/`, sorted, but for what systems leave there by themselves (`.DS_Store`).
///
/// # Errors
/// [`Error::Io`].
pub fn list_files(root: &Path) -> Result<BTreeSet<String>> {
    fn walk(dir: &Path, prefix: &str, files: &mut BTreeSet<String>) -> Result<()> {
        for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
            let entry = entry.map_err(Error::io(dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_litter(&name) {
                continue;
            }
            let name = format!("{prefix}{name}");
            if entry.file_type().map_err(Error::io(dir))?.is_dir() {
                walk(&entry.path(), &format!("{name}/"), files)?;
            } else {
                files.insert(name);
            }
        }
        Ok(())
    }
    let mut files = BTreeSet::new();
    walk(root, "", &mut files)?;
    Ok(files)
}

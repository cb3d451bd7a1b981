//! Reading the file that is to be adopted, with what it keeps beside itself.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use datasets::{Digest, files};
use prost::Message;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{ModelProto, TensorProto};
use zoo::MAX_FILE_BYTES;

use super::proto::{each_graph, tensors};
use crate::error::{Error, Result};

/// How the text begins that Git LFS leaves instead of a file that was not fetched.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// A model with all of its data inside.
pub(super) struct Original {
    pub(super) model: ModelProto,
    /// Of the file and its external data.
    pub(super) sha256: Digest,
    /// Names of the files of external data.
    pub(super) beside: Vec<String>,
}

impl Original {
    /// Reads a file and takes in its external data, which must lie in the file's folder.
    ///
    /// # Errors
    /// [`Error::Usage`] naming what is wrong with the file.
    pub(super) fn read(path: &Path) -> Result<Original> {
        let wrong = |problem: String| Error::Usage(format!("{}: {problem}", path.display()));
        let bytes = files::read(path, MAX_FILE_BYTES).map_err(Error::io(path))?;
        if bytes.starts_with(LFS_POINTER) {
            return Err(wrong("a pointer of Git LFS, not the file; `git lfs pull` fetches it".into()));
        }
        let mut model = ModelProto::decode(bytes.as_slice()).map_err(|error| {
            // The innermost reason; what is around it may be long.
            let error = error.to_string();
            let reason = error.rsplit(": ").next().unwrap_or_default();
            wrong(format!("not an ONNX file: {reason}; expected what torch.onnx.export or tf2onnx write"))
        })?;
        let mut external =
            External { folder: path.parent().unwrap_or(Path::new("")), read: BTreeMap::new(), total: 0 };
        let mut problem = None;
        if let Some(graph) = &mut model.graph {
            each_graph(graph, &mut |graph| {
                for tensor in tensors(graph) {
                    if problem.is_none()
                        && let Err(e) = external.take_in(tensor)
                    {
                        problem = Some(format!("constant {:?}: {e}", tensor.name));
                    }
                }
            });
        }
        if let Some(problem) = problem {
            return Err(wrong(problem));
        }
        let digests = external.read.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes)));
        let digests: Vec<(String, Digest)> = digests.collect();
        let sha256 = match digests.as_slice() {
            [] => Digest::of(&bytes),
            several => {
                // One hash for all: of "hash  name" lines, the file's own last.
                let mut lines: String =
                    several.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                lines += &format!("{}  {name}\n", Digest::of(&bytes));
                Digest::of(lines.as_bytes())
            }
        };
        Ok(Original { model, sha256, beside: digests.into_iter().map(|(name, _)| name).collect() })
    }
}

/// Files of data beside a model.
struct External<'a> {
    folder: &'a Path,
    read: BTreeMap<String, Vec<u8>>,
    total: u64,
}

impl External<'_> {
    fn take_in(&mut self, tensor: &mut TensorProto) -> std::result::Result<(), String> {
        if tensor.data_location != Some(DataLocation::External as i32) {
            return Ok(());
        }
        let entry =
            |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|e| e.value.clone());
        let name = entry("location").ok_or("external data without a location")?;
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => {
                text.parse::<usize>().map(Some).map_err(|_| format!("external data: {key} {text:?}"))
            }
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let bytes = self.file(&name)?;
        let end = length.map_or(Some(bytes.len()), |length| offset.checked_add(length));
        let part = end.and_then(|end| bytes.get(offset..end));
        let part = part.ok_or_else(|| {
            let length = length.map_or("all".into(), |length| length.to_string());
            format!("external data: {length} bytes from {offset} of {name:?}, which has {}", bytes.len())
        })?;
        tensor.raw_data = part.to_vec();
        tensor.data_location = None;
        tensor.external_data.clear();
        Ok(())
    }

    fn file(&mut self, name: &str) -> std::result::Result<&[u8], String> {
        let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !plain {
            return Err(format!("external data: {name:?}, expected a file in the folder of the model"));
        }
        if !self.read.contains_key(name) {
            let path = self.folder.join(name);
            // Not through a link: what lies outside of the folder is not the model's.
            let inside = path
                .canonicalize()
                .and_then(|full| Ok(full.starts_with(self.folder_or_here().canonicalize()?)));
            match inside {
                Ok(true) => {}
                Ok(false) => {
                    return Err(format!("external data: {name:?} leads out of the folder of the model"));
                }
                Err(error) => return Err(format!("external data: {name:?}: {error}")),
            }
            let left = MAX_FILE_BYTES.saturating_sub(self.total);
            let bytes = files::read(&path, left).map_err(|e| format!("external data: {name:?}: {e}"))?;
            self.total += bytes.len() as u64;
            self.read.insert(name.to_owned(), bytes);
        }
        Ok(self.read.get(name).map_or(&[], Vec::as_slice))
    }

    fn folder_or_here(&self) -> &Path {
        if self.folder.as_os_str().is_empty() { Path::new(".") } else { self.folder }
    }
}

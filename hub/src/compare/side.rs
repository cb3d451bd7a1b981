//! One of the two that are compared.

use std::collections::BTreeMap;
use std::path::Path;

use datasets::{Dataset, FileEntry, ImageShape, Split, SplitFiles, yaml};
use infer::{Outline, Session, outline};
use serde_json::Value;
use zoo::{MAX_FILE_BYTES, Manifest, Spec, Zoo};

use crate::error::{Error, Result};

/// A version, or a file in the form of one.
pub struct Side {
    /// `name@version`, or the file's path.
    pub name: String,
    /// The network.
    pub session: Session,
    /// Name of the dataset.
    pub dataset: String,
    pub(super) labels: Vec<String>,
    pub(super) shape: ImageShape,
    pub(super) outline: Outline,
    pub(super) recipe: Option<Value>,
    /// Data files and their hashes; not known of a file.
    pub(super) data: Option<BTreeMap<String, String>>,
    bytes: usize,
    /// Parameters, as the manifest says.
    parameters: Option<u64>,
}

impl Side {
    /// Opens a version of a zoo.
    ///
    /// # Errors
    /// If it is not there or damaged.
    pub fn version(zoo: &Zoo, spec: &Spec) -> Result<Side> {
        let version = zoo.version(spec)?;
        let manifest = &version.manifest;
        let onnx = version.read(zoo::ONNX)?;
        let path = version.path.join(zoo::ONNX);
        let recipe = match manifest.recipe_sha256() {
            Some(_) => {
                let text = String::from_utf8_lossy(&version.read("recipe.yaml")?).into_owned();
                Some(yaml::parse(&text, &version.path.join("recipe.yaml"))?)
            }
            None => None,
        };
        let session = Session::of_version(manifest, onnx.clone(), &path)?;
        let name = format!("{}@{}", manifest.name, manifest.version);
        let files = manifest.dataset.files.iter();
        Ok(Side {
            data: Some(files.map(|(name, digest)| (name.clone(), digest.to_string())).collect()),
            parameters: Some(manifest.network.parameters),
            recipe,
            ..Side::new(name, session, manifest, &onnx, &path)?
        })
    }

    /// Opens an ONNX file that takes and gives what a version does: raw pixels, and probabilities of the same classes.
    ///
    /// # Errors
    /// If it is none.
    pub fn file(path: &Path, like: &Manifest) -> Result<Side> {
        let onnx = datasets::files::read(path, MAX_FILE_BYTES).map_err(Error::io(path))?;
        let (shape, classes) = (like.image_shape(), like.labels.len());
        let onnx = bytes::Bytes::from(onnx);
        // The file of a version by the same kernels as the version; only others as adopted ones.
        let session = Session::load(onnx.clone(), shape, classes, path)
            .or_else(|_| Session::load_adopted(onnx.clone(), shape, classes, path))?;
        Side::new(path.display().to_string(), session, like, &onnx, path)
    }

    fn new(name: String, session: Session, manifest: &Manifest, onnx: &[u8], path: &Path) -> Result<Side> {
        let wrong = |problem: String| Error::Usage(format!("{}: {problem}", path.display()));
        Ok(Side {
            name,
            session,
            dataset: manifest.dataset.name.clone(),
            labels: manifest.labels.clone(),
            shape: manifest.image_shape(),
            outline: outline(onnx).map_err(wrong)?,
            recipe: None,
            data: None,
            bytes: onnx.len(),
            parameters: None,
        })
    }

    /// Whether a dataset has the test split that the version was measured by. Of a file it is not known.
    pub(super) fn is_of(&self, dataset: &Dataset) -> std::result::Result<(), String> {
        let Some(data) = &self.data else { return Ok(()) };
        let SplitFiles { images, labels } = &dataset.description.files(Split::Test);
        for FileEntry { file, sha256, .. } in [images, labels] {
            let expected = data.get(file).map_or("none", String::as_str);
            if *sha256.to_string() != *expected {
                return Err(format!("{file}: sha256 {sha256}, expected {expected}, of {}", self.name));
            }
        }
        Ok(())
    }

    /// Whether both answer the same question.
    ///
    /// # Errors
    /// [`Error::Usage`] if not.
    pub(super) fn fits(&self, other: &Side) -> Result<()> {
        let differ = |what: &str, one: String, two: String| {
            Err(Error::Usage(format!(
                "{} and {}: {what} {one} and {two}, expected the same",
                self.name, other.name
            )))
        };
        if self.dataset != other.dataset {
            return differ("datasets", self.dataset.clone(), other.dataset.clone());
        }
        if self.labels != other.labels {
            return differ("classes", format!("{:?}", self.labels), format!("{:?}", other.labels));
        }
        if self.shape != other.shape {
            return differ("images of", format!("{:?}", self.shape), format!("{:?}", other.shape));
        }
        Ok(())
    }

    /// Sizes that are known of both.
    pub(super) fn sizes(&self, other: &Side) -> [BTreeMap<String, String>; 2] {
        let of = |side: &Side| {
            [
                ("bytes of the network", Some(side.bytes as u64)),
                ("parameters", side.parameters),
                ("multiply-accumulates", Some(side.session.macs())),
            ]
        };
        let known =
            of(self).into_iter().zip(of(other)).filter_map(|((name, a), (_, b))| Some((name, a?, b?)));
        let (a, b) = known
            .map(|(name, a, b)| {
                let [a, b] = [a, b].map(zoo::grouped);
                ((name.to_owned(), a), (name.to_owned(), b))
            })
            .unzip();
        [a, b]
    }
}

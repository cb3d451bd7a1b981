//! From an image to an answer.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use image::DynamicImage;
use serde::Serialize;
use zoo::{Coverage, Manifest, Spec, VersionDir, Zoo};

use crate::built_in::built_in_model;
use crate::confidence::{self, Status};
use crate::error::{Error, Result};
use crate::preprocess::{Bounds, Prepared, prepare};
use crate::session::Session;

/// A model with everything needed to use it.
///
/// ```
/// # fn main() -> infer::Result<()> {
/// let predictor = infer::Predictor::built_in()?;
/// let black = image::DynamicImage::new_luma8(28, 28);
/// let prediction = predictor.predict(&black)?;
/// assert_eq!(prediction.classes.len(), 10);
/// # Ok(())
/// # }
/// ```
pub struct Predictor {
    session: Session,
    manifest: Manifest,
    source: Source,
}

/// Where a model came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A version's folder in a zoo.
    Zoo(PathBuf),
    /// Built into the program.
    BuiltIn,
}

/// A class and its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassProbability {
    /// Name of the class.
    pub label: String,
    /// In `[0, 1]`.
    pub probability: f32,
}

/// What a model says about an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// What the answer is worth.
    pub status: Status,
    /// The most probable class.
    pub label: String,
    /// All classes, the most probable first; of equals, the one that comes first in the manifest.
    pub classes: Vec<ClassProbability>,
    /// What the network saw, `[C, H, W]`.
    pub pixels: Vec<u8>,
    /// Where the objects are on the image, in reading order; empty for pixels that are an input already.
    pub objects: Vec<Bounds>,
}

impl Prediction {
    /// Labels of which the set holds the truth as often as `coverage` (for example 0.99) says, the most
    /// probable first; it may be empty.
    ///
    /// # Errors
    /// [`Error::Usage`] if the manifest does not promise that.
    pub fn set(&self, manifest: &Manifest, coverage: f64) -> Result<Vec<&str>> {
        let promise = promise(manifest, coverage)?;
        let inside = self.classes.iter().filter(|class| class.probability >= promise.threshold);
        Ok(inside.map(|class| class.label.as_str()).collect())
    }

    /// Whether [`Prediction::set`] can be asked for a coverage.
    ///
    /// # Errors
    /// As for [`Prediction::set`].
    pub fn check_coverage(manifest: &Manifest, coverage: f64) -> Result<()> {
        promise(manifest, coverage).map(|_| ())
    }
}

fn promise(manifest: &Manifest, coverage: f64) -> Result<&Coverage> {
    let refuse = |problem: String| Error::Usage(format!("{}@{}: {problem}", manifest.name, manifest.version));
    let Some(confidence) = &manifest.confidence else {
        return Err(refuse("this version promises no coverage".into()));
    };
    confidence::promise(confidence, coverage).ok_or_else(|| {
        let promised: Vec<String> = confidence.coverage.iter().map(|c| c.promised.to_string()).collect();
        refuse(format!("coverage {coverage}, expected one of {}", promised.join(", ")))
    })
}

/// A model whose manifest is read, but whose network is not loaded yet: images can be prepared for it
/// meanwhile.
pub struct Opening(Place);

enum Place {
    Zoo(Box<VersionDir>),
    BuiltIn(Box<Manifest>, &'static [u8]),
}

impl Opening {
    /// Finds `NAME` or `NAME@VERSION` in a zoo.
    ///
    /// # Errors
    /// If there is no such model, or its manifest is damaged.
    pub fn of(zoo: &Path, model: &str) -> Result<Opening> {
        let spec: Spec = model.parse().map_err(Error::Usage)?;
        Ok(Opening(Place::Zoo(Box::new(Zoo::open(zoo)?.version(&spec)?))))
    }

    /// The model built into this program.
    ///
    /// # Errors
    /// As for [`built_in_model`].
    pub fn built_in() -> Result<Opening> {
        let (manifest, onnx) = built_in_model()?;
        Ok(Opening(Place::BuiltIn(Box::new(manifest), onnx)))
    }

    /// What the model's manifest says.
    pub fn manifest(&self) -> &Manifest {
        match &self.0 {
            Place::Zoo(version) => &version.manifest,
            Place::BuiltIn(manifest, _) => manifest,
        }
    }

    /// Loads the network; its hash is checked before anyone gets it.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn load(self) -> Result<Predictor> {
        let version = match self.0 {
            Place::Zoo(version) => *version,
            Place::BuiltIn(manifest, onnx) => {
                return Predictor::new(*manifest, onnx, Path::new("(built-in model)"), Source::BuiltIn);
            }
        };
        let unverified = version.open_unverified(zoo::ONNX)?;
        let length = unverified.length();
        let mut buffer = kernels::HugePageBuffer::zeroed(length.div_ceil(size_of::<f32>()));
        let digest = unverified.read(&mut buffer.as_bytes_mut()[..length])?;
        let onnx = Bytes::from_owner(buffer).slice(..length);
        let path = version.path.join(zoo::ONNX);
        // The network is loaded while its hash is computed, and thrown away if that is another one.
        let (verified, predictor) = std::thread::scope(|scope| {
            let verifying = std::thread::Builder::new().spawn_scoped(scope, || digest.verify(&onnx));
            let predictor = Predictor::new(version.manifest, onnx.clone(), &path, Source::Zoo(version.path));
            let verified = match verifying {
                Ok(verifying) => verifying.join().expect("hashing does not panic"),
                Err(_) => digest.verify(&onnx),
            };
            (verified, predictor)
        });
        verified?;
        predictor
    }
}

impl Predictor {
    /// Opens `NAME` or `NAME@VERSION` in a zoo; its hashes are checked before it is used.
    ///
    /// # Errors
    /// If there is no such model, or it is damaged.
    pub fn open(zoo: &Path, model: &str) -> Result<Predictor> {
        Opening::of(zoo, model)?.load()
    }

    /// The model built into this program.
    ///
    /// # Errors
    /// As for [`built_in_model`].
    pub fn built_in() -> Result<Predictor> {
        Opening::built_in()?.load()
    }

    fn new(manifest: Manifest, onnx: impl Into<Bytes>, path: &Path, source: Source) -> Result<Predictor> {
        let session = Session::of_version(&manifest, onnx, path)?;
        Ok(Predictor { session, manifest, source })
    }

    /// A version's network that is loaded already.
    pub fn of(version: zoo::VersionDir, session: Session) -> Predictor {
        Predictor { session, manifest: version.manifest, source: Source::Zoo(version.path) }
    }

    /// What the model's manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The network alone.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Where the model came from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Brings any image into the form of the training images and classifies it: the largest object if there
    /// are several.
    ///
    /// # Errors
    /// [`Error::Model`] if the network misbehaves.
    pub fn predict(&self, image: &DynamicImage) -> Result<Prediction> {
        let prepared = prepare(image, &self.manifest.preprocessing, self.manifest.image_shape(), None);
        self.predict_prepared(&prepared)
    }

    /// Classifies what [`prepare`] found on an image.
    ///
    /// # Errors
    /// As for [`Predictor::predict`].
    pub fn predict_prepared(&self, prepared: &Prepared) -> Result<Prediction> {
        let pixels = prepared.pixels(self.manifest.image_shape());
        let probabilities = self.session.worker()?.probabilities(&pixels)?;
        Ok(self.prediction_of(pixels, probabilities, prepared.bounds()))
    }

    /// The answer for an image on which these objects were found.
    ///
    /// # Panics
    /// As for [`Predictor::prediction`].
    pub fn prediction_of(
        &self,
        pixels: Vec<u8>,
        probabilities: Vec<f32>,
        objects: Vec<Bounds>,
    ) -> Prediction {
        let mut prediction = self.prediction(pixels, probabilities);
        match objects.len() {
            0 => prediction.status = Status::Empty,
            1 => {}
            _ => prediction.status = Status::Several,
        }
        Prediction { objects, ..prediction }
    }

    /// Classifies pixels `[C, H, W]` that are in the form of the training images already.
    ///
    /// # Errors
    /// [`Error::Usage`] for a wrong number of pixels.
    pub fn predict_pixels(&self, pixels: Vec<u8>) -> Result<Prediction> {
        let probabilities = self.session.worker()?.probabilities(&pixels)?;
        Ok(self.prediction(pixels, probabilities))
    }

    /// The classes in order, from what the network gave for one image.
    ///
    /// # Panics
    /// If there is not one probability for each label.
    pub fn prediction(&self, pixels: Vec<u8>, probabilities: Vec<f32>) -> Prediction {
        let status = Status::of(&probabilities, &self.manifest);
        let mut classes: Vec<ClassProbability> = self
            .manifest
            .labels
            .iter()
            .zip(probabilities)
            .map(|(label, probability)| ClassProbability { label: label.clone(), probability })
            .collect();
        assert_eq!(
            classes.len(),
            self.manifest.labels.len(),
            "a session gives one probability for each label"
        );
        classes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        let label = classes.first().expect("a manifest has two labels or more").label.clone();
        Prediction { status, label, classes, pixels, objects: Vec::new() }
    }
}

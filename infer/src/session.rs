//! A network on tract, ready to run.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use datasets::ImageShape;
use tract_onnx::prelude::*;

use crate::error::{Error, Result};
use crate::network::Network;

/// Images that go through the dense layers at a time: enough for their weights to be read seldom.
const BATCH: usize = 64;

/// Optimised plans, cheap to share between threads.
pub struct Session {
    body: Arc<TypedRunnableModel>,
    head: Option<Arc<TypedRunnableModel>>,
    shape: ImageShape,
    classes: usize,
    path: std::path::PathBuf,
}

/// One thread's buffers for a session.
pub struct Worker<'a> {
    session: &'a Session,
    body: TypedSimpleState,
    head: Option<TypedSimpleState>,
}

impl Session {
    /// Loads an ONNX file that takes `uint8 [N, C, H, W]` and gives `float32 [N, classes]`;
    /// `path` is only for the error.
    ///
    /// # Errors
    /// [`Error::Model`] for anything else.
    pub fn load(onnx: impl Into<Bytes>, shape: ImageShape, classes: usize, path: &Path) -> Result<Session> {
        let plans = || -> TractResult<_> {
            let Network { body, head } = Network::read(onnx.into(), shape)?;
            let head = head.map(|head| head.into_optimized()?.into_runnable()).transpose()?;
            Ok((body.into_optimized()?.into_runnable()?, head))
        };
        let (body, head) = plans().map_err(|e| Error::model(path, problem(&e)))?;
        let session = Session { body, head, shape, classes, path: path.to_owned() };
        // A run on black proves shapes and types now rather than at the first image.
        session.worker()?.probabilities(&vec![0; shape.numel()])?;
        Ok(session)
    }

    /// Buffers for one thread.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub fn worker(&self) -> Result<Worker<'_>> {
        let spawn =
            |plan: &Arc<TypedRunnableModel>| plan.spawn().map_err(|e| Error::model(&self.path, problem(&e)));
        let head = self.head.as_ref().map(spawn).transpose()?;
        Ok(Worker { session: self, body: spawn(&self.body)?, head })
    }

    /// Shape of an input image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Number of outputs.
    pub fn classes(&self) -> usize {
        self.classes
    }
}

impl Worker<'_> {
    /// Probabilities `[N, classes]`, row-major, for images `[N, C, H, W]`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a wrong number of pixels, [`Error::Model`] if the network misbehaves.
    pub fn probabilities(&mut self, pixels: &[u8]) -> Result<Vec<f32>> {
        let Session { shape, classes, path, .. } = self.session;
        let ImageShape { channels, height, width } = *shape;
        let count = pixels.len() / shape.numel().max(1);
        if count == 0 || pixels.len() != count * shape.numel() {
            return Err(Error::Usage(format!(
                "{} pixels, expected {channels}x{height}x{width} per image",
                pixels.len()
            )));
        }
        let mut output = Vec::with_capacity(count * classes);
        for images in pixels.chunks(BATCH * shape.numel()) {
            output.extend(self.run(images).map_err(|e| Error::model(path, problem(&e)))?);
        }
        if output.len() != count * classes {
            let found = output.len() / count;
            return Err(Error::model(path, format!("gives {found} values, expected {classes}")));
        }
        if !output.iter().all(|p| p.is_finite()) {
            return Err(Error::model(path, "gives values that are not numbers"));
        }
        Ok(output)
    }

    fn run(&mut self, pixels: &[u8]) -> TractResult<Vec<f32>> {
        let ImageShape { channels, height, width } = self.session.shape;
        let mut features = Vec::new();
        for image in pixels.chunks_exact(self.session.shape.numel()) {
            let input = Tensor::from_shape(&[1, channels, height, width], image)?;
            features.extend(output(self.body.run(tvec![input.into()])?)?);
        }
        match &mut self.head {
            None => Ok(features),
            Some(head) => {
                let count = pixels.len() / self.session.shape.numel();
                let size = features.len() / count;
                let input = tract_ndarray::Array2::from_shape_vec((count, size), features)?.into_tensor();
                output(head.run(tvec![input.into()])?)
            }
        }
    }
}

fn output(outputs: TVec<TValue>) -> TractResult<Vec<f32>> {
    let output = outputs.first().ok_or_else(|| TractError::msg("no output"))?;
    Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

/// The innermost reason says what is wrong with a file; the outer ones say what tract was doing.
fn problem(error: &TractError) -> String {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    format!("not a usable ONNX model: {}", chain.join(": "))
}

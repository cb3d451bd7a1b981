//! A network on tract, ready to run.

use std::path::Path;
use std::sync::Arc;

use datasets::ImageShape;
use tract_onnx::prelude::*;

use crate::error::{Error, Result};

/// An optimised plan for one image at a time; cheap to share between threads.
///
/// Batch 1, because tract's lazy im2col needs a concrete shape and a batch of one: a
/// batched convolution is slower per image.
pub struct Session {
    plan: Arc<TypedRunnableModel>,
    shape: ImageShape,
    classes: usize,
    path: std::path::PathBuf,
}

/// One thread's buffers for a session.
pub struct Worker<'a> {
    session: &'a Session,
    state: TypedSimpleState,
}

impl Session {
    /// Loads an ONNX file that takes `uint8 [N, C, H, W]` and gives `float32 [N, classes]`;
    /// `path` is only for the error.
    ///
    /// # Errors
    /// [`Error::Model`] for anything else.
    pub fn load(onnx: &[u8], shape: ImageShape, classes: usize, path: &Path) -> Result<Session> {
        let plan = optimise(onnx, shape).map_err(|e| Error::model(path, problem(&e)))?;
        let session = Session { plan, shape, classes, path: path.to_owned() };
        // A run on black proves shapes and types now rather than at the first image.
        session.worker()?.probabilities(&vec![0; shape.numel()])?;
        Ok(session)
    }

    /// Buffers for one thread.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub fn worker(&self) -> Result<Worker<'_>> {
        let state = self.plan.spawn().map_err(|e| Error::model(&self.path, problem(&e)))?;
        Ok(Worker { session: self, state })
    }

    /// Number of outputs.
    pub fn classes(&self) -> usize {
        self.classes
    }
}

impl Worker<'_> {
    /// Probabilities `[classes]` for one image `[C, H, W]`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a wrong number of pixels, [`Error::Model`] if the network misbehaves.
    pub fn probabilities(&mut self, pixels: &[u8]) -> Result<Vec<f32>> {
        let Session { shape, classes, path, .. } = self.session;
        let ImageShape { channels, height, width } = *shape;
        if pixels.len() != shape.numel() {
            return Err(Error::Usage(format!(
                "{} pixels, expected {channels}x{height}x{width}",
                pixels.len()
            )));
        }
        let output = run(&mut self.state, pixels, *shape).map_err(|e| Error::model(path, problem(&e)))?;
        if output.len() != *classes {
            return Err(Error::model(path, format!("gives {} values, expected {classes}", output.len())));
        }
        if !output.iter().all(|p| p.is_finite()) {
            return Err(Error::model(path, "gives values that are not numbers"));
        }
        Ok(output)
    }
}

fn optimise(onnx: &[u8], shape: ImageShape) -> TractResult<Arc<TypedRunnableModel>> {
    let ImageShape { channels, height, width } = shape;
    let fact = InferenceFact::dt_shape(u8::datum_type(), [1, channels, height, width]);
    let model = tract_onnx::onnx().model_for_read(&mut &*onnx)?;
    if (model.input_outlets()?.len(), model.output_outlets()?.len()) != (1, 1) {
        return Err(TractError::msg("expected one input and one output"));
    }
    model.with_input_fact(0, fact)?.into_optimized()?.into_runnable()
}

fn run(state: &mut TypedSimpleState, pixels: &[u8], shape: ImageShape) -> TractResult<Vec<f32>> {
    let input = Tensor::from_shape(&[1, shape.channels, shape.height, shape.width], pixels)?;
    let outputs = state.run(tvec![input.into()])?;
    let output = outputs.first().ok_or_else(|| TractError::msg("no output"))?;
    Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

/// The innermost reason says what is wrong with a file; the outer ones say what tract was doing.
fn problem(error: &TractError) -> String {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    format!("not a usable ONNX model: {}", chain.join(": "))
}

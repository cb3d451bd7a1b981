//! A network on tract, ready to run.

use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use bytes::Bytes;
use datasets::ImageShape;
use tract_onnx::prelude::*;

use crate::error::{Error, Result};
use crate::network::{Network, guarded};

/// Images that go through the dense layers at a time: enough for their weights to be read seldom.
const BATCH: usize = 64;

/// Images that go through the convolutions at a time: enough to fill vectors with their tiles, few
/// enough to stay in the cache.
const CONVOLUTION_BATCH: usize = 8;

/// Bytes of values of one image above which convolutions take one image at a time: more would not
/// stay in the cache, but in memory.
const LARGE: usize = 32 << 20;

/// Time after which loading a network from elsewhere is given up: it may have a loop without an end.
const LONGEST_LOADING: Duration = Duration::from_secs(120);

/// What `load` gives, in a thread of its own that is left alone when the time is over: nothing can end it.
fn within<T: Send + 'static>(
    limit: Duration,
    path: &Path,
    load: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = mpsc::channel();
    // Nobody waits for what comes too late.
    std::thread::spawn(move || drop(sender.send(load())));
    let late = || Error::model(path, format!("loading it takes more than {} s", limit.as_secs()));
    receiver.recv_timeout(limit).unwrap_or_else(|_| Err(late()))
}

/// Optimised plans, cheap to share between threads.
pub struct Session {
    network: Network,
    /// The body for one image.
    single: Plan,
    /// The body for [`CONVOLUTION_BATCH`] images, made when first needed.
    several: OnceLock<std::result::Result<Plan, String>>,
    head: Option<Plan>,
    shape: ImageShape,
    classes: usize,
    path: std::path::PathBuf,
}

pub(crate) type Plan = Arc<TypedRunnableModel>;

/// One thread's buffers for a session.
pub struct Worker<'a> {
    session: &'a Session,
    single: TypedSimpleState,
    several: Option<TypedSimpleState>,
    head: Option<TypedSimpleState>,
}

impl Session {
    /// Loads an ONNX file that takes `uint8 [N, C, H, W]` and gives `float32 [N, classes]`;
    /// `path` is only for the error.
    ///
    /// # Errors
    /// [`Error::Model`] for anything else.
    pub fn load(onnx: impl Into<Bytes>, shape: ImageShape, classes: usize, path: &Path) -> Result<Session> {
        let onnx = onnx.into();
        Session::of(|| Network::read(onnx, shape), shape, classes, path)
    }

    /// Loads the network of a version: if that was adopted, with any operator.
    ///
    /// # Errors
    /// As for [`Session::load`].
    pub fn of_version(manifest: &zoo::Manifest, onnx: impl Into<Bytes>, path: &Path) -> Result<Session> {
        let (shape, classes) = (manifest.image_shape(), manifest.labels.len());
        match manifest.is_adopted() {
            false => Session::load(onnx, shape, classes, path),
            true => Session::load_adopted(onnx, shape, classes, path),
        }
    }

    /// Loads a network from elsewhere, which may have any operator that tract knows.
    ///
    /// # Errors
    /// As for [`Session::load`].
    pub fn load_adopted(
        onnx: impl Into<Bytes>,
        shape: ImageShape,
        classes: usize,
        path: &Path,
    ) -> Result<Session> {
        let (onnx, path) = (onnx.into(), path.to_owned());
        let file = path.clone();
        within(LONGEST_LOADING, &path, move || {
            Session::of(|| Network::read_adopted(onnx, shape), shape, classes, &file)
        })
    }

    fn of(
        read: impl FnOnce() -> TractResult<Network>,
        shape: ImageShape,
        classes: usize,
        path: &Path,
    ) -> Result<Session> {
        let plans = || -> TractResult<_> {
            let mut network = read()?;
            let head = network.head.take();
            let body = network.body_of(1)?;
            let (single, head) =
                guarded(network.is_foreign, || Ok((plan(body)?, head.map(plan).transpose()?)))?;
            Ok((single, head, network))
        };
        let (single, head, network) = plans().map_err(|e| Error::model(path, problem(&e)))?;
        let several = OnceLock::new();
        let session = Session { network, single, several, head, shape, classes, path: path.to_owned() };
        // A run on black proves shapes and types now rather than at the first image.
        session.worker()?.probabilities(&vec![0; shape.numel()])?;
        Ok(session)
    }

    /// Buffers for one thread.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub fn worker(&self) -> Result<Worker<'_>> {
        let spawn = |plan: &Plan| plan.spawn().map_err(|e| Error::model(&self.path, problem(&e)));
        let head = self.head.as_ref().map(spawn).transpose()?;
        Ok(Worker { session: self, single: spawn(&self.single)?, several: None, head })
    }

    fn several(&self) -> TractResult<&Plan> {
        let make = || {
            let body = self.network.body_of(CONVOLUTION_BATCH);
            let plan = body.and_then(|body| guarded(self.network.is_foreign, || plan(body)));
            plan.map_err(|e| problem(&e))
        };
        self.several.get_or_init(make).as_ref().map_err(|problem| TractError::msg(problem.clone()))
    }

    /// Shape of an input image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Multiply-accumulates of convolutions and dense layers for one image.
    pub fn macs(&self) -> u64 {
        self.network.macs
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
            let values = guarded(self.session.network.is_foreign, || self.run(images));
            if values.is_err() {
                // What a plan that ended half-way keeps is thrown away.
                *self = self.session.worker()?;
            }
            output.extend(values.map_err(|e| Error::model(path, problem(&e)))?);
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
        let numel = self.session.shape.numel();
        let large = self.session.network.values > LARGE;
        let group = if large { usize::MAX } else { CONVOLUTION_BATCH * numel };
        let (groups, rest) = pixels.split_at(pixels.len() - pixels.len() % group);
        let mut features = Vec::new();
        for images in groups.chunks_exact(group) {
            let state = match self.several.take() {
                Some(state) => state,
                None => self.session.several()?.spawn()?,
            };
            features.extend(body(self.several.insert(state), images, self.session.shape)?);
        }
        for image in rest.chunks_exact(numel) {
            features.extend(body(&mut self.single, image, self.session.shape)?);
        }
        match &mut self.head {
            None => Ok(features),
            Some(head) => {
                let count = pixels.len() / numel;
                let size = features.len() / count;
                let input = tract_ndarray::Array2::from_shape_vec((count, size), features)?.into_tensor();
                output(&head.run(tvec![input.into()])?)
            }
        }
    }
}

pub(crate) fn plan(model: TypedModel) -> TractResult<Plan> {
    model.into_optimized()?.into_runnable()
}

fn body(state: &mut TypedSimpleState, images: &[u8], shape: ImageShape) -> TractResult<Vec<f32>> {
    let ImageShape { channels, height, width } = shape;
    let count = images.len() / shape.numel();
    let input = Tensor::from_shape(&[count, channels, height, width], images)?;
    output(&state.run(tvec![input.into()])?)
}

/// The values of the first output.
pub(crate) fn output(outputs: &[TValue]) -> TractResult<Vec<f32>> {
    let output = outputs.first().ok_or_else(|| TractError::msg("no output"))?;
    Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

/// The innermost reason says what is wrong with a file; the outer ones say what tract was doing.
pub(crate) fn problem(error: &TractError) -> String {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    format!("not a usable ONNX model: {}", chain.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_without_an_end_is_given_up() {
        let endless = || -> Result<()> {
            loop {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let error = within(Duration::from_secs(1), Path::new("a.onnx"), endless).unwrap_err();
        assert!(
            error.to_string().contains("a.onnx") && error.to_string().contains("more than 1 s"),
            "{error}"
        );
        assert_eq!(within(Duration::from_secs(60), Path::new("a.onnx"), || Ok(3)).unwrap(), 3);
    }
}

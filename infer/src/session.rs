//! A network, ready to run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use datasets::ImageShape;
use tract_onnx::prelude::*;

use crate::error::{Error, Result};
use crate::network::{Network, guarded, problem};
use crate::part::{Body, BodyState, Head, HeadState};

/// Images that go through the dense layers at a time: enough for their weights to be read seldom.
const BATCH: usize = 64;

/// Time after which loading a network from elsewhere is given up: it may have a loop without an end.
const LONGEST_LOADING: Duration = Duration::from_secs(120);

/// What `load` gives, in a thread of its own that is left alone when the time is over: nothing can end it.
fn within<T: Send + 'static>(
    limit: Duration,
    path: &Path,
    load: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    // Threads that nobody waits for any more. Each takes a processor and memory, so no more are added for its file.
    static LATE: Mutex<BTreeMap<PathBuf, JoinHandle<()>>> = Mutex::new(BTreeMap::new());
    let late = || LATE.lock().unwrap_or_else(PoisonError::into_inner);
    if late().get(path).is_some_and(|thread| !thread.is_finished()) {
        return Err(Error::model(path, "an earlier attempt to load it still goes on"));
    }
    let (sender, receiver) = mpsc::channel();
    // Nobody waits for what comes too late.
    let thread = std::thread::spawn(move || drop(sender.send(load())));
    receiver.recv_timeout(limit).unwrap_or_else(|_| {
        late().insert(path.to_owned(), thread);
        Err(Error::model(path, format!("loading it takes more than {} s", limit.as_secs())))
    })
}

/// A network that is ready to run, cheap to share between threads.
pub struct Session {
    body: Body,
    head: Option<Head>,
    shape: ImageShape,
    classes: usize,
    macs: u64,
    is_foreign: bool,
    path: std::path::PathBuf,
    /// Buffers that no worker has now: as many as ever worked at a time.
    idle: Mutex<Vec<Buffers>>,
}

/// One thread's buffers for a session. They go back to it when the worker is dropped, so that a worker for each
/// call costs nothing.
pub struct Worker<'a> {
    session: &'a Session,
    /// Always there, until the worker is dropped.
    buffers: Option<Buffers>,
}

struct Buffers {
    body: BodyState,
    head: Option<HeadState>,
    /// What the body makes of a call's images.
    features: Vec<f32>,
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        // What a panic left half-way is not used again.
        if !std::thread::panicking() {
            self.session.idle().extend(self.buffers.take());
        }
    }
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
        let parts = || -> TractResult<_> {
            let mut network = read()?;
            let (macs, is_foreign) = (network.macs, network.is_foreign);
            let head = network.head.take();
            let head = guarded(is_foreign, || head.map(Head::new).transpose())?;
            Ok((Body::new(network, shape)?, head, macs, is_foreign))
        };
        let (body, head, macs, is_foreign) = parts().map_err(|e| Error::model(path, problem(&e)))?;
        let (path, idle) = (path.to_owned(), Mutex::default());
        let session = Session { body, head, shape, classes, macs, is_foreign, path, idle };
        // A run on black proves shapes and types now rather than at the first image.
        session.worker()?.probabilities(&vec![0; shape.numel()])?;
        Ok(session)
    }

    /// Buffers for one thread.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub fn worker(&self) -> Result<Worker<'_>> {
        let idle = self.idle().pop();
        let buffers = idle.map_or_else(|| self.buffers(), Ok)?;
        Ok(Worker { session: self, buffers: Some(buffers) })
    }

    fn buffers(&self) -> Result<Buffers> {
        let states = || Ok((self.body.state()?, self.head.as_ref().map(Head::state).transpose()?));
        let (body, head) = states().map_err(|e| Error::model(&self.path, problem(&e)))?;
        Ok(Buffers { body, head, features: Vec::new() })
    }

    /// No code that holds the lock can panic, so a poisoned one is as good as any.
    fn idle(&self) -> MutexGuard<'_, Vec<Buffers>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shape of an input image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Multiply-accumulates of convolutions and dense layers for one image.
    pub fn macs(&self) -> u64 {
        self.macs
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
            let done = guarded(self.session.is_foreign, || self.run(images, &mut output));
            if let Err(e) = done {
                // What a plan that ended half-way keeps is thrown away.
                self.buffers = Some(self.session.buffers()?);
                return Err(Error::model(path, problem(&e)));
            }
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

    /// Appends the output for at most [`BATCH`] images.
    fn run(&mut self, pixels: &[u8], output: &mut Vec<f32>) -> TractResult<()> {
        let Session { body, head, shape, .. } = self.session;
        let buffers = self.buffers.as_mut().expect("a worker has its buffers until it is dropped");
        let (Some(head), Some(state)) = (head, &mut buffers.head) else {
            return body.run(&mut buffers.body, pixels, output);
        };
        buffers.features.clear();
        body.run(&mut buffers.body, pixels, &mut buffers.features)?;
        head.run(state, &buffers.features, pixels.len() / shape.numel(), output)
    }
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
        let again = within(Duration::from_secs(60), Path::new("a.onnx"), || Ok(3)).unwrap_err();
        assert!(again.to_string().contains("earlier attempt"), "{again}");
        assert_eq!(within(Duration::from_secs(60), Path::new("b.onnx"), || Ok(3)).unwrap(), 3);
    }
}

//! Images that are read and prepared in a thread of their own, ahead of the network.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use image::GrayImage;
use zoo::Manifest;

use crate::decode;
use crate::error::{Error, Result};
use crate::preprocess::{Prepared, prepare};

/// Images that may wait for the network.
const WAITING: usize = 4;

/// An image that is ready for the network.
pub(super) struct Image {
    pub(super) file: PathBuf,
    /// Width and height of the file's image.
    pub(super) size: (u32, u32),
    /// How many of the file's pixels one of the decoded image's is along each side.
    pub(super) scale: f64,
    pub(super) prepared: Prepared,
    /// What each step of the preprocessing made, if that was asked for.
    pub(super) steps: Vec<(&'static str, GrayImage)>,
}

/// The images of files and folders in order, each with what is wrong with it.
pub(super) struct Ahead {
    receiver: mpsc::Receiver<Result<Image>>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Starts to prepare them for a model. Nothing waits for the thread when this is dropped early: a command
    /// that fails does not wait for standard input.
    ///
    /// # Errors
    /// [`Error::Threads`].
    pub(super) fn start(paths: Vec<PathBuf>, manifest: &Manifest, wants_steps: bool) -> Result<Ahead> {
        let (how, shape) = (manifest.preprocessing.clone(), manifest.image_shape());
        let ready = move |file: &Path| {
            let image = decode::read_image(file)?;
            let mut steps = Vec::new();
            let prepared = prepare(&image, &how, shape, wants_steps.then_some(&mut steps));
            Ok(Image { file: file.to_owned(), size: image.size(), scale: image.scale, prepared, steps })
        };
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        let work = move || {
            // Where nobody takes any more, it ends.
            let is_taken = |image| sender.send(image).is_ok();
            paths.iter().all(|path| match decode::image_files(path) {
                Ok(files) => files.iter().all(|file| is_taken(ready(file))),
                Err(error) => is_taken(Err(error)),
            });
        };
        let thread = std::thread::Builder::new().spawn(work).map_err(Error::Threads)?;
        Ok(Ahead { receiver, thread: Some(thread) })
    }
}

impl Iterator for Ahead {
    type Item = Result<Image>;

    /// # Panics
    /// If preparing an image does: a fault of the program, passed on as it is.
    fn next(&mut self) -> Option<Result<Image>> {
        let image = self.receiver.recv().ok();
        if image.is_none()
            && let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
        {
            std::panic::resume_unwind(panic);
        }
        image
    }
}

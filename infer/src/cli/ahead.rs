//! Images that are read and prepared in a thread of their own, ahead of the network.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use datasets::{ImageShape, Preprocessing};
use image::GrayImage;
use zoo::Manifest;

use super::args::{image_files, say_left_out, say_more};
use crate::decode::{self, Photo};
use crate::error::{Error, Result};
use crate::preprocess::{Prepared, Scale, prepare};

/// Images that may wait for the network.
const WAITING: usize = 4;

/// An image that is ready for the network.
pub(super) struct Image {
    pub(super) file: PathBuf,
    /// Width and height of the file's image.
    pub(super) size: (u32, u32),
    /// How many of the file's pixels one of the decoded image's is along each side.
    pub(super) scale: Scale,
    /// Whether the file has further images.
    pub(super) has_more: bool,
    pub(super) prepared: Prepared,
    /// What each step of the preprocessing made, if that was asked for.
    pub(super) steps: Vec<(&'static str, GrayImage)>,
}

/// The images of files and folders in order, each with what is wrong with it.
pub(super) struct Ahead {
    receiver: mpsc::Receiver<Result<Image>>,
    model: mpsc::Sender<Form>,
    thread: Option<JoinHandle<()>>,
}

/// How a model wants its images.
struct Form {
    preprocessing: Preprocessing,
    shape: ImageShape,
}

impl Ahead {
    /// Starts to read them. Nothing waits for the thread when this is dropped early: a command that fails does not wait
    /// for standard input.
    ///
    /// # Errors
    /// [`Error::Threads`].
    pub(super) fn start(paths: Vec<PathBuf>, wants_steps: bool) -> Result<Ahead> {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        let (model, form) = mpsc::channel();
        let work = move || work(&paths, &form, wants_steps, &sender);
        let thread = std::thread::Builder::new().spawn(work).map_err(Error::Threads)?;
        Ok(Ahead { receiver, model, thread: Some(thread) })
    }

    /// Goes on to prepare them for a model. The first is read while its manifest is.
    pub(super) fn prepare_for(&self, manifest: &Manifest) {
        let form = Form { preprocessing: manifest.preprocessing.clone(), shape: manifest.image_shape() };
        // Where the thread has ended, there were no images: the iterator says so.
        let _ = self.model.send(form);
    }
}

/// Reads and prepares until there are no more, or nobody takes them.
fn work(
    paths: &[PathBuf],
    form: &mpsc::Receiver<Form>,
    wants_steps: bool,
    sender: &mpsc::SyncSender<Result<Image>>,
) {
    let mut known = None;
    for path in paths {
        let files = match image_files(path) {
            Ok(files) => files,
            Err(error) => match sender.send(Err(error)) {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        for file in files {
            let image = decode::read_image(&file);
            // No model comes where the command failed.
            let Some(form) = known.take().or_else(|| form.recv().ok()) else { return };
            let ready = image.map(|image| form.prepare(file, &image, wants_steps));
            known = Some(form);
            if sender.send(ready).is_err() {
                return;
            }
        }
    }
}

impl Form {
    fn prepare(&self, file: PathBuf, image: &Photo, wants_steps: bool) -> Image {
        say_more(&file, image);
        let mut steps = Vec::new();
        let prepared = prepare(image, &self.preprocessing, self.shape, wants_steps.then_some(&mut steps));
        say_left_out(&file, prepared.left_out);
        let has_more = image.has_more;
        Image { file, size: image.size, scale: image.scale(), has_more, prepared, steps }
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

//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::http::StatusCode;
use tokio::sync::Semaphore;
use zoo::Zoo;

use super::batching::{Batcher, Refusal};
use super::error::Problem;
use super::metrics::Metrics;
use super::model::Model;
use super::options::{Limits, Options};
use super::repository::Repository;
use crate::error::{Error, Result};

/// Most bytes of bodies: semaphores are asked for bytes in 32 bits.
const MAX_BODIES: usize = 2 << 30;
/// Most images that may wait.
const MAX_QUEUE: usize = 1 << 20;
/// Images of many pixels that are decoded at a time.
const LARGE_IMAGES: usize = 2;
/// Most threads that classify.
const MAX_THREADS: usize = 1024;

pub(super) struct Server {
    pub(super) repository: Repository,
    pub(super) batcher: Batcher,
    pub(super) metrics: Arc<Metrics>,
    pub(super) token: Option<String>,
    pub(super) admin_token: Option<String>,
    /// The model of `/predict` where none is named, if it is in the zoo: that of `infer predict`.
    pub(super) default_model: Option<String>,
    /// Names that clients may ask for; `None` for any.
    pub(super) hosts: Option<Vec<String>>,
    pub(super) limits: Limits,
    /// A permit for each request that may be worked on.
    pub(super) requests: Arc<Semaphore>,
    /// A permit for each byte of bodies that may be in memory.
    pub(super) body_room: Arc<Semaphore>,
    /// The same for files that are being sent.
    pub(super) file_room: Arc<Semaphore>,
    /// Images of many pixels: few at a time, however many threads there are.
    large_images: Arc<Semaphore>,
    /// Work that needs much memory or time: as much at a time as there are threads that classify.
    heavy: Arc<Semaphore>,
    /// Held while a client has the zoo looked through.
    pub(super) loading: Arc<tokio::sync::Mutex<()>>,
    stopping: AtomicBool,
}

impl Server {
    /// Starts the threads that classify; looks at no model yet.
    pub(super) fn new(options: Options) -> Result<Server> {
        let Options { limits, .. } = options;
        for (what, value, most) in [
            ("bytes of all bodies", limits.all_bodies_bytes, MAX_BODIES),
            ("bytes of a body", limits.body_bytes, limits.all_bodies_bytes),
            ("images in the queue", limits.queue_images, MAX_QUEUE),
            ("threads", options.threads, MAX_THREADS),
        ] {
            if !(1..=most).contains(&value) {
                return Err(Error::Usage(format!("{value} {what}, expected 1 to {most}")));
            }
        }
        let zoo = options.zoo.as_deref().map(Zoo::open).transpose()?;
        let metrics = Arc::new(Metrics::new());
        let batcher = Batcher::start(options.threads, limits.queue_images, Arc::clone(&metrics));
        Ok(Server {
            repository: Repository::new(zoo, options.trust, options.versions, Arc::clone(&metrics)),
            batcher: batcher.map_err(Error::system("threads"))?,
            metrics,
            token: options.token,
            admin_token: options.admin_token,
            default_model: infer::built_in_model().ok().map(|(manifest, _)| manifest.name),
            // Where only this machine can connect, another name is a page's that had its own name lead here.
            hosts: (!options.hosts.is_empty() || options.listen.ip().is_loopback()).then_some(options.hosts),
            large_images: Arc::new(Semaphore::new(LARGE_IMAGES)),
            requests: Arc::new(Semaphore::new(limits.requests)),
            body_room: Arc::new(Semaphore::new(limits.all_bodies_bytes)),
            file_room: Arc::new(Semaphore::new(limits.all_bodies_bytes)),
            heavy: Arc::new(Semaphore::new(options.threads)),
            loading: Arc::default(),
            stopping: AtomicBool::new(false),
            limits,
        })
    }

    /// Why nothing should be asked of this server; `None` if something can be.
    pub(super) fn unready(&self) -> Option<&'static str> {
        if self.is_stopping() {
            Some("stopping")
        } else if !self.repository.scanned() {
            Some("the models are being checked")
        } else if self.repository.ready_models().is_empty() {
            Some("no model can be served")
        } else {
            None
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Does work on an image of many pixels, when its turn comes in time.
    pub(super) async fn large_image<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.in_time(Arc::clone(&self.large_images).acquire_owned()).await?;
        self.heavy(move || {
            let _turn = turn;
            work()
        })
        .await
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// What `future` gives, if that does not take too long.
    pub(super) async fn in_time<F: Future>(&self, future: F) -> Result<F::Output, Problem> {
        let limit = self.limits.timeout;
        tokio::time::timeout(limit, future).await.map_err(|_| Problem::timeout(limit))
    }

    /// Does heavy work beside the threads that serve connections, when its turn comes in time.
    pub(super) async fn heavy<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.in_time(Arc::clone(&self.heavy).acquire_owned()).await?;
        aside(move || {
            // It goes on even if the client is gone.
            let _turn = turn;
            work()
        })
        .await
    }

    /// Probabilities `[N, classes]`, in time.
    pub(super) async fn classify(
        &self,
        model: &Arc<Model>,
        pixels: Vec<u8>,
        start: Instant,
    ) -> Result<Vec<f32>, Problem> {
        let images = model.images_in(&pixels);
        let problem = match self.in_time(self.batcher.classify(model, pixels)).await {
            Ok(Ok(probabilities)) => {
                self.metrics.images.get_or_create(&Metrics::of(model)).inc_by(images as u64);
                return Ok(probabilities);
            }
            Ok(Err(refusal)) => {
                if refusal == Refusal::Busy {
                    self.metrics.refuse("queue");
                }
                refusal.into()
            }
            Err(late) => late,
        };
        model.statistics.failed(start);
        Err(problem)
    }
}

/// Runs what may block where it blocks nobody.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let failed = |e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("a task failed: {e}"));
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

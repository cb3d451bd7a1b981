//! The threads that classify, and the bounded queue before them.
//!
//! A thread that becomes free takes the oldest request and, with it, others for the same model:
//! batches form from what arrived while the last ones were computed. Nobody waits for a batch to
//! fill, so that a single request is answered at once.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::metrics::Metrics;
use super::model::Model;

/// Most images that requests are joined to; one request may have more.
const BATCH: usize = 64;
/// How far a thread looks through the queue for requests that fit together.
const LOOK_AHEAD: usize = 256;

/// Threads that classify.
pub(super) struct Batcher {
    queue: Arc<Queue>,
    /// One permit for each image that may wait or be worked on.
    room: Arc<Semaphore>,
    capacity: usize,
}

/// Why a request was not answered.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// The queue is full; it will not be for long.
    Busy,
    /// More images than the queue ever has room for.
    TooMany {
        /// Room in the queue.
        most: usize,
    },
    /// The network or a thread failed.
    Failed(String),
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

struct Job {
    model: Arc<Model>,
    pixels: Vec<u8>,
    images: usize,
    reply: oneshot::Sender<Result<Vec<f32>, String>>,
    queued: Instant,
    room: OwnedSemaphorePermit,
}

impl Batcher {
    /// Starts `threads` threads before a queue with room for `capacity` images.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(threads: usize, capacity: usize, metrics: Arc<Metrics>) -> std::io::Result<Batcher> {
        let queue = Arc::new(Queue::default());
        for number in 0..threads.max(1) {
            let (queue, metrics) = (Arc::clone(&queue), Arc::clone(&metrics));
            let builder = std::thread::Builder::new().name(format!("classify-{number}"));
            builder.spawn(move || {
                while let Some(batch) = queue.next_batch() {
                    classify(batch, &metrics);
                }
            })?;
        }
        Ok(Batcher { queue, room: Arc::new(Semaphore::new(capacity)), capacity })
    }

    /// Probabilities `[N, classes]` for images `[N, C, H, W]`.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) async fn classify(&self, model: &Arc<Model>, pixels: Vec<u8>) -> Result<Vec<f32>, Refusal> {
        let images = model.images_in(&pixels);
        if images > self.capacity {
            return Err(Refusal::TooMany { most: self.capacity });
        }
        let permits = u32::try_from(images).expect("a queue has at most 2^20 places");
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits).map_err(|_| Refusal::Busy)?;
        let (reply, answer) = oneshot::channel();
        let job = Job { model: Arc::clone(model), pixels, images, reply, queued: Instant::now(), room };
        self.queue.lock().waiting.push_back(job);
        self.queue.changed.notify_one();
        answer
            .await
            .map_err(|_| Refusal::Failed("the classifying thread failed".into()))?
            .map_err(Refusal::Failed)
    }

    /// Images that wait or are worked on.
    pub(super) fn taken(&self) -> i64 {
        (self.capacity - self.room.available_permits()) as i64
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
    }
}

impl Queue {
    /// No code that holds the lock can panic, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for requests of one model; `None` when the batcher is gone.
    fn next_batch(&self) -> Option<Vec<Job>> {
        let mut jobs = self.lock();
        loop {
            if let Some(batch) = jobs.take_batch() {
                return Some(batch);
            }
            if jobs.closed {
                return None;
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Jobs {
    fn take_batch(&mut self) -> Option<Vec<Job>> {
        let first = self.waiting.pop_front()?;
        let (model, mut images) = (Arc::clone(&first.model), first.images);
        let mut batch = vec![first];
        let mut at = 0;
        while images < BATCH && at < LOOK_AHEAD {
            let Some(job) = self.waiting.get(at) else { break };
            if Arc::ptr_eq(&job.model, &model) && images + job.images <= BATCH {
                images += job.images;
                batch.extend(self.waiting.remove(at));
            } else {
                at += 1;
            }
        }
        Some(batch)
    }
}

/// Answers every request of a batch; those that nobody waits for any more are left out.
fn classify(mut batch: Vec<Job>, metrics: &Metrics) {
    batch.retain(|job| !job.reply.is_closed());
    let Some(first) = batch.first() else { return };
    let model = Arc::clone(&first.model);
    metrics.batch_images.observe(batch.iter().map(|job| job.images).sum::<usize>() as f64);
    let run = || {
        let mut worker = model.predictor.session().worker()?;
        match batch.as_slice() {
            [job] => worker.probabilities(&job.pixels),
            jobs => {
                worker.probabilities(&jobs.iter().map(|job| &job.pixels[..]).collect::<Vec<_>>().concat())
            }
        }
    };
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let waited = batch.iter().map(|job| start.duration_since(job.queued));
    model.statistics.executed(waited, start.elapsed());
    let outcome = match outcome {
        Ok(outcome) => outcome.map_err(|e| e.to_string()),
        Err(_) => Err("the network made the program panic".into()),
    };
    let classes = model.predictor.session().classes();
    let mut first = 0;
    for job in batch {
        let end = first + job.images * classes;
        let share = outcome.as_ref().map(|all: &Vec<f32>| all[first..end].to_vec());
        // Before the answer, so that whoever has it finds the place free.
        drop(job.room);
        // Whoever asked may have gone meanwhile.
        let _ = job.reply.send(share.map_err(Clone::clone));
        first = end;
    }
}

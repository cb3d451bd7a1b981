//! Who classifies, and the bounded queues before them.
//!
//! Whoever becomes free takes the oldest request and, with it, others for the same model: batches form from
//! what arrived while the last ones were computed. Nobody waits for a batch to fill, so that a single
//! request is answered at once.
//!
//! Batches of large networks are computed by threads of their own. Those of small networks take a few milliseconds at most
//! ([`LIGHT`]), and an image of the smallest less than waking a thread and being woken by it (mnist-lite: 7 us), so they are computed
//! by tasks of the runtime, on the threads that serve connections: such a task first lets all connections that have something to read
//! put in their requests, and their answers are sent by the same thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::metrics::Metrics;
use super::model::Model;

/// Most images that requests are joined to; one request may have more.
const BATCH: usize = 64;
/// Most multiply-accumulates of a batch that a thread which serves connections computes: a few milliseconds.
const LIGHT: u64 = 1 << 29;
/// How far one looks through the queue for requests that fit together.
const LOOK_AHEAD: usize = 256;

/// Takes requests to be classified.
pub(super) struct Batcher {
    /// For threads that classify.
    heavy: Arc<Queue>,
    /// For tasks of the runtime.
    light: Arc<Queue>,
    /// A permit for each task that may take from `light`.
    tasks: Arc<Semaphore>,
    metrics: Arc<Metrics>,
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
        let (heavy, light) = (Arc::new(Queue::default()), Arc::default());
        for number in 0..threads.max(1) {
            let (queue, metrics) = (Arc::clone(&heavy), Arc::clone(&metrics));
            let builder = std::thread::Builder::new().name(format!("classify-{number}"));
            builder.spawn(move || {
                while let Some(batch) = queue.next_batch() {
                    classify(batch, &metrics);
                }
            })?;
        }
        let [tasks, room] = [threads.max(1), capacity].map(|permits| Arc::new(Semaphore::new(permits)));
        Ok(Batcher { heavy, light, tasks, metrics, room, capacity })
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
        let cost = model.predictor.session().macs().saturating_mul(images.max(BATCH) as u64);
        if cost > LIGHT {
            self.heavy.lock().put_in(job);
            self.heavy.changed.notify_one();
        } else {
            self.light.lock().put_in(job);
            self.start_task();
        }
        answer
            .await
            .map_err(|_| Refusal::Failed("the classifying thread failed".into()))?
            .map_err(Refusal::Failed)
    }

    /// Starts a task that takes from the light queue, if there may be one more.
    fn start_task(&self) {
        let Ok(permit) = Arc::clone(&self.tasks).try_acquire_owned() else { return };
        let (queue, metrics) = (Arc::clone(&self.light), Arc::clone(&self.metrics));
        // A task of its own, because the request that starts it may be given up at any time.
        tokio::spawn(async move {
            // Connections that have something to read come first: their requests join the batch.
            tokio::task::yield_now().await;
            let mut permit = Some(permit);
            loop {
                let batch = {
                    let mut jobs = queue.lock();
                    let batch = jobs.take_batch();
                    if batch.is_none() {
                        // Given back under the lock: whoever puts in a request afterwards finds it free.
                        permit.take();
                    }
                    batch
                };
                let Some(batch) = batch else { return };
                classify(batch, &metrics);
                tokio::task::yield_now().await;
            }
        });
    }

    /// Images that wait or are worked on.
    pub(super) fn taken(&self) -> i64 {
        (self.capacity - self.room.available_permits()) as i64
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.heavy.lock().closed = true;
        self.heavy.changed.notify_all();
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
    /// Puts in a job, and drops those that nobody waits for any more, with their pixels.
    fn put_in(&mut self, job: Job) {
        self.waiting.retain(|job| !job.reply.is_closed());
        self.waiting.push_back(job);
    }

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

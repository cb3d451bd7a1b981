//! How fast a model runs on this machine.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::session::Session;
use crate::threads;

/// Largest number of images in a call.
const MAX_BATCH: usize = 100_000;
/// Largest number of threads.
const MAX_THREADS: usize = 1024;
/// Fewest calls of a thread that are measured, however long they take.
const MIN_CALLS: usize = 2;
/// Calls before measuring, which fill caches and buffers.
const WARM_UP: usize = 1;

/// What was measured: threads that classify images independently of each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    /// Images in a call.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Calls of all threads.
    pub calls: usize,
    /// Median time of a call, in microseconds.
    pub p50_us: f64,
    /// Time that 99 of 100 calls do not exceed, in microseconds.
    pub p99_us: f64,
    /// Images of all threads in a second.
    pub images_per_second: f64,
}

/// Whether so much can be measured.
///
/// # Errors
/// [`Error::Usage`] if `batch` or `threads` is 0 or too large.
pub(crate) fn check(batch: usize, threads: usize) -> Result<()> {
    for (what, found, most) in [("batch", batch, MAX_BATCH), ("threads", threads, MAX_THREADS)] {
        if !(1..=most).contains(&found) {
            return Err(Error::Usage(format!("{what} {found}, expected 1 to {most}")));
        }
    }
    Ok(())
}

/// Classifies images of no meaning, `batch` to a call, for about `duration`.
///
/// # Errors
/// [`Error::Usage`] if `batch` or `threads` is 0 or too large; else as for [`crate::Worker::probabilities`].
pub fn speed(session: &Session, batch: usize, threads: usize, duration: Duration) -> Result<Speed> {
    check(batch, threads)?;
    let numel = session.shape().numel();
    let pixels: Vec<u8> = (0..batch * numel).map(|i| (i * 7 % 256) as u8).collect();
    let started = Instant::now();
    let times = threads::map(0..threads, |_| call_repeatedly(session, &pixels, duration))?;
    let elapsed = started.elapsed().as_secs_f64();
    let mut times: Vec<Duration> = times.into_iter().collect::<Result<Vec<_>>>()?.concat();
    times.sort_unstable();
    let quantile = |share: f64| {
        let index = (share * (times.len() - 1) as f64).round() as usize;
        1e6 * times[index].as_secs_f64()
    };
    let images = (times.len() + threads * WARM_UP) * batch;
    Ok(Speed {
        batch,
        threads,
        calls: times.len(),
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
        images_per_second: images as f64 / elapsed,
    })
}

fn call_repeatedly(session: &Session, pixels: &[u8], duration: Duration) -> Result<Vec<Duration>> {
    let mut worker = session.worker()?;
    let started = Instant::now();
    let mut times = Vec::new();
    for call in 0.. {
        let at = Instant::now();
        worker.probabilities(pixels)?;
        if call >= WARM_UP {
            times.push(at.elapsed());
        }
        if times.len() >= MIN_CALLS && started.elapsed() >= duration {
            break;
        }
    }
    Ok(times)
}

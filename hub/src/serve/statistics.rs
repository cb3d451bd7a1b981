//! Counts and times of each model, as the statistics extension of the Open Inference Protocol tells them.
//!
//! Source: `protocol/extension_statistics.md` of <https://github.com/triton-inference-server/server>.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

/// How often something happened, and how long it took in all.
#[derive(Default)]
struct Duty {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Duty {
    fn add(&self, count: u64, time: Duration) {
        self.count.fetch_add(count, Relaxed);
        // Wraps after 580 years.
        self.nanoseconds.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn to_json(&self) -> Value {
        json!({ "count": self.count.load(Relaxed), "ns": self.nanoseconds.load(Relaxed) })
    }
}

/// What a model did since it was loaded.
#[derive(Default)]
pub(super) struct Statistics {
    images: AtomicU64,
    executions: AtomicU64,
    /// Milliseconds since 1970.
    last: AtomicU64,
    success: Duty,
    fail: Duty,
    queue: Duty,
    compute: Duty,
}

impl Statistics {
    /// Counts a request for `images` images, from its head to its answer.
    pub(super) fn answered(&self, images: usize, start: Instant) {
        self.images.fetch_add(images as u64, Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A clock before 1970 says nothing.
        self.last.fetch_max(now.map_or(0, |now| now.as_millis() as u64), Relaxed);
        self.success.add(1, start.elapsed());
    }

    /// Counts a request that got no probabilities.
    pub(super) fn failed(&self, start: Instant) {
        self.fail.add(1, start.elapsed());
    }

    /// Counts requests that went through the network together: how long each waited, and how long that took.
    pub(super) fn executed(&self, waited: impl ExactSizeIterator<Item = Duration>, compute: Duration) {
        self.executions.fetch_add(1, Relaxed);
        let requests = waited.len() as u64;
        self.queue.add(requests, waited.sum());
        self.compute.add(requests, compute * u32::try_from(requests).unwrap_or(u32::MAX));
    }

    /// The entry of the model.
    pub(super) fn to_json(&self, name: &str, version: u32) -> Value {
        // Nothing is done before or after the network that would be worth a clock.
        let none = Duty::default().to_json();
        json!({
            "name": name,
            "version": version.to_string(),
            "last_inference": self.last.load(Relaxed),
            "inference_count": self.images.load(Relaxed),
            "execution_count": self.executions.load(Relaxed),
            "inference_stats": {
                "success": self.success.to_json(),
                "fail": self.fail.to_json(),
                "queue": self.queue.to_json(),
                "compute_input": none,
                "compute_infer": self.compute.to_json(),
                "compute_output": none,
                "cache_hit": none,
                "cache_miss": none,
            },
            "batch_stats": [],
        })
    }
}

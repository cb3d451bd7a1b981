//! What an operator can watch, in the two text formats that Prometheus reads.

use std::time::Instant;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::model::Model;

/// Media types of the two text formats.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(super) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

type Labels<const N: usize> = [(&'static str, String); N];

pub(super) struct Metrics {
    registry: Registry,
    /// By route and status.
    pub(super) requests: Family<Labels<2>, Counter>,
    /// By model and version, from the end of the request's head to the answer.
    request_duration: Family<Labels<2>, Histogram, fn() -> Histogram>,
    /// By model and version.
    pub(super) images: Family<Labels<2>, Counter>,
    pub(super) batch_images: Histogram,
    pub(super) queue_images: Gauge,
    pub(super) requests_in_flight: Gauge,
    pub(super) connections: Gauge,
    /// By reason.
    pub(super) refused: Family<Labels<1>, Counter>,
    /// By model and version: 1 if it is served.
    pub(super) model_ready: Family<Labels<2>, Gauge>,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let durations: fn() -> Histogram = || {
            Histogram::new([0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0])
        };
        let mut metrics = Metrics {
            registry: Registry::with_prefix("infer"),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(durations),
            images: Family::default(),
            batch_images: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1024.0]),
            queue_images: Gauge::default(),
            requests_in_flight: Gauge::default(),
            connections: Gauge::default(),
            refused: Family::default(),
            model_ready: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            metrics.request_duration.clone(),
        );
        registry.register("images", "Images classified", metrics.images.clone());
        registry.register(
            "batch_images",
            "Images that went through a network together",
            metrics.batch_images.clone(),
        );
        registry.register(
            "queue_images",
            "Images that wait or are being classified",
            metrics.queue_images.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests being answered",
            metrics.requests_in_flight.clone(),
        );
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register("refused", "Requests and connections refused by a limit", metrics.refused.clone());
        registry.register("model_ready", "1 for each version that is served", metrics.model_ready.clone());
        metrics
    }

    /// Labels of a model's own series.
    pub(super) fn of(model: &Model) -> Labels<2> {
        Metrics::version(model.name(), model.version())
    }

    pub(super) fn version(name: &str, version: u32) -> Labels<2> {
        [("model", name.to_owned()), ("version", version.to_string())]
    }

    /// Counts the time of a request that `model` answered for so many images.
    pub(super) fn answered(&self, model: &Model, images: usize, start: Instant) {
        model.statistics.answered(images, start);
        self.request_duration.get_or_create(&Metrics::of(model)).observe(start.elapsed().as_secs_f64());
    }

    pub(super) fn refuse(&self, reason: &str) {
        self.refused.get_or_create(&[("reason", reason.to_owned())]).inc();
    }

    pub(super) fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing into a string cannot fail");
        text
    }
}

/// OpenMetrics as Prometheus' older text format (version 0.0.4): there a counter's name ends in `_total` where its type
/// is told too, units are not told, and nothing marks the end.
pub(super) fn to_text(open_metrics: &str) -> String {
    let counters: Vec<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(kind), Some(name), Some(rest)) if counters.contains(&name) => {
                text += &format!("# {kind} {name}_total {rest}\n");
            }
            _ => text += &format!("{line}\n"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_name_the_same_samples() {
        let open_metrics = Metrics::new();
        open_metrics.refuse("queue");
        let open_metrics = open_metrics.encode();
        let text = to_text(&open_metrics);
        for part in [
            "# TYPE infer_refused_total counter\ninfer_refused_total{reason=\"queue\"} 1\n",
            "# TYPE infer_queue_images gauge\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(
            open_metrics.ends_with("# EOF\n") && !text.contains("EOF") && !text.contains("UNIT"),
            "{text}"
        );
        let samples = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(samples(&text), samples(&open_metrics));
    }
}

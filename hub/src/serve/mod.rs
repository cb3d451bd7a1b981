//! `zoo serve`: the models of a zoo over HTTP.
//!
//! | route | what |
//! |---|---|
//! | `/v2/...` | Open Inference Protocol v2, see `routes::inference` and `protocol` |
//! | `/predict`, `/models`, `/` | an image as it is, model cards, the page to draw on, see `routes` |
//! | `/metrics` | OpenMetrics for Prometheus |
//!
//! A request goes through `middleware` (permission and limits) to its route, and with its pixels to
//! the queue of `batching`. Which models there are is up to `repository`.

mod batching;
mod body;
mod certificates;
mod entry;
mod error;
mod listener;
mod lists;
mod metrics;
mod middleware;
mod model;
mod options;
mod protocol;
mod repository;
mod routes;
mod run;
mod state;
mod statistics;

pub(crate) use middleware::host_name;
pub use options::{Limits, Options, Trust};
pub use run::serve;

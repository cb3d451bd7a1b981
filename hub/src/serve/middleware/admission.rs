//! Lets in as many requests at a time as there is room for. A place is kept until the client has the
//! whole answer.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;

use super::refusal::{Refusal, is_health};
use crate::serve::error::Problem;
use crate::serve::metrics::Metrics;
use crate::serve::state::Server;

/// A place among the requests that are worked on.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: InFlight,
}

/// `None` for those that need no place.
pub(super) fn admit(server: &Server, request: &Request) -> Result<Option<Place>, Refusal> {
    if is_health(request) {
        return Ok(None);
    }
    match Arc::clone(&server.requests).try_acquire_owned() {
        Ok(permit) => Ok(Some(Place { _permit: permit, _counted: InFlight::new(server) })),
        Err(_) => {
            let problem = Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time");
            Err(Refusal { reason: "requests", problem })
        }
    }
}

/// Counts a request until it is answered, or its client is gone.
struct InFlight(Arc<Metrics>);

impl InFlight {
    fn new(server: &Server) -> InFlight {
        server.metrics.requests_in_flight.inc();
        InFlight(Arc::clone(&server.metrics))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.requests_in_flight.dec();
    }
}

//! Lets in as many requests at a time as there is room for. A place is kept until the client has the
//! whole answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use super::refusal::{is_health, refuse};
use crate::serve::body::holding;
use crate::serve::error::Problem;
use crate::serve::metrics::Metrics;
use crate::serve::state::Server;

pub(super) async fn admit(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    if is_health(&request) {
        return next.run(request).await;
    }
    match Arc::clone(&server.requests).try_acquire_owned() {
        Ok(permit) => {
            let counted = InFlight::new(&server);
            holding(next.run(request).await, (permit, counted))
        }
        Err(_) => {
            let problem = Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time");
            refuse(&server, request, "requests", problem).await
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

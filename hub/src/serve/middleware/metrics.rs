//! Counts and logs every request by its route and the status of its answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use super::refusal::route;
use crate::serve::state::Server;

pub(super) async fn count(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let route = route(&request).to_owned();
    let response = next.run(request).await;
    let status = response.status();
    // What a limit refuses is counted, not logged: there may be very much of it.
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(route, "failed");
    } else {
        tracing::debug!(route, status = status.as_u16(), "answered");
    }
    server.metrics.requests.get_or_create(&[("route", route), ("code", status.as_u16().to_string())]).inc();
    response
}

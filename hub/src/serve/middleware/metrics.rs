//! Counts and logs every request by its route and the status of its answer.

use axum::http::StatusCode;

use crate::serve::state::Server;

pub(super) fn count(server: &Server, route: String, status: StatusCode) {
    // What a limit refuses is counted, not logged: there may be very much of it.
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(route, "failed");
    } else {
        tracing::debug!(route, status = status.as_u16(), "answered");
    }
    server.metrics.requests.get_or_create(&[("route", route), ("code", status.as_u16().to_string())]).inc();
}

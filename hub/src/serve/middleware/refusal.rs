//! Refusing a request before its route, and which requests are refused for what.

use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};

use crate::serve::error::Problem;
use crate::serve::state::Server;

/// Whether `request` asks for the server's health, which is always told.
pub(super) fn is_health(request: &Request) -> bool {
    route(request).starts_with("/v2/health/")
}

/// Whether `request` asks for a part of the page, which is the same for everybody.
pub(super) fn is_page(request: &Request) -> bool {
    ["/", "/app.js", "/style.css"].contains(&route(request))
}

/// Whether `request` changes what is served.
pub(super) fn is_administration(request: &Request) -> bool {
    ["/v2/repository/models/{model}/load", "/v2/repository/models/{model}/unload"].contains(&route(request))
}

/// The pattern of the route that `request` goes to.
pub(super) fn route(request: &Request) -> &str {
    request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str)
}

/// Why a request is refused, and what is answered.
pub(super) struct Refusal {
    /// As it is counted.
    pub(super) reason: &'static str,
    pub(super) problem: Problem,
}

/// Counts the refusal, and answers.
pub(super) fn refuse(server: &Server, refusal: Refusal) -> Response {
    server.metrics.refuse(refusal.reason);
    refusal.problem.into_response()
}

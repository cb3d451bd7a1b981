//! Refuses what a browser asks for on behalf of another site's page.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::refusal::{is_health, is_page, refuse};
use crate::serve::error::Problem;
use crate::serve::state::Server;

pub(super) async fn check_origin(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Response {
    if is_health(&request) || is_page(&request) || !from_another_site(request.headers()) {
        return next.run(request).await;
    }
    let problem = Problem::new(StatusCode::FORBIDDEN, "asked for by a page of another site");
    refuse(&server, request, "origin", problem).await
}

/// A browser says so in `Sec-Fetch-Site`, or, where that is not sent (plain HTTP to other machines),
/// by an `Origin` that is not this `Host`.
fn from_another_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => !["none", "same-origin"].contains(&site),
        (None, Some(origin)) => origin.split_once("://").map(|(_, host)| host) != text("host"),
        (None, None) => false,
    }
}

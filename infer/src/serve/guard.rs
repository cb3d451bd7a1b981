//! Limits and permission: what is refused before any work is done on a request, and how.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::sync::OwnedSemaphorePermit;

use super::Server;
use super::body::{discard, holding};
use super::metrics::Metrics;
use super::pool::Refusal;
use super::repository::NotServed;

/// How long a refused client is asked to wait.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Longest message, in characters.
const MAX_MESSAGE: usize = 400;

/// An answer that is not the one asked for: `{"error": "..."}`.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    message: String,
    /// Whether the same request may succeed soon.
    retry: bool,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Problem {
        // Some messages repeat what the client sent, which may be long.
        let mut message: String = message.into();
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        Problem { status, message, retry: false }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn busy(status: StatusCode, message: &str) -> Problem {
        Problem { status, message: message.into(), retry: true }
    }

    /// The time is over.
    pub(super) fn timeout(limit: Duration) -> Problem {
        Problem::busy(StatusCode::SERVICE_UNAVAILABLE, &format!("no answer within {limit:?}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(json!({ "error": self.message }))).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.retry {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

impl From<NotServed> for Problem {
    fn from(error: NotServed) -> Problem {
        match error {
            NotServed::Unknown(message) => Problem::new(StatusCode::NOT_FOUND, message),
            NotServed::Unavailable(message) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, message),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        match refusal {
            Refusal::Busy => Problem::busy(StatusCode::TOO_MANY_REQUESTS, "the queue is full"),
            Refusal::TooMany { most } => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("more images than fit into the queue; at most {most} are allowed"),
            ),
            Refusal::Failed(message) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message),
        }
    }
}

/// Lets a request in if it may, and counts it. Health is always answered.
pub(super) async fn admit(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let route = path.map_or("unknown", MatchedPath::as_str).to_owned();
    let response = if route.starts_with("/v2/health/") {
        next.run(request).await
    } else {
        match check(&server, &route, request.headers()) {
            // Until the client has the whole answer.
            Ok(permit) => {
                let counted = InFlight::new(&server);
                holding(next.run(request).await, (permit, counted))
            }
            Err(problem) => {
                discard(request.into_body(), &server.limits).await;
                problem.into_response()
            }
        }
    };
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

/// Whether a browser asks for the page of another site. It says so in `Sec-Fetch-Site`, or, where
/// that is not sent (plain HTTP to other machines), by an `Origin` that is not this `Host`.
fn from_another_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => !["none", "same-origin"].contains(&site),
        (None, Some(origin)) => origin.split_once("://").map(|(_, host)| host) != text("host"),
        (None, None) => false,
    }
}

fn check(server: &Server, route: &str, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, Problem> {
    let open = ["/", "/app.js", "/style.css"].contains(&route);
    if !open && from_another_site(headers) {
        server.metrics.refuse("origin");
        return Err(Problem::new(StatusCode::FORBIDDEN, "asked for by a page of another site"));
    }
    if let Some(token) = server.token.as_ref().filter(|_| !open) {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let bearer =
            |value: &'_ [u8]| value.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"bearer "));
        let given = given.filter(|value| bearer(value)).and_then(|value| value.get(7..)).unwrap_or_default();
        if !bool::from(given.ct_eq(token.as_bytes())) {
            server.metrics.refuse("token");
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "expected the header `Authorization: Bearer TOKEN`",
            ));
        }
    }
    Arc::clone(&server.requests).try_acquire_owned().map_err(|_| {
        server.metrics.refuse("requests");
        Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time")
    })
}

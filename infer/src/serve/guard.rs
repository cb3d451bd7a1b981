//! Limits and permission: what is refused before any work is done on a request, and how.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pool::Refusal;
use super::repository::NotServed;
use super::{Limits, Server};

/// How long a refused client is asked to wait.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

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
        Problem { status, message: message.into(), retry: false }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, message)
    }

    fn busy(status: StatusCode, message: &str) -> Problem {
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
            Ok(_permit) => {
                server.metrics.requests_in_flight.inc();
                let response = next.run(request).await;
                server.metrics.requests_in_flight.dec();
                response
            }
            Err(problem) => problem.into_response(),
        }
    };
    let status = response.status();
    if status.is_server_error() {
        tracing::warn!(route, status = status.as_u16(), "refused or failed");
    } else {
        tracing::debug!(route, status = status.as_u16(), "answered");
    }
    server.metrics.requests.get_or_create(&[("route", route), ("code", status.as_u16().to_string())]).inc();
    response
}

fn check(server: &Server, route: &str, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, Problem> {
    let open = ["/", "/app.js", "/style.css"].contains(&route);
    if let Some(token) = server.token.as_ref().filter(|_| !open) {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let given = given.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
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

/// A body in memory, and the room that it takes.
pub(super) struct Buffered {
    pub(super) bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Reads a body that is not too long, in time, while there is room for it. All bodies together
/// share the room; a slow sender takes only as much as it has sent.
///
/// # Errors
/// 413, 415, 408, 400, or 503 when there is no room.
pub(super) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
    room: &Arc<Semaphore>,
) -> Result<Buffered, Problem> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|value| *value != "identity") {
        let message = format!("content-encoding {encoding:?}, expected none");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let length = body.size_hint().lower();
    let too_long = || {
        let message = format!("the body has more than {} bytes", limits.body_bytes);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    if length > limits.body_bytes as u64 {
        return Err(too_long());
    }
    let collect = collect(body, limits.body_bytes, room, too_long);
    tokio::time::timeout(limits.timeout, collect).await.unwrap_or_else(|_| {
        let message = format!("the body did not arrive within {:?}", limits.timeout);
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, message))
    })
}

async fn collect(
    mut body: Body,
    most: usize,
    room: &Arc<Semaphore>,
    too_long: impl Fn() -> Problem,
) -> Result<Buffered, Problem> {
    let mut bytes = Vec::new();
    let mut taken: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|e| Problem::bad_request(format!("the body broke off: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(too_long());
        }
        let more =
            u32::try_from(data.len()).ok().and_then(|n| Arc::clone(room).try_acquire_many_owned(n).ok());
        let no_room = || Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "no room for more request bodies");
        let more = more.ok_or_else(no_room)?;
        match &mut taken {
            Some(taken) => taken.merge(more),
            None => taken = Some(more),
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Buffered { bytes, _room: taken })
}

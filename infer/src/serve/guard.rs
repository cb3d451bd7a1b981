//! Limits and permission: what is refused before any work is done on a request, and how.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
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

/// Of a refused body, so many times the longest one allowed are read and thrown away.
const DISCARDED: u64 = 4;
/// For no longer than this.
const LINGER: Duration = Duration::from_secs(1);

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
                let _counted = InFlight::new(&server);
                next.run(request).await
            }
            Err(problem) => problem.into_response(),
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
struct InFlight<'a>(&'a Server);

impl InFlight<'_> {
    fn new(server: &Server) -> InFlight<'_> {
        server.metrics.requests_in_flight.inc();
        InFlight(server)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.metrics.requests_in_flight.dec();
    }
}

fn check(server: &Server, route: &str, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, Problem> {
    // Browsers say where a request comes from: other sites' pages have no business here.
    let from = headers.get("sec-fetch-site").map_or(&b"none"[..], HeaderValue::as_bytes);
    let open = ["/", "/app.js", "/style.css"].contains(&route);
    if !open && ![&b"none"[..], b"same-origin"].contains(&from) {
        server.metrics.refuse("origin");
        return Err(Problem::new(StatusCode::FORBIDDEN, "asked for by a page of another site"));
    }
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
    let most = limits.body_bytes;
    let announced = body.size_hint().lower();
    if announced > DISCARDED.saturating_mul(most as u64) {
        return Err(too_long(most));
    }
    let late = |_| {
        let message = format!("the body did not arrive within {:?}", limits.timeout);
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, message))
    };
    let mut body = Receiving { body, bytes: Vec::new(), taken: None };
    let collected = tokio::time::timeout(limits.timeout, body.collect(most, announced, room)).await;
    match collected.unwrap_or_else(late) {
        Ok(()) => Ok(Buffered { bytes: body.bytes, _room: body.taken }),
        Err(problem) => {
            (body.bytes, body.taken) = (Vec::new(), None);
            // Most clients send everything before they look at the answer, and would only see a
            // broken connection.
            let _ = tokio::time::timeout(LINGER, body.discard(DISCARDED.saturating_mul(most as u64))).await;
            Err(problem)
        }
    }
}

fn too_long(most: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {most} bytes"))
}

struct Receiving {
    body: Body,
    bytes: Vec<u8>,
    /// The room that `bytes` take.
    taken: Option<OwnedSemaphorePermit>,
}

impl Receiving {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Result<Bytes, Problem>> {
        loop {
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await?;
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(data)) => return Some(Ok(data)),
                // Trailers say nothing here.
                Ok(Err(_)) => continue,
                Err(error) => return Some(Err(Problem::bad_request(format!("the body broke off: {error}")))),
            }
        }
    }

    async fn collect(&mut self, most: usize, announced: u64, room: &Arc<Semaphore>) -> Result<(), Problem> {
        if announced > most as u64 {
            return Err(too_long(most));
        }
        while let Some(data) = self.next().await {
            let data = data?;
            if self.bytes.len() + data.len() > most {
                return Err(too_long(most));
            }
            let size = u32::try_from(data.len()).ok();
            let more = size.and_then(|size| Arc::clone(room).try_acquire_many_owned(size).ok());
            let no_room =
                || Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "no room for more request bodies");
            let more = more.ok_or_else(no_room)?;
            match &mut self.taken {
                Some(taken) => taken.merge(more),
                None => self.taken = Some(more),
            }
            self.bytes.extend_from_slice(&data);
        }
        Ok(())
    }

    /// Reads on and keeps nothing, up to `most` bytes.
    async fn discard(&mut self, most: u64) {
        let mut left = most;
        while let Some(Ok(data)) = self.next().await {
            left = left.saturating_sub(data.len() as u64);
            if left == 0 {
                break;
            }
        }
    }
}

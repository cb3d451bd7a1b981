//! Answers that are not the one asked for.

use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::batching::Refusal;
use super::repository::NotServed;

/// How long a refused client is asked to wait.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Longest message, in characters. `{:?}` makes six characters of one control character, and JSON
/// seven: a message that repeats what a client sent could be forty times as long.
const MAX_MESSAGE: usize = 400;

/// `{"error": "..."}` with a status.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    message: String,
    /// Whether the same request may succeed soon.
    retry: bool,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Problem {
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

/// What a route takes from the path. axum's own [`Path`] refuses `%ff` in plain text.
pub(super) struct InPath<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath<T>, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(found)) => Ok(InPath(found)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
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

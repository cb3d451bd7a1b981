//! For operators: readiness, metrics, and the model repository extension.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::inference::Name;
use crate::serve::body::BoundedBody;
use crate::serve::error::{InPath, Problem};
use crate::serve::metrics;
use crate::serve::state::{Server, aside};

pub(super) async fn ready(State(server): State<Arc<Server>>) -> Response {
    match server.unready() {
        None => Json(json!({ "ready": true })).into_response(),
        Some(reason) => {
            let body = Json(json!({ "ready": false, "reason": reason }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// OpenMetrics to whoever asks for it, the older format to all others.
pub(super) async fn metrics(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    server.metrics.queue_images.set(server.batcher.taken());
    let text = server.metrics.encode();
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, text) = match accepted.contains("application/openmetrics-text") {
        true => (metrics::OPEN_METRICS, text),
        false => (metrics::TEXT, metrics::to_text(&text)),
    };
    ([(header::CONTENT_TYPE, kind), (header::VARY, "accept")], text).into_response()
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
struct IndexRequest {
    #[serde(default)]
    ready: bool,
}

pub(super) async fn index(State(server): State<Arc<Server>>, body: BoundedBody) -> Result<Response, Problem> {
    let request: IndexRequest = match body.bytes.as_slice() {
        [] => IndexRequest::default(),
        bytes => serde_json::from_slice(bytes).map_err(|e| {
            Problem::bad_request(format!("request: {}", datasets::plain_message(&e.to_string())))
        })?,
    };
    let mut index = server.repository.index();
    index.retain(|entry| !request.ready || entry.state == "READY");
    Ok(Json(index).into_response())
}

pub(super) async fn load(
    State(server): State<Arc<Server>>,
    InPath(name): InPath<Name>,
) -> Result<StatusCode, Problem> {
    if !server.repository.may_have(&name.model) {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("no model {:?}", name.model)));
    }
    let alone = server.in_time(Arc::clone(&server.loading).lock_owned()).await?;
    let load = move || {
        let _alone = alone;
        server.repository.load(&name.model)
    };
    aside(load).await??;
    Ok(StatusCode::OK)
}

pub(super) async fn unload(
    State(server): State<Arc<Server>>,
    InPath(name): InPath<Name>,
) -> Result<StatusCode, Problem> {
    server.repository.unload(&name.model)?;
    Ok(StatusCode::OK)
}

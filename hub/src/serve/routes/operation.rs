//! For operators: readiness, metrics, and the model repository extension.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::inference::Name;
use crate::serve::body::BoundedBody;
use crate::serve::error::Problem;
use crate::serve::metrics;
use crate::serve::state::{Server, aside};

pub(super) async fn ready(State(server): State<Arc<Server>>) -> Response {
    let ready = server.ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready }))).into_response()
}

pub(super) async fn metrics(State(server): State<Arc<Server>>) -> Response {
    server.metrics.queue_images.set(server.batcher.taken());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], server.metrics.encode()).into_response()
}

#[derive(Default, Deserialize)]
struct IndexRequest {
    #[serde(default)]
    ready: bool,
}

pub(super) async fn index(State(server): State<Arc<Server>>, body: BoundedBody) -> Result<Response, Problem> {
    let request: IndexRequest = match body.bytes.as_slice() {
        [] => IndexRequest::default(),
        bytes => serde_json::from_slice(bytes).map_err(|e| Problem::bad_request(format!("request: {e}")))?,
    };
    let mut index = server.repository.index();
    index.retain(|entry| !request.ready || entry.state == "READY");
    Ok(Json(index).into_response())
}

pub(super) async fn load(
    State(server): State<Arc<Server>>,
    Path(name): Path<Name>,
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
    Path(name): Path<Name>,
) -> Result<StatusCode, Problem> {
    server.repository.unload(&name.model)?;
    Ok(StatusCode::OK)
}

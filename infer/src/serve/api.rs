//! The routes of the Open Inference Protocol v2.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use super::Server;
use super::guard::{Buffered, Problem, read_body};
use super::metrics::{self, Metrics};
use super::model::Model;
use super::protocol;

/// Bodies longer than this are read and written beside the threads that serve connections.
const LONG_BODY: usize = 128 << 10;

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/v2", get(|| async { Json(protocol::server_metadata()) }))
        .route("/v2/health/live", get(|| async { StatusCode::OK }))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{model}", get(metadata))
        .route("/v2/models/{model}/ready", get(model_ready))
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}", get(metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(model_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer))
        .route("/v2/repository/index", post(index))
        .route("/v2/repository/models/{model}/load", post(load))
        .route("/v2/repository/models/{model}/unload", post(unload))
        .route("/metrics", get(metrics))
}

/// The `{model}` and `{version}` of a route.
#[derive(Deserialize)]
struct Name {
    model: String,
    version: Option<String>,
}

impl Name {
    fn find(&self, server: &Server) -> Result<Arc<Model>, Problem> {
        Ok(server.repository.find(&self.model, self.version.as_deref())?)
    }
}

async fn ready(State(server): State<Arc<Server>>) -> StatusCode {
    if server.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn metadata(State(server): State<Arc<Server>>, Path(name): Path<Name>) -> Result<Json<Value>, Problem> {
    let model = name.find(&server)?;
    let versions = server.repository.versions(&name.model);
    Ok(Json(protocol::metadata(model.predictor.manifest(), &versions, &model.sha256)))
}

async fn model_ready(
    State(server): State<Arc<Server>>,
    Path(name): Path<Name>,
) -> Result<StatusCode, Problem> {
    name.find(&server).map(|_| StatusCode::OK)
}

async fn infer(
    State(server): State<Arc<Server>>,
    Path(name): Path<Name>,
    request: Request,
) -> Result<Response, Problem> {
    let start = Instant::now();
    let model = name.find(&server)?;
    let (head, body) = request.into_parts();
    let header_length = header_length(&head.headers)?;
    let buffered = read_body(&head.headers, body, &server.limits, &server.body_room).await?;
    let long = buffered.bytes.len() > LONG_BODY;
    let parsed = {
        let model = Arc::clone(&model);
        aside(long, move || parse(&buffered, header_length, &model)).await?
    };
    let mut request = parsed.map_err(Problem::bad_request)?;
    let probabilities = server.classify(&model, std::mem::take(&mut request.pixels)).await?;
    let (body, json_length) = {
        let model = Arc::clone(&model);
        let answer = move || request.answer(&probabilities, model.predictor.manifest(), &model.sha256);
        aside(long, answer).await?
    };
    server
        .metrics
        .request_duration
        .get_or_create(&Metrics::of(&model))
        .observe(start.elapsed().as_secs_f64());
    Ok(match json_length {
        None => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Some(length) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (HeaderName::from_static(protocol::HEADER_LENGTH), length.to_string()),
            ];
            (headers, body).into_response()
        }
    })
}

fn parse(body: &Buffered, header_length: Option<usize>, model: &Model) -> Result<protocol::Request, String> {
    protocol::Request::parse(&body.bytes, header_length, model.predictor.manifest())
}

fn header_length(headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    let Some(value) = headers.get(protocol::HEADER_LENGTH) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || Problem::bad_request(format!("{}: {value:?}, expected a number", protocol::HEADER_LENGTH));
    number.map(Some).ok_or_else(wrong)
}

/// Runs `work` here, or where it may take its time.
pub(super) async fn aside<T: Send + 'static>(
    long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if !long {
        return Ok(work());
    }
    let failed = |e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("a task failed: {e}"));
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

#[derive(Default, Deserialize)]
struct IndexRequest {
    #[serde(default)]
    ready: bool,
}

async fn index(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_body(&headers, body, &server.limits, &server.body_room).await?;
    let request: IndexRequest = match body.bytes.as_slice() {
        [] => IndexRequest::default(),
        bytes => serde_json::from_slice(bytes).map_err(|e| Problem::bad_request(format!("request: {e}")))?,
    };
    let mut index = server.repository.index();
    index.retain(|entry| !request.ready || entry.state == "READY");
    Ok(Json(index).into_response())
}

async fn load(State(server): State<Arc<Server>>, Path(name): Path<Name>) -> Result<StatusCode, Problem> {
    aside(true, move || server.repository.load(&name.model)).await??;
    Ok(StatusCode::OK)
}

async fn unload(State(server): State<Arc<Server>>, Path(name): Path<Name>) -> Result<StatusCode, Problem> {
    aside(true, move || server.repository.unload(&name.model)).await??;
    Ok(StatusCode::OK)
}

async fn metrics(State(server): State<Arc<Server>>) -> Response {
    server.metrics.queue_images.set(server.pool.taken());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], server.metrics.encode()).into_response()
}

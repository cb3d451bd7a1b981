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
use serde_json::{Value, json};

use super::body::{holding, read_body};
use super::guard::Problem;
use super::metrics;
use super::model::Model;
use super::protocol;
use super::{Server, aside};

/// Bodies longer than this are parsed beside the threads that serve connections.
const LONG_BODY: usize = 128 << 10;

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/v2", get(|| async { Json(protocol::server_metadata()) }))
        .route("/v2/health/live", get(|| async { Json(json!({ "live": true })) }))
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

async fn ready(State(server): State<Arc<Server>>) -> Response {
    let ready = server.ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready }))).into_response()
}

async fn metadata(State(server): State<Arc<Server>>, Path(name): Path<Name>) -> Result<Json<Value>, Problem> {
    let model = name.find(&server)?;
    let versions = server.repository.versions(&name.model);
    Ok(Json(protocol::metadata(model.predictor.manifest(), &versions, &model.sha256)))
}

async fn model_ready(
    State(server): State<Arc<Server>>,
    Path(name): Path<Name>,
) -> Result<Json<Value>, Problem> {
    let model = name.find(&server)?;
    Ok(Json(json!({ "name": model.name(), "ready": true })))
}

async fn infer(
    State(server): State<Arc<Server>>,
    Path(name): Path<Name>,
    request: Request,
) -> Result<Response, Problem> {
    let start = Instant::now();
    let (head, body) = request.into_parts();
    let body = read_body(&head.headers, body, &server.limits, &server.body_room).await?;
    let header_length = header_length(&head.headers)?;
    let model = name.find(&server)?;
    let long = body.bytes.len() > LONG_BODY;
    let parse = {
        let model = Arc::clone(&model);
        move || {
            let parsed = protocol::Request::parse(&body.bytes, header_length, model.predictor.manifest());
            (parsed, body.room)
        }
    };
    let (parsed, room) = if long { server.heavy(parse).await? } else { parse() };
    let mut request = parsed.map_err(Problem::bad_request)?;
    let probabilities = server.classify(&model, std::mem::take(&mut request.pixels)).await?;
    let (body, json_length) = request.answer(&probabilities, model.predictor.manifest(), &model.sha256);
    server.metrics.answered(&model, start);
    let response = match json_length {
        None => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Some(length) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (HeaderName::from_static(protocol::HEADER_LENGTH), length.to_string()),
            ];
            (headers, body).into_response()
        }
    };
    Ok(holding(response, room))
}

fn header_length(headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    let Some(value) = headers.get(protocol::HEADER_LENGTH) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || Problem::bad_request(format!("{}: {value:?}, expected a number", protocol::HEADER_LENGTH));
    number.map(Some).ok_or_else(wrong)
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

async fn unload(State(server): State<Arc<Server>>, Path(name): Path<Name>) -> Result<StatusCode, Problem> {
    server.repository.unload(&name.model)?;
    Ok(StatusCode::OK)
}

async fn metrics(State(server): State<Arc<Server>>) -> Response {
    server.metrics.queue_images.set(server.pool.taken());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], server.metrics.encode()).into_response()
}

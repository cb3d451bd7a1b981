//! Classifying images by the Open Inference Protocol v2.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::serve::body::{BoundedBody, holding};
use crate::serve::error::{InPath, Problem};
use crate::serve::model::Model;
use crate::serve::protocol;
use crate::serve::state::Server;

/// Bodies longer than this are parsed beside the threads that serve connections.
pub(super) const LONG_BODY: usize = 128 << 10;

/// When a request's head was there: an extractor, to stand before that of the body.
pub(super) struct Start(pub(super) Instant);

impl<S: Sync> axum::extract::FromRequestParts<S> for Start {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut axum::http::request::Parts, _: &S) -> Result<Start, Self::Rejection> {
        Ok(Start(Instant::now()))
    }
}

/// The `{model}` and `{version}` of a route.
#[derive(Deserialize)]
pub(super) struct Name {
    pub(super) model: String,
    version: Option<String>,
}

impl Name {
    fn find(&self, server: &Server) -> Result<Arc<Model>, Problem> {
        Ok(server.repository.find(&self.model, self.version.as_deref())?)
    }
}

pub(super) async fn metadata(
    State(server): State<Arc<Server>>,
    InPath(name): InPath<Name>,
) -> Result<Json<Value>, Problem> {
    let model = name.find(&server)?;
    let versions = server.repository.versions(&name.model);
    Ok(Json(protocol::metadata(model.predictor.manifest(), &versions, &model.sha256)))
}

pub(super) async fn model_ready(
    State(server): State<Arc<Server>>,
    InPath(name): InPath<Name>,
) -> Result<Json<Value>, Problem> {
    let model = name.find(&server)?;
    Ok(Json(json!({ "name": model.name(), "ready": true })))
}

pub(super) async fn config(
    State(server): State<Arc<Server>>,
    InPath(name): InPath<Name>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(protocol::config(name.find(&server)?.predictor.manifest())))
}

/// Of one version, or of all ready ones of a model.
pub(super) async fn statistics(
    State(server): State<Arc<Server>>,
    InPath(name): InPath<Name>,
) -> Result<Json<Value>, Problem> {
    // The newest, or why there is none.
    let found = name.find(&server)?;
    if name.version.is_some() {
        return Ok(statistics_of(&[found]));
    }
    let mut models = server.repository.ready_models();
    models.retain(|model| model.name() == name.model);
    Ok(statistics_of(&models))
}

/// Of all models.
pub(super) async fn all_statistics(State(server): State<Arc<Server>>) -> Json<Value> {
    statistics_of(&server.repository.ready_models())
}

fn statistics_of(models: &[Arc<Model>]) -> Json<Value> {
    let stats: Vec<Value> =
        models.iter().map(|model| model.statistics.to_json(model.name(), model.version())).collect();
    Json(json!({ "model_stats": stats }))
}

pub(super) async fn infer(
    State(server): State<Arc<Server>>,
    InPath(name): InPath<Name>,
    Start(start): Start,
    headers: HeaderMap,
    body: BoundedBody,
) -> Result<Response, Problem> {
    let header_length = header_length(&headers)?;
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
    let images = model.images_in(&request.pixels);
    let probabilities = server.classify(&model, std::mem::take(&mut request.pixels), start).await?;
    let (body, json_length) = request.answer(&probabilities, model.predictor.manifest(), &model.sha256);
    server.metrics.answered(&model, images, start);
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
    let mut values = headers.get_all(protocol::HEADER_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad_request(format!("{}: there twice, expected once", protocol::HEADER_LENGTH)));
    }
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || Problem::bad_request(format!("{}: {value:?}, expected a number", protocol::HEADER_LENGTH));
    number.map(Some).ok_or_else(wrong)
}

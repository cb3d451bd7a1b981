//! The page for people, what it asks for, and `POST /predict` for images as they are.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64ct::{Base64, Encoding};
use serde::Deserialize;
use serde_json::{Value, json};
use zoo::{MANIFEST, Selector, Spec};

use super::body::{holding, read_body};
use super::guard::Problem;
use super::model::Model;
use super::{Server, aside};
use crate::decode::decode_within;
use crate::explain::Planes;
use crate::preprocess::preprocess;

/// Images that need more memory than this when decoded are refused (22 million coloured pixels).
const MAX_DECODED_BYTES: u64 = 64 << 20;

pub(super) fn routes() -> Router<Arc<Server>> {
    let asset = |content_type: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, content_type)], text) })
    };
    Router::new()
        .route("/", asset("text/html; charset=utf-8", include_str!("page/index.html")))
        .route("/app.js", asset("text/javascript; charset=utf-8", include_str!("page/app.js")))
        .route("/style.css", asset("text/css; charset=utf-8", include_str!("page/style.css")))
        .route("/predict", post(predict))
        .route("/models", get(models))
        .route("/models/{model}/{version}/{*file}", get(file))
}

#[derive(Deserialize)]
struct PredictQuery {
    /// `NAME` or `NAME@VERSION`; the first model by name if there is none.
    model: Option<String>,
    /// How many classes to name.
    top_k: Option<usize>,
    /// Also what the network sees, and what its convolutions make of it.
    #[serde(default)]
    explain: bool,
}

async fn predict(
    State(server): State<Arc<Server>>,
    query: Result<Query<PredictQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let start = Instant::now();
    let body = read_body(&headers, body, &server.limits, &server.body_room).await?;
    let Query(query) = query.map_err(|e| Problem::bad_request(e.to_string()))?;
    let model = find(&server, query.model.as_deref())?;
    let pixels = {
        let model = Arc::clone(&model);
        server.heavy(move || decode(&body.bytes, &model)).await?.map_err(Problem::bad_request)?
    };
    let probabilities = server.classify(&model, pixels.clone()).await?;
    let prediction = model.predictor.prediction(pixels, probabilities);
    let manifest = model.predictor.manifest();
    let top_k = query.top_k.unwrap_or(usize::MAX);
    let mut answer = json!({
        "model": manifest.name,
        "version": manifest.version,
        "model_sha256": model.sha256,
        "label": prediction.label,
        "classes": prediction.classes.iter().take(top_k).collect::<Vec<_>>(),
    });
    if query.explain {
        let shape = manifest.image_shape();
        answer["input"] = json!({
            "shape": [shape.channels, shape.height, shape.width],
            "pixels": Base64::encode_string(&prediction.pixels),
        });
        let model = Arc::clone(&model);
        answer["layers"] = server.heavy(move || layers(&model, &prediction.pixels)).await?.map_err(failed)?;
    }
    server.metrics.answered(&model, start);
    Ok(Json(answer))
}

/// What each convolution makes of an image.
fn layers(model: &Model, pixels: &[u8]) -> crate::Result<Value> {
    let maps = match &model.explainer {
        Some(explainer) => explainer.feature_maps(pixels)?,
        None => Vec::new(),
    };
    Ok(maps.iter().map(planes).collect())
}

fn failed(error: crate::Error) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn find(server: &Server, spec: Option<&str>) -> Result<Arc<Model>, Problem> {
    let Some(spec) = spec else {
        let first = server.repository.ready_models().into_iter().next();
        let name = first.map(|model| model.name().to_owned());
        let none = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no model is ready");
        return Ok(server.repository.find(&name.ok_or_else(none)?, None)?);
    };
    let spec: Spec = spec.parse().map_err(Problem::bad_request)?;
    let version = match spec.selector {
        Selector::Latest => None,
        Selector::Version(version) => Some(version.to_string()),
        Selector::Alias(alias) => Some(alias),
    };
    Ok(server.repository.find(&spec.name, version.as_deref())?)
}

/// From an image file to what the network takes.
fn decode(bytes: &[u8], model: &Model) -> Result<Vec<u8>, String> {
    let image = decode_within(bytes, "body".as_ref(), MAX_DECODED_BYTES).map_err(|e| e.to_string())?;
    let manifest = model.predictor.manifest();
    Ok(preprocess(&image, manifest.preprocessing, manifest.image_shape()))
}

/// Planes in 256 steps from the lowest value to the highest.
fn planes(planes: &Planes) -> Value {
    let (low, high) = planes.values.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
    let steps: Vec<u8> = planes.values.iter().map(|v| ((v - low) * scale).round() as u8).collect();
    json!({
        "layer": planes.layer,
        "count": planes.count,
        "height": planes.height,
        "width": planes.width,
        "low": low,
        "high": high,
        "values": Base64::encode_string(&steps),
    })
}

/// What the page shows of each model: its claims, and the proof. Not before all have been looked at.
async fn models(State(server): State<Arc<Server>>) -> Result<Json<Value>, Problem> {
    if !server.ready() {
        return Err(Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "the models are being checked"));
    }
    let card = |model: Arc<Model>| {
        let manifest = model.predictor.manifest();
        json!({
            "manifest": manifest,
            "sha256": model.sha256,
            "proof": model.proof,
            "files": model.version_dir.is_some(),
            "filters": model.explainer.as_ref().map(|explainer| planes(explainer.filters())),
        })
    };
    Ok(Json(server.repository.ready_models().into_iter().map(card).collect()))
}

/// A file of a version, its hash checked. Only names that the manifest lists are looked for.
async fn file(
    State(server): State<Arc<Server>>,
    Path((name, version, file)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let model = server.repository.find(&name, Some(&version))?;
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("{name} version {version} has no {file:?}"));
    let dir = model.version_dir.clone().ok_or_else(missing)?;
    let size = match dir.manifest.files.get(&file) {
        Some(record) => record.bytes,
        None if file == MANIFEST => 0,
        None => return Err(missing()),
    };
    // A slow reader may keep a file in memory for long.
    let most = server.limits.all_bodies_bytes as u64;
    let size = u32::try_from(size.min(most)).unwrap_or(u32::MAX);
    let room = Arc::clone(&server.file_room).try_acquire_many_owned(size);
    let no_room = |_| Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "no room for more files");
    let room = room.map_err(no_room)?;
    let content_type = match file.rsplit('.').next() {
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("md" | "csv" | "yaml") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let damaged = |e: zoo::Error| failed(e.into());
    let bytes = aside(move || dir.read(&file)).await?.map_err(damaged)?;
    Ok(holding(([(header::CONTENT_TYPE, content_type)], bytes).into_response(), room))
}

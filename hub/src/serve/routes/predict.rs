//! `POST /predict`: images as they are, and what the network makes of them.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use base64ct::{Base64, Encoding};
use image::{DynamicImage, ImageFormat};
use infer::Planes;
use infer::Reading;
use infer::decode::{decode_within, pixels};
use infer::preprocess::{Prepared, Scale, prepare};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use zoo::{Selector, Spec};

use super::inference::{LONG_BODY, Start};
use crate::serve::body::BoundedBody;
use crate::serve::error::Problem;
use crate::serve::model::Model;
use crate::serve::state::Server;

/// Images that need more memory than this when decoded are refused: 55 million coloured pixels, or a progressive JPEG
/// file of 18 million, all of whose coefficients are kept. A 65 KB PNG can be 64 million grey pixels.
const MAX_DECODED_BYTES: u64 = 160 << 20;
/// Images of more pixels are decoded a few at a time.
const LARGE_PIXELS: u64 = 2 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PredictQuery {
    /// `NAME` or `NAME@VERSION`; the one of `infer predict`, or the first by name, if there is none.
    model: Option<String>,
    /// How many classes to name.
    top_k: Option<usize>,
    /// Also what the network sees, and what its convolutions make of it.
    #[serde(default)]
    explain: bool,
    /// Also every object on the image, in reading order.
    #[serde(default)]
    read: bool,
    /// Also a picture of each step of the preprocessing.
    #[serde(default)]
    steps: bool,
}

pub(super) async fn predict(
    State(server): State<Arc<Server>>,
    Start(start): Start,
    query: Result<Query<PredictQuery>, QueryRejection>,
    headers: HeaderMap,
    body: BoundedBody,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query.map_err(|e| Problem::bad_request(e.to_string()))?;
    let model = find(&server, query.model.as_deref())?;
    let (bytes, room) = uploaded(&server, &headers, body).await?;
    let size = {
        let bytes = bytes.clone();
        move || pixels(&bytes)
    };
    let size = if bytes.len() > LONG_BODY { server.heavy(size).await? } else { size() };
    let is_large = size.is_none_or(|pixels| pixels > LARGE_PIXELS);
    let decode = {
        let model = Arc::clone(&model);
        move || {
            let _room = room;
            let reads = query.read && model.predictor.manifest().preprocessing.finds_objects();
            decode(&bytes, &model, reads, query.steps)
        }
    };
    let image = if is_large { server.large_image(decode).await? } else { server.heavy(decode).await? };
    let image = image.map_err(Problem::bad_request)?;
    let shape = model.predictor.manifest().image_shape();
    let input = image.prepared.pixels(shape);
    let probabilities = server.classify(&model, input.clone(), start).await?;
    let prediction = model.predictor.prediction_of(input, probabilities, image.prepared.bounds());
    let manifest = model.predictor.manifest();
    let top_k = query.top_k.unwrap_or(usize::MAX);
    let mut answer = json!({
        "model": manifest.name,
        "version": manifest.version,
        "model_sha256": model.sha256,
        "status": prediction.status,
        "label": prediction.label,
        "classes": prediction.classes.iter().take(top_k).collect::<Vec<_>>(),
    });
    answer["image"] = json!({ "width": image.width, "height": image.height, "has_more": image.has_more });
    answer["left_out"] = json!(image.prepared.left_out);
    answer["objects"] = prediction.objects.iter().map(|bounds| json!(bounds.scaled(image.scale))).collect();
    if query.read {
        // Null from a model that takes a picture as one object: of a number it would read one digit.
        answer["reading"] = image.reading.as_ref().map_or(
            Value::Null,
            |reading| json!({ "text": reading.text(), "status": reading.status, "rows": reading.rows }),
        );
    }
    if query.steps {
        answer["steps"] = image
            .steps
            .iter()
            .map(|(name, png)| json!({ "step": name, "png": Base64::encode_string(png) }))
            .collect();
    }
    if query.explain {
        answer["input"] = json!({
            "shape": [shape.channels, shape.height, shape.width],
            "pixels": Base64::encode_string(&prediction.pixels),
        });
        let model = Arc::clone(&model);
        answer["layers"] = server.heavy(move || layers(&model, &prediction.pixels)).await?.map_err(failed)?;
    }
    server.metrics.answered(&model, 1, start);
    Ok(Json(answer))
}

/// The image in a body, and the room that it takes: the body itself, or the only file of a form
/// (`curl -F image=@photo.jpg`).
async fn uploaded(
    server: &Server,
    headers: &HeaderMap,
    mut body: BoundedBody,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Problem> {
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("multipart/form-data"));
    if !is_form {
        return Ok((body.bytes.into(), body.room));
    }
    // The reader of forms keeps the whole, and gives a copy of the file.
    body.reserve_copy(server)?;
    let mut request = Request::new(Body::from(body.bytes));
    *request.headers_mut() = headers.clone();
    // The body is here already, within the server's own limit.
    DefaultBodyLimit::disable().apply(&mut request);
    let wrong = |problem: String| Problem::bad_request(format!("form: {problem}"));
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| wrong(e.body_text()))?;
    let mut found = None;
    while let Some(field) = form.next_field().await.map_err(|e| wrong(e.body_text()))? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_none() {
            let expected =
                "expected only a file; what is asked for stands in the address, as ?model=NAME&top_k=3";
            return Err(wrong(format!("field {name:?}: {expected}")));
        }
        if found.is_some() {
            return Err(wrong(format!("field {name:?}: another file, expected one")));
        }
        found = Some(field.bytes().await.map_err(|e| wrong(e.body_text()))?);
    }
    let none = || wrong("without a file; expected one, as `curl -F image=@photo.jpg` sends".into());
    Ok((found.ok_or_else(none)?, body.room))
}

/// What each convolution makes of an image.
fn layers(model: &Model, pixels: &[u8]) -> infer::Result<Value> {
    let maps = match &model.explainer {
        Some(explainer) => explainer.feature_maps(pixels)?,
        None => Vec::new(),
    };
    Ok(maps.iter().map(planes).collect())
}

fn find(server: &Server, spec: Option<&str>) -> Result<Arc<Model>, Problem> {
    let Some(spec) = spec else {
        let ready = server.repository.ready_models();
        let is_default = |model: &&Arc<Model>| server.default_model.as_deref() == Some(model.name());
        let chosen = ready.iter().find(is_default).or(ready.first());
        let name = chosen.map(|model| model.name().to_owned());
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

/// An image and what was found on it.
struct Decoded {
    width: u32,
    height: u32,
    scale: Scale,
    has_more: bool,
    prepared: Prepared,
    reading: Option<Reading>,
    /// Name and PNG of each step.
    steps: Vec<(&'static str, Vec<u8>)>,
}

/// Longest side of a picture of a step.
const STEP_SIDE: u32 = 240;

/// From an image file to what the network takes.
fn decode(bytes: &[u8], model: &Model, read: bool, steps: bool) -> Result<Decoded, String> {
    let image = decode_within(bytes, "body".as_ref(), MAX_DECODED_BYTES).map_err(|e| e.to_string())?;
    let manifest = model.predictor.manifest();
    let mut pictures = Vec::new();
    let trace = steps.then_some(&mut pictures);
    let prepared = prepare(&image, &manifest.preprocessing, manifest.image_shape(), trace);
    let reading =
        read.then(|| model.predictor.read_prepared(&prepared)).transpose().map_err(|e| e.to_string())?;
    let png = |picture: &image::GrayImage| {
        let longest = picture.width().max(picture.height());
        let picture = DynamicImage::from(picture.clone());
        let small = if longest > STEP_SIDE { picture.thumbnail(STEP_SIDE, STEP_SIDE) } else { picture };
        let mut bytes = std::io::Cursor::new(Vec::new());
        small.write_to(&mut bytes, ImageFormat::Png).map(|()| bytes.into_inner()).map_err(|e| e.to_string())
    };
    let steps =
        pictures.iter().map(|(name, picture)| Ok((*name, png(picture)?))).collect::<Result<_, String>>()?;
    let (width, height) = image.size;
    let reading = reading.map(|reading| reading.scaled(image.scale()));
    Ok(Decoded { width, height, scale: image.scale(), has_more: image.has_more, prepared, reading, steps })
}

/// Planes in 256 steps from the lowest value to the highest.
pub(super) fn planes(planes: &Planes) -> Value {
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

fn failed(error: infer::Error) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

//! What the page shows of each model, and the files of versions.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use zoo::MANIFEST;

use super::predict::planes;
use crate::serve::body::holding;
use crate::serve::error::{InPath, Problem};
use crate::serve::model::Model;
use crate::serve::state::{Server, aside};

/// What the page shows of each model: its claims, and the proof. Not before all have been looked at.
pub(super) async fn models(State(server): State<Arc<Server>>) -> Result<Json<Value>, Problem> {
    if !server.repository.scanned() {
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
pub(super) async fn file(
    State(server): State<Arc<Server>>,
    InPath((name, version, file)): InPath<(String, String, String)>,
) -> Result<Response, Problem> {
    let model = server.repository.find(&name, Some(&version))?;
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("{name} version {version} has no {file:?}"));
    let dir = model.version_dir.clone().ok_or_else(missing)?;
    let size = match dir.manifest.files.get(&file) {
        Some(record) => record.bytes,
        None if file == MANIFEST => datasets::yaml::MAX_BYTES,
        None => return Err(missing()),
    };
    // A slow reader may keep a file in memory for long. One that is longer than all the room is sent when nothing else is.
    let most = server.limits.all_bodies_bytes as u64;
    let size = u32::try_from(size.min(most)).expect("all bodies together take at most 2 GiB");
    let room = Arc::clone(&server.file_room).try_acquire_many_owned(size);
    let no_room = |_| Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "no room for more files");
    let room = room.map_err(no_room)?;
    let content_type = match file.rsplit('.').next() {
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("md" | "csv" | "yaml") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let damaged = |e: zoo::Error| {
        let message = server.repository.without_root(&e.to_string());
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    };
    // The room stays taken while it is read, even if the client is gone.
    let (bytes, room) = aside(move || (dir.read(&file), room)).await?;
    let bytes = bytes.map_err(damaged)?;
    Ok(holding(([(header::CONTENT_TYPE, content_type)], bytes).into_response(), room))
}

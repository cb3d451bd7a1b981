//! Every route, and what answers it.

mod cards;
mod inference;
mod operation;
mod page;
mod predict;

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::protocol;
use super::state::Server;

pub(super) fn all() -> Router<Arc<Server>> {
    Router::new()
        .route("/", get(page::html))
        .route("/app.js", get(page::script))
        .route("/style.css", get(page::style))
        .route("/predict", post(predict::predict))
        .route("/models", get(cards::models))
        .route("/models/{model}/{version}/{*file}", get(cards::file))
        .route("/metrics", get(operation::metrics))
        .route("/v2", get(|| async { Json(protocol::server_metadata()) }))
        .route("/v2/health/live", get(|| async { Json(json!({ "live": true })) }))
        .route("/v2/health/ready", get(operation::ready))
        .route("/v2/models/stats", get(inference::all_statistics))
        .route("/v2/models/{model}/stats", get(inference::statistics))
        .route("/v2/models/{model}/config", get(inference::config))
        .route("/v2/models/{model}/versions/{version}/stats", get(inference::statistics))
        .route("/v2/models/{model}/versions/{version}/config", get(inference::config))
        .route("/v2/models/{model}", get(inference::metadata))
        .route("/v2/models/{model}/ready", get(inference::model_ready))
        .route("/v2/models/{model}/infer", post(inference::infer))
        .route("/v2/models/{model}/versions/{version}", get(inference::metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(inference::model_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(inference::infer))
        .route("/v2/repository/index", post(operation::index))
        .route("/v2/repository/models/{model}/load", post(operation::load))
        .route("/v2/repository/models/{model}/unload", post(operation::unload))
}

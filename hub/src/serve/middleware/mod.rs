//! What every request goes through before its route, each concern in a file of its own.

mod admission;
mod authentication;
mod closing;
mod metrics;
mod origin;
mod refusal;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;

use super::state::Server;

/// The whole stack, outermost first: a request is counted, then asked where it comes from, then who
/// sends it, and last whether there is room for it.
pub(super) fn around(routes: Router<Arc<Server>>, server: &Arc<Server>) -> Router<Arc<Server>> {
    // The layer that is added last is the outermost.
    routes
        .route_layer(from_fn_with_state(Arc::clone(server), admission::admit))
        .route_layer(from_fn_with_state(Arc::clone(server), authentication::authenticate))
        .route_layer(from_fn_with_state(Arc::clone(server), origin::check_origin))
        .route_layer(from_fn_with_state(Arc::clone(server), metrics::count))
        .route_layer(from_fn_with_state(Arc::clone(server), closing::close))
}

//! What every request goes through before its route, each concern in a file of its own.

mod admission;
mod authentication;
mod closing;
mod metrics;
mod origin;
mod refusal;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

pub(crate) use origin::host_name;

use super::body::{Rest, holding};
use super::state::Server;

/// One layer for all: each would cost every request a box and a clone of what is inside.
pub(super) fn around(routes: Router<Arc<Server>>, server: &Arc<Server>) -> Router<Arc<Server>> {
    routes.layer(from_fn_with_state(Arc::clone(server), pass))
}

/// The whole stack: a request is asked where it comes from, then who sends it, and last whether there is room for
/// it; the rest of the body is read before the answer, if that is near; every answer is counted, and is the last one when the server stops.
async fn pass(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let route = refusal::route(&request).to_owned();
    let allowed = origin::check_origin(&server, &request)
        .and_then(|()| authentication::authenticate(&server, &request))
        .and_then(|()| admission::admit(&server, &request));
    let (request, rest) = Rest::of(request);
    let mut response = match allowed {
        Ok(None) => next.run(request).await,
        Ok(Some(place)) => holding(next.run(request).await, place),
        Err(refusal) => {
            drop(request);
            refusal::refuse(&server, refusal)
        }
    };
    rest.discard(&server.limits).await;
    metrics::count(&server, route, response.status());
    closing::close(&server, &mut response);
    response
}

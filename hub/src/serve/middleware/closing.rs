//! While the server stops, every answer is the last one on its connection: clients connect elsewhere, and no request is
//! lost that was sent on a connection about to be closed.

use axum::http::{HeaderValue, header};
use axum::response::Response;

use crate::serve::state::Server;

pub(super) fn close(server: &Server, response: &mut Response) {
    if server.is_stopping() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

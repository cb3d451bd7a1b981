//! Lets in who has the token, if there is one; to change what is served, only who has the administrator's.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::refusal::{is_administration, is_health, is_page, refuse};
use crate::serve::error::Problem;
use crate::serve::state::Server;

pub(super) async fn authenticate(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Response {
    if is_administration(&request) {
        let message = match &server.admin_token {
            Some(token) if has_token(request.headers(), token) => return next.run(request).await,
            Some(_) => "expected the header `Authorization: Bearer TOKEN` with the administrator's token",
            None => "nobody may: the server was started without --admin-token-file",
        };
        let status =
            if server.admin_token.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
        return refuse(&server, request, "admin", Problem::new(status, message)).await;
    }
    let tokens = [&server.token, &server.admin_token].into_iter().flatten();
    let known = server.token.is_none() || tokens.into_iter().any(|token| has_token(request.headers(), token));
    if known || is_health(&request) || is_page(&request) {
        return next.run(request).await;
    }
    let message = "expected the header `Authorization: Bearer TOKEN`";
    refuse(&server, request, "token", Problem::new(StatusCode::UNAUTHORIZED, message)).await
}

/// In a time that does not tell how much of the token is right. HTTP trims spaces at the end of a
/// header, so a token with one is the same token.
fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let bearer = |value: &&[u8]| value.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"bearer "));
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).filter(bearer);
    given.and_then(|value| value.get(7..)).is_some_and(|given| bool::from(given.ct_eq(token.as_bytes())))
}

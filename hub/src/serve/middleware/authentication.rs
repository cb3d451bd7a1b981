//! Lets in who has the token, if there is one; to change what is served, only who has the administrator's.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use subtle::ConstantTimeEq;

use super::refusal::{Refusal, is_administration, is_health, is_page};
use crate::serve::error::Problem;
use crate::serve::state::Server;

pub(super) fn authenticate(server: &Server, request: &Request) -> Result<(), Refusal> {
    if is_administration(request) {
        let message = match &server.admin_token {
            Some(token) if has_token(request.headers(), token) => return Ok(()),
            Some(_) => "expected the header `Authorization: Bearer TOKEN` with the administrator's token",
            None => "nobody may: the server was started without --admin-token-file",
        };
        let status =
            if server.admin_token.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
        return Err(Refusal { reason: "admin", problem: Problem::new(status, message) });
    }
    let tokens = [&server.token, &server.admin_token].into_iter().flatten();
    let known = server.token.is_none() || tokens.into_iter().any(|token| has_token(request.headers(), token));
    if known || is_health(request) || is_page(request) {
        return Ok(());
    }
    let message = "expected the header `Authorization: Bearer TOKEN`";
    Err(Refusal { reason: "token", problem: Problem::new(StatusCode::UNAUTHORIZED, message) })
}

/// In a time that does not tell how much of the token is right. HTTP trims spaces at the end of a
/// header, so a token with one is the same token.
fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let bearer = |value: &&[u8]| value.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"bearer "));
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).filter(bearer);
    given.and_then(|value| value.get(7..)).is_some_and(|given| bool::from(given.ct_eq(token.as_bytes())))
}

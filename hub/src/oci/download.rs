//! Reading from a registry that may be hostile: nothing is taken without a limit on its length and its time.
//!
//! Source: <https://github.com/opencontainers/distribution-spec>, and for tokens
//! <https://distribution.github.io/distribution/spec/auth/token/>. (`oci-client` reads manifests and tokens into memory
//! whatever their length; it is used to push, with a token from here.)

use std::io::Write;
use std::time::Duration;

use oci_client::Reference;
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

/// Longest manifest or list of manifests.
pub(super) const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// Longest answer of a token server.
const MAX_TOKEN_BYTES: u64 = 64 << 10;
/// Slowest transfer that is waited for, bytes a second.
const SLOWEST: u64 = 20_000;

/// A connection to registries, for reading.
pub(super) struct Download {
    http: Client,
    scheme: &'static str,
    /// How long anything may take that is small.
    time: Duration,
    login: Option<(String, String)>,
    token: std::sync::Mutex<Option<String>>,
}

/// Why something did not come.
#[derive(Debug)]
pub(super) enum Missing {
    /// It is not there, or is other than it should be.
    Content(String),
    /// The registry, or the way to it, failed.
    Transport(String),
}

impl From<Missing> for String {
    fn from(missing: Missing) -> String {
        match missing {
            Missing::Content(problem) | Missing::Transport(problem) => problem,
        }
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Download {
    pub(super) fn new(
        plain_http: bool,
        login: Option<(String, String)>,
        time: Duration,
    ) -> Result<Download, String> {
        let http = Client::builder()
            .connect_timeout(time.min(Duration::from_secs(10)))
            .read_timeout(time)
            .build()
            .map_err(|e| message(&e))?;
        let scheme = if plain_http { "http" } else { "https" };
        Ok(Download { http, scheme, time, login, token: std::sync::Mutex::default() })
    }

    /// A small document below the repository, such as `manifests/1`; `None` if there is none.
    pub(super) async fn document(
        &self,
        from: &Reference,
        path: &str,
        accept: &str,
    ) -> Result<Option<Vec<u8>>, Missing> {
        let read = async {
            match self.get(from, path, accept).await? {
                Some(response) => {
                    let mut bytes = Vec::new();
                    copy(response, MAX_MANIFEST_BYTES, &mut bytes).await?;
                    Ok(Some(bytes))
                }
                None => Ok(None),
            }
        };
        let late = |_| Err(Missing::Transport(format!("{path}: not there within {:?}", self.time)));
        tokio::time::timeout(self.time, read).await.unwrap_or_else(late)
    }

    /// Copies a blob of so many bytes; its digest is not checked.
    pub(super) async fn blob(
        &self,
        from: &Reference,
        digest: &str,
        size: u64,
        to: &mut impl Write,
    ) -> Result<(), Missing> {
        let time = self.time + transfer_time(size);
        let read = async {
            let response = self.get(from, &format!("blobs/{digest}"), "*/*").await?;
            let response = response.ok_or_else(|| Missing::Content(format!("{digest}: not found")))?;
            copy(response, size, to).await
        };
        let late = |_| Err(Missing::Transport(format!("{digest}: {size} bytes not there within {time:?}")));
        let count = tokio::time::timeout(time, read).await.unwrap_or_else(late)?;
        let other = || Missing::Content(format!("{digest}: {count} bytes, expected {size}"));
        if count == size { Ok(()) } else { Err(other()) }
    }

    /// `None` for what is not found.
    async fn get(&self, from: &Reference, path: &str, accept: &str) -> Result<Option<Response>, Missing> {
        let failed = |e| Missing::Transport(message(&e));
        let url = format!("{}://{}/v2/{}/{path}", self.scheme, from.resolve_registry(), from.repository());
        let request = || self.authorised(self.http.get(&url).header(ACCEPT, accept));
        let mut response = request().send().await.map_err(failed)?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(challenge) = Challenge::of(&response)
        {
            let token = self.fetch_token(&challenge, from, "pull").await.map_err(Missing::Transport)?;
            *self.token() = Some(token);
            response = request().send().await.map_err(failed)?;
        }
        match response.status() {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NOT_FOUND => Ok(None),
            // What registries answer that know no referrers.
            StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::NOT_IMPLEMENTED
                if path.starts_with("referrers/") =>
            {
                Ok(None)
            }
            status => Err(Missing::Transport(format!("{path}: the registry answered {status}"))),
        }
    }

    fn token(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.token.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn authorised(&self, request: RequestBuilder) -> RequestBuilder {
        match (&*self.token(), &self.login) {
            (Some(token), _) => request.bearer_auth(token),
            (None, Some((user, password))) => request.basic_auth(user, Some(password)),
            (None, None) => request,
        }
    }

    /// A token to push with; `None` where the registry asks for none.
    pub(super) async fn token_for_push(&self, to: &Reference) -> Result<Option<String>, String> {
        let ask = async {
            let url = format!("{}://{}/v2/", self.scheme, to.resolve_registry());
            let response = self.http.get(&url).send().await.map_err(|e| message(&e))?;
            match Challenge::of(&response) {
                Some(challenge) => self.fetch_token(&challenge, to, "pull,push").await.map(Some),
                None => Ok(None),
            }
        };
        let late = |_| Err(format!("logging in: timed out, not done within {:?}", self.time));
        tokio::time::timeout(self.time, ask).await.unwrap_or_else(late)
    }

    async fn fetch_token(
        &self,
        challenge: &Challenge,
        from: &Reference,
        actions: &str,
    ) -> Result<String, String> {
        let wrong = |problem: String| format!("token from {}: {problem}", challenge.realm);
        let mut url: Url = challenge.realm.parse().map_err(|_| wrong("not an address".into()))?;
        // A password goes nowhere in the clear but where the user said that it may.
        if url.scheme() != "https" && url.scheme() != self.scheme {
            return Err(wrong("expected https".into()));
        }
        let scope = format!("repository:{}:{actions}", from.repository());
        url.query_pairs_mut().append_pair("service", &challenge.service).append_pair("scope", &scope);
        let mut request = self.http.get(url);
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password));
        }
        let response = request.send().await.map_err(|e| wrong(message(&e)))?;
        let response = response.error_for_status().map_err(|e| wrong(message(&e)))?;
        let mut bytes = Vec::new();
        copy(response, MAX_TOKEN_BYTES, &mut bytes).await.map_err(|e| wrong(e.into()))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        token.token.or(token.access_token).ok_or_else(|| wrong("none".into()))
    }
}

/// What a registry asks for: `Bearer realm="...",service="..."`.
#[derive(Debug, PartialEq)]
struct Challenge {
    realm: String,
    service: String,
}

impl Challenge {
    /// The first in an answer's headers, of which each may name several ways to log in.
    fn of(response: &Response) -> Option<Challenge> {
        let headers = response.headers().get_all(WWW_AUTHENTICATE).iter();
        headers.filter_map(|value| value.to_str().ok()).find_map(Challenge::parse)
    }

    /// `None` for other ways to log in.
    fn parse(text: &str) -> Option<Challenge> {
        let start = text.to_ascii_lowercase().find("bearer ")?;
        let parameters = &text[start + "bearer ".len()..];
        let value = |name: &str| {
            let start = parameters.find(&format!("{name}=\""))? + name.len() + 2;
            Some(parameters[start..].split('"').next()?.to_owned())
        };
        Some(Challenge { realm: value("realm")?, service: value("service").unwrap_or_default() })
    }
}

/// Copies at most `most` bytes of an answer; returns how many there were.
async fn copy(mut response: Response, most: u64, to: &mut impl Write) -> Result<u64, Missing> {
    let too_long = || Missing::Content(format!("more than {most} bytes"));
    if response.content_length().is_some_and(|length| length > most) {
        return Err(too_long());
    }
    let mut count = 0u64;
    while let Some(chunk) = response.chunk().await.map_err(|e| Missing::Transport(message(&e)))? {
        count += chunk.len() as u64;
        if count > most {
            return Err(too_long());
        }
        to.write_all(&chunk).map_err(|e| Missing::Transport(e.to_string()))?;
    }
    Ok(count)
}

/// How long so many bytes may take.
pub(super) fn transfer_time(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST)
}

/// An error with its reasons.
pub(super) fn message(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let text = "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"a\"";
        let expected =
            Challenge { realm: "https://auth.example/token".into(), service: "registry.example".into() };
        assert_eq!(Challenge::parse(text).as_ref(), Some(&expected));
        assert_eq!(Challenge::parse(&format!("Basic realm=\"x\", {text}")), Some(expected));
        for text in ["", "Bearer", "Basic realm=\"x\"", "Bearer service=\"x\"", "Bearer realm=x"] {
            assert_eq!(Challenge::parse(text), None, "{text}");
        }
    }
}

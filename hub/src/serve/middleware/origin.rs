//! Refuses what a browser asks for on behalf of another site's page, also of one whose name was made to lead here (DNS
//! rebinding: the browser then takes this server for that site's).

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{StatusCode, header};

use super::refusal::{Refusal, is_health, is_page};
use crate::serve::error::Problem;
use crate::serve::state::Server;

pub(super) fn check_origin(server: &Server, request: &Request) -> Result<(), Refusal> {
    // Health is asked for by probes under any name, and tells nothing.
    if is_health(request) {
        return Ok(());
    }
    if !server.hosts.as_ref().is_none_or(|hosts| is_known(request, hosts)) {
        let message = "asked for under a name that is not this server's; --host NAME lets it";
        return Err(Refusal {
            reason: "host",
            problem: Problem::new(StatusCode::MISDIRECTED_REQUEST, message),
        });
    }
    if is_page(request) || !from_another_site(request) {
        return Ok(());
    }
    let problem = Problem::new(StatusCode::FORBIDDEN, "asked for by a page of another site");
    Err(Refusal { reason: "origin", problem })
}

/// A browser says so in `Sec-Fetch-Site`, or, where that is not sent (plain HTTP to other machines),
/// by an `Origin` that is not this `Host`.
fn from_another_site(request: &Request) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => !["none", "same-origin"].contains(&site),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            let names = names(request);
            names.is_empty() || names.into_iter().any(|name| name.is_none() || name != host)
        }
        (None, None) => false,
    }
}

/// The name alone of what `Host` says: in lower case, without port and final dot.
pub(crate) fn host_name(host: &str) -> String {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The names that a request is for, `None` for one that is no text: that in the target, and else what `Host` says (RFC 9112,
/// 3.3). Old clients send none, browsers always one; a proxy in between may have looked at any of several.
fn names(request: &Request) -> Vec<Option<&str>> {
    let hosts = request.headers().get_all(header::HOST).iter().map(|value| value.to_str().ok());
    match request.uri().authority() {
        // Without the user that may stand before it.
        Some(authority) => vec![authority.as_str().rsplit('@').next()],
        None => hosts.collect(),
    }
}

/// Whether every name is an address, this machine, or one of `hosts`.
fn is_known(request: &Request, hosts: &[String]) -> bool {
    names(request).into_iter().all(|name| name.is_some_and(|name| is_known_name(name, hosts)))
}

fn is_known_name(host: &str, hosts: &[String]) -> bool {
    let name = host_name(host);
    name.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || hosts.contains(&name)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn names_without_ports() {
        for host in ["zoo.example.org", "Zoo.Example.org:8080", "zoo.example.org.", "zoo.example.org.:443"] {
            assert_eq!(host_name(host), "zoo.example.org");
        }
        assert_eq!((host_name("[::1]:8080"), host_name("")), ("::1".into(), "".into()));
    }

    #[test]
    fn pages_of_other_sites() {
        let is_other = |target: &str, names: &[&str], origin: &str| {
            let request = Request::get(target).header("origin", origin);
            let request = names.iter().fold(request, |request, name| request.header("host", *name));
            from_another_site(&request.body(Body::empty()).unwrap())
        };
        assert!(!is_other("/predict", &["localhost:8080"], "http://localhost:8080"));
        assert!(!is_other("http://localhost:8080/predict", &["any"], "http://localhost:8080"));
        assert!(is_other("/predict", &["localhost:8080"], "http://evil.example"));
        assert!(is_other("/predict", &["evil.example", "localhost"], "http://evil.example"));
        assert!(is_other("http://localhost/predict", &["evil.example"], "http://evil.example"));
    }

    #[test]
    fn names_that_lead_here() {
        let ask = |target: &str, names: &[&str]| {
            let request =
                names.iter().fold(Request::get(target), |request, name| request.header("host", *name));
            is_known(&request.body(Body::empty()).unwrap(), &["zoo.example.org".into()])
        };
        let known = |host: &str| ask("/v2", &[host]);
        for host in
            ["127.0.0.1:8080", "[::1]:8080", "10.0.0.7", "localhost:1", "LOCALHOST", "Zoo.Example.org.:80"]
        {
            assert!(known(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            ":80",
        ] {
            assert!(!known(host), "{host}");
        }
        assert!(ask("/v2", &[]), "HTTP/1.0");
        for names in [["localhost", "evil.example"], ["evil.example", "localhost"]] {
            assert!(!ask("/v2", &names), "{names:?}");
        }
        assert!(!ask("http://evil.example/v2", &["localhost"]));
        assert!(!ask("http://localhost:x@evil.example/v2", &["localhost"]));
        assert!(ask("http://localhost:8080/v2", &["evil.example"]));
    }
}

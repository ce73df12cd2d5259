//! Who may ask, and what browsers may do with the answers.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::Refusal;

/// The page may load its own two files, talk to its own server, and show pictures that it was given. Nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Clone, Copy)]
pub(super) struct Guard {
    /// Whether only this machine can reach the server.
    pub(super) loopback: bool,
}

/// Lets a request through if it comes from our own page, or from no page at all.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match refusal(guard, request.method(), request.headers()) {
        Some(words) => Refusal(StatusCode::FORBIDDEN, words).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Why a request with these headers is refused, if it is.
fn refusal(guard: Guard, method: &Method, headers: &HeaderMap) -> Option<String> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let host = headers.get(header::HOST).map(text).unwrap_or_default();
    // A page elsewhere may point a name of its own at this machine, and then read what is answered to it.
    if guard.loopback && !is_local(&host) {
        return Some(format!("expected the host localhost or 127.0.0.1, found `{host}`"));
    }
    // A page elsewhere may send forms here. Browsers then say whose it is; other programs need not.
    let origin = headers.get(header::ORIGIN).map(text).filter(|_| method == Method::POST)?;
    let own = origin.split_once("://").is_some_and(|(_, at)| at == host);
    (!own).then(|| format!("expected a request from this server's own page, found one from `{origin}`"))
}

/// Whether a browser that asks this host asks this machine, whatever names others have made up.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_its_own_page_are_let_through() {
        let refused = |loopback, method: Method, host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
            }
            refusal(Guard { loopback }, &method, &headers).is_some()
        };
        for host in
            ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST", "127.0.0.1", "127.0.0.2:80"]
        {
            assert!(!refused(true, Method::GET, host, None), "{host}");
            assert!(!refused(true, Method::POST, host, Some(&format!("http://{host}"))), "{host}");
        }
        for host in
            ["evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]:80"]
        {
            assert!(refused(true, Method::GET, host, None), "{host}");
            assert!(!refused(false, Method::GET, host, None), "{host}");
        }
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost:9",
            "https://localhost:8080.evil.example",
            "http://\u{f8}rsted.example",
        ] {
            assert!(refused(true, Method::POST, "localhost:8080", Some(origin)), "{origin}");
            assert!(refused(false, Method::POST, "lab:8080", Some(origin)), "{origin}");
        }
    }
}

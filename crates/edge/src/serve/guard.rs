//! Who may ask, and what browsers may do with the answers.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
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
        Some(words) => Refusal(StatusCode::FORBIDDEN, words.to_owned()).into_response(),
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
fn refusal(guard: Guard, method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    // A page elsewhere may point a name of its own at this machine, and then read what is answered to it.
    if guard.loopback && !is_local(host) {
        return Some("expected a request to localhost or 127.0.0.1 by that name");
    }
    // A page elsewhere may send forms here.
    let foreign =
        text(header::ORIGIN).is_some_and(|origin| origin.split_once("://").map(|(_, at)| at) != Some(host));
    (method == Method::POST && foreign).then_some("expected a request from this server's own page")
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].contains(&name.to_ascii_lowercase().as_str())
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
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            refusal(Guard { loopback }, &method, &headers).is_some()
        };
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST", "127.0.0.1"] {
            assert!(!refused(true, Method::GET, host, None), "{host}");
            assert!(!refused(true, Method::POST, host, Some(&format!("http://{host}"))), "{host}");
        }
        for host in
            ["evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]:80"]
        {
            assert!(refused(true, Method::GET, host, None), "{host}");
            assert!(!refused(false, Method::GET, host, None), "{host}");
        }
        for origin in
            ["http://evil.example", "null", "http://localhost:9", "https://localhost:8080.evil.example"]
        {
            assert!(refused(true, Method::POST, "localhost:8080", Some(origin)), "{origin}");
            assert!(refused(false, Method::POST, "lab:8080", Some(origin)), "{origin}");
        }
    }
}

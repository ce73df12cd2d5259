//! Protection against requests from other sites, and security headers.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::Response,
};

use super::refusal::Refusal;

/// A page may only load files from this server, send requests to it, and show the user's pictures.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Lets requests of the server's own page and of programs other than browsers pass.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let mut response = match refusal(request.method(), request.headers()) {
        Some(refusal) => refusal.answer(request.headers()),
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

/// The refusal of a request with these headers, if it is refused.
fn refusal(method: &Method, headers: &HeaderMap) -> Option<Refusal> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let host = headers.get(header::HOST).map(text).unwrap_or_default();
    // DNS rebinding: another site may point its own name at this machine and read the answers. It cannot do so with an IP address.
    if !is_address(&host) {
        return Some(Refusal::new(StatusCode::FORBIDDEN, "server.host", [("host", host)]));
    }
    // Another site may send forms to this server. Browsers then send the origin; other programs need not.
    let origin = headers.get(header::ORIGIN).map(text).filter(|_| method == Method::POST)?;
    let own = origin.split_once("://").is_some_and(|(_, at)| at == host);
    (!own).then(|| Refusal::new(StatusCode::FORBIDDEN, "server.origin", [("origin", origin)]))
}

/// Whether a host is localhost or an IP address, whose name no other site can redirect.
fn is_address(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_hosts_and_origins_are_refused() {
        let refused = |method: Method, host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
            }
            refusal(&method, &headers).is_some()
        };
        for host in [
            "localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "LOCALHOST",
            "127.0.0.1",
            "192.168.1.7:80",
            "[fd00::7]:80",
        ] {
            assert!(!refused(Method::GET, host, None), "{host}");
            assert!(!refused(Method::POST, host, Some(&format!("http://{host}"))), "{host}");
        }
        // Even with the same origin, as after DNS rebinding.
        for host in ["evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example:80", "lab:80", ""]
        {
            assert!(refused(Method::GET, host, None), "{host}");
            assert!(refused(Method::POST, host, Some(&format!("http://{host}"))), "{host}");
        }
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost:9",
            "https://localhost:8080.evil.example",
            "http://\u{f8}rsted.example",
        ] {
            assert!(refused(Method::POST, "localhost:8080", Some(origin)), "{origin}");
            assert!(refused(Method::POST, "192.168.1.7:8080", Some(origin)), "{origin}");
        }
    }
}

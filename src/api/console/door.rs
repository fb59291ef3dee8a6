//! Who comes in: the console's own page, under a name of ours, and nobody whom another page has sent.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::read::Problem;

/// What must stand beside a request that changes something. No form can send it, and no script of another page may.
const DELIBERATELY: &str = "x-nearcopy-console";
/// How long an answer may take; a connection lasts a little longer.
const PATIENCE: Duration = Duration::from_secs(8);
/// What browsers are told of whatever is served: it does nothing but talk to this listener, and nobody keeps or frames it.
const SEALS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Puts the seals on an answer.
pub(super) async fn sealed(mut response: Response) -> Response {
    for (name, value) in SEALS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Where only this machine can come, whoever comes must call it so: the name of a page elsewhere may be made to lead here, and
/// its scripts would then count as our own.
pub(super) async fn by_own_name(request: Request, next: Next) -> Response {
    let host = text(request.headers(), "host").and_then(|host| host.parse::<Authority>().ok());
    if host.is_some_and(|host| is_loopback(host.host())) {
        return next.run(request).await;
    }
    Problem::barred("ask for it as `localhost` or `127.0.0.1`: others have no name for this machine")
        .into_response()
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Answers no other page, and what changes something only where that is meant.
pub(super) async fn from_own_page(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !is_own(headers) {
        return Problem::barred("another page has asked for it").into_response();
    }
    if request.method() != Method::GET && !is_deliberate(headers) {
        let detail =
            format!("what changes something is sent as `application/json`, with a header `{DELIBERATELY}`");
        return Problem::barred(detail).into_response();
    }
    next.run(request).await
}

/// Whether a browser says that our own page asks, or that a person does; other programs say nothing.
fn is_own(headers: &HeaderMap) -> bool {
    let site = text(headers, "sec-fetch-site");
    let is_near = site.is_none_or(|site| ["same-origin", "none"].contains(&site));
    let host = text(headers, "host").unwrap_or_default();
    let origin = headers.get("origin").map(|origin| origin.to_str().unwrap_or_default());
    let is_here = |origin: &str| {
        let named = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        named.is_some_and(|named| named.eq_ignore_ascii_case(host))
    };
    is_near && origin.is_none_or(is_here)
}

fn is_deliberate(headers: &HeaderMap) -> bool {
    let kind = text(headers, "content-type").and_then(|kind| kind.split(';').next());
    headers.contains_key(DELIBERATELY)
        && kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Says so where an answer takes too long.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(PATIENCE, next.run(request)).await;
    answered.unwrap_or_else(|_| Problem::late("it takes longer than a page waits").into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_loopback_lead_to_loopback() {
        for (host, expected) in [
            ("localhost", true),
            ("LocalHost", true),
            ("127.0.0.1", true),
            ("127.8.9.1", true),
            ("[::1]", true),
            ("localhost.example.org", false),
            ("10.0.0.7", false),
            ("0.0.0.0", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }

    #[test]
    fn another_page_is_told_from_our_own() {
        for (origin, site, expected) in [
            (None, None, true),
            (None, Some("none"), true),
            (Some("http://localhost:9464"), Some("same-origin"), true),
            (Some("http://localhost:9464"), None, true),
            (None, Some("cross-site"), false),
            (None, Some("same-site"), false),
            (Some("http://localhost:8080"), None, false),
            (Some("http://localhost"), None, false),
            (Some("null"), None, false),
            (Some("http://evil.example"), Some("same-origin"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("localhost:9464"));
            for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_own(&headers), expected, "{headers:?}");
        }
    }
}

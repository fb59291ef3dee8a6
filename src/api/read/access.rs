//! Who may read.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use ring::hmac;

use super::problem::Problem;

/// Lets only those through who send this token.
pub(super) fn guarded(router: Router, token: &str) -> Router {
    // What is sent is compared by its signature, so that the time it takes tells nothing.
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    let expected = hmac::sign(&key, token.as_bytes());
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let is_known = bearer(request.headers())
            .is_some_and(|given| hmac::verify(&key, given.as_bytes(), expected.as_ref()).is_ok());
        admit(is_known, request, next)
    }))
}

async fn admit(is_known: bool, request: Request, next: Next) -> Response {
    if is_known { next.run(request).await } else { Problem::stranger().into_response() }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

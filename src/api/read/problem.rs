//! What went wrong, as RFC 9457 has it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::replication::QueryError;
use crate::store::StoreError;

/// Why a reader is not told what it asked for.
#[derive(Clone, Debug)]
pub(in crate::api) struct Problem {
    pub(in crate::api) status: StatusCode,
    pub(in crate::api) kind: &'static str,
    title: &'static str,
    pub(in crate::api) detail: String,
    pub(in crate::api) more: Map<String, Value>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, title, detail: detail.into(), more: Map::new() }
    }

    /// The same with one more member.
    pub(super) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.more.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// What was sent makes no sense.
    pub(in crate::api) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request makes no sense", detail)
    }

    /// There is no such replica, or no such thing to do with it.
    pub(in crate::api) fn unknown(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown-resource", "There is nothing at this address", detail)
    }

    /// What the server itself refuses: a body that is too large, a path that is no text.
    pub(super) fn refused(status: StatusCode) -> Self {
        let detail = status.canonical_reason().unwrap_or("the request cannot be taken");
        Self::new(status, "refused", "The request cannot be taken", detail)
    }

    /// There is no such entity, as far as is known.
    pub(in crate::api) fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such entity", detail)
    }

    /// What was wished for had not come true in time.
    pub(in crate::api) fn late(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "not-in-time",
            "What was wished for did not come in time",
            detail,
        )
    }

    /// What has happened since then is not known any more.
    pub(super) fn lost() -> Self {
        let detail = "read everything anew, and watch from now on";
        Self::new(StatusCode::GONE, "position-lost", "The position is not known any more", detail)
    }

    /// The reader is known, and may not read that.
    pub(super) fn forbidden(replica: &str) -> Self {
        let detail = format!("your token is not for `{replica}`");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This replica is not for you", detail)
    }

    /// Whoever asks did not say who it is; the setting has the tokens.
    pub(super) fn stranger(setting: &str) -> Self {
        let detail = format!("send the token of `{setting}`: `Authorization: Bearer …`");
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A token is needed here", detail)
    }

    /// It is asked in a way in which it is not answered, whoever asks.
    pub(in crate::api) fn barred(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "barred", "This is not answered", detail)
    }

    /// It cannot be answered now.
    pub(in crate::api) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "This cannot be answered now", detail)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(event = "read.failed", class = %error.class(), %error, "a reader could not be answered");
        let title = "The database cannot be read now";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title, "try again in a moment")
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        Self::bad(error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:nearcopy:problem:{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(body) = body.as_object_mut() {
            body.extend(self.more);
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

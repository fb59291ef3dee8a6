//! The addresses that readers ask at.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query as Parameters, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::answer::Answers;
use super::openapi;
use super::problem::Problem;
use super::watch;
use super::wish::Asked;

/// How large a body may be.
const LARGEST_BODY: usize = 256 * 1024;
/// What there is.
const ADDRESSES: &str =
    "see `/v1/{replica}/{id}`, `/v1/{replica}`, `:batchGet`, `:exists`, `:watch` and `/openapi.json`";

type Shared = State<Arc<Answers>>;
/// Parameters as they came, each with its value.
type Pairs = Parameters<Vec<(String, String)>>;
type Answer = Result<Response, Problem>;

/// What a batch asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    ids: Vec<Value>,
}

/// Everything that readers can ask for by REST.
pub(super) fn router(answers: Arc<Answers>, service: &str, stop: CancellationToken) -> Router {
    let described = openapi::document(service, answers.replicas());
    Router::new()
        .route("/v1/{replica}", get(many).post(batch))
        .route("/v1/{replica}/{id}", get(one))
        .route("/openapi.json", get(|| async move { Json(described) }))
        .fallback(|| async { Problem::unknown(ADDRESSES) })
        .method_not_allowed_fallback(|uri: Uri| async move { wrong_method(uri.path()) })
        .layer(Extension(stop))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::map_response(as_problem))
        .with_state(answers)
}

/// What is asked by another method than is meant; says by which.
fn wrong_method(target: &str) -> Response {
    let allowed = if target.ends_with(":batchGet") { "POST" } else { "GET,HEAD" };
    let problem = Problem::refused(StatusCode::METHOD_NOT_ALLOWED);
    ([(header::ALLOW, allowed)], problem).into_response()
}

/// Whatever is refused is refused in one form.
async fn as_problem(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_other = kind.is_none_or(|kind| !kind.ends_with("json"));
    let status = response.status();
    if is_other && (status.is_client_error() || status.is_server_error()) {
        return Problem::refused(status).into_response();
    }
    response
}

/// `GET /v1/{replica}/{id}`
async fn one(
    State(answers): Shared,
    Path((replica, id)): Path<(String, String)>,
    Parameters(parameters): Pairs,
    headers: HeaderMap,
) -> Answer {
    let one = answers.one(&replica, &id, &Asked::read(&parameters)?).await?;
    let tag = one.tag();
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let is_known = known.flat_map(|tags| tags.split(',')).any(|known| matches(known.trim(), &tag));
    let mut response =
        if is_known { StatusCode::NOT_MODIFIED.into_response() } else { Json(one).into_response() };
    // It may be kept, and is asked about each time.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// `POST /v1/{replica}:batchGet`
async fn batch(
    State(answers): Shared,
    Path(target): Path<String>,
    Parameters(parameters): Pairs,
    body: Bytes,
) -> Answer {
    let Some(replica) = target.strip_suffix(":batchGet") else {
        return Ok(wrong_method(&target));
    };
    let batch: Batch = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad(format!("the body is `{{\"ids\": […]}}` as JSON: {error}")))?;
    let ids: Vec<String> = batch.ids.iter().map(text).collect::<Result<_, _>>()?;
    Ok(told(answers.batch(replica, &ids, &Asked::read(&parameters)?).await?))
}

/// `GET /v1/{replica}`, `GET /v1/{replica}:exists` and `GET /v1/{replica}:watch`
async fn many(
    State(answers): Shared,
    Extension(stop): Extension<CancellationToken>,
    Path(target): Path<String>,
    Parameters(parameters): Pairs,
    headers: HeaderMap,
) -> Answer {
    match target.rsplit_once(':') {
        Some((replica, "exists")) => Ok(told(answers.exists(replica, &parameters).await?)),
        Some((replica, "watch")) => {
            let (ids, from) = watched(&parameters, &headers)?;
            Ok(watch::events(answers.watch(replica, &ids, from).await?, stop))
        }
        Some((_, "batchGet")) => Ok(wrong_method(&target)),
        _ => Ok(told(answers.list(&target, &parameters).await?)),
    }
}

/// Whom somebody watches, and from where on.
fn watched<'a>(
    parameters: &'a [(String, String)],
    headers: &'a HeaderMap,
) -> Result<(Vec<String>, Option<&'a str>), Problem> {
    let (mut ids, mut from) = (Vec::new(), None);
    for (name, text) in parameters {
        match name.as_str() {
            "id" => ids.extend(text.split(',').map(str::to_owned)),
            "from" => from = Some(text.as_str()),
            _ => {
                return Err(Problem::bad(format!(
                    "there is no parameter `{name}`; there are `id` and `from`"
                )));
            }
        }
    }
    // What a client says that takes it up again is later than what stands in its URL.
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok());
    Ok((ids, last.filter(|last| !last.is_empty()).or(from)))
}

fn told(answer: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

/// An id of a body as it would stand in a URL.
fn text(id: &Value) -> Result<String, Problem> {
    match id {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Problem::bad("an id is a text or a number")),
    }
}

/// Whether a tag of `If-None-Match` is this one.
fn matches(known: &str, tag: &str) -> bool {
    known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
}

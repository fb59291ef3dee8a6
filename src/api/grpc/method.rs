//! The methods of the service, each with what it asks for.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tonic::server::UnaryService;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::super::read::{Answers, Asked, Problem};
use super::message;

/// Who says so, where an error has details.
const DOMAIN: &str = "nearcopy";

/// A method, and its messages.
#[derive(Clone)]
pub(super) struct Method {
    verb: Verb,
    pub(super) is_stream: bool,
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
}

/// What a method does.
#[derive(Clone, Copy)]
enum Verb {
    Get,
    BatchGet,
    List,
    Exists,
    Watch,
}

/// One call.
pub(super) struct Call {
    pub(super) answers: Arc<Answers>,
    pub(super) method: Method,
    pub(super) within: Option<Duration>,
    pub(super) stop: CancellationToken,
}

impl Method {
    pub(super) fn of(method: &MethodDescriptor) -> Option<Self> {
        let verb = match method.name() {
            "Get" => Verb::Get,
            "BatchGet" => Verb::BatchGet,
            "List" => Verb::List,
            "Exists" => Verb::Exists,
            "Watch" => Verb::Watch,
            _ => return None,
        };
        let is_stream = method.is_server_streaming();
        Some(Self { verb, is_stream, input: method.input(), output: method.output() })
    }
}

impl UnaryService<DynamicMessage> for Call {
    type Response = DynamicMessage;
    type Future = Pin<Box<dyn Future<Output = Result<Response<DynamicMessage>, Status>> + Send>>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        let (answers, method, within) = (self.answers.clone(), self.method.clone(), self.within);
        Box::pin(async move {
            let fields = message::asked(request.get_ref())?;
            let answer = answer(&answers, method.verb, &fields, within).await.map_err(status)?;
            Ok(Response::new(message::told(answer, &method.output)?))
        })
    }
}

async fn answer(
    answers: &Answers,
    verb: Verb,
    fields: &Map<String, Value>,
    within: Option<Duration>,
) -> Result<Value, Problem> {
    let replica = message::text(fields, "replica");
    match verb {
        Verb::Get => {
            let one = answers.one(&replica, &message::text(fields, "id"), &asked(fields, within)?).await?;
            Ok(one.entity)
        }
        Verb::BatchGet => {
            answers.batch(&replica, &message::texts(fields, "ids"), &asked(fields, within)?).await
        }
        Verb::List => {
            let mut parameters = message::parameters(fields, "where");
            for name in ["page_size", "page_token"] {
                let given =
                    fields.get(name).filter(|value| value.as_i64() != Some(0) && value.as_str() != Some(""));
                parameters.extend(given.map(|value| (name.to_owned(), message::as_text(value))));
            }
            answers.list(&replica, &parameters).await
        }
        Verb::Exists => answers.exists(&replica, &looked_for(fields, within)).await,
        Verb::Watch => Err(Problem::unknown("what changes comes as a stream")),
    }
}

/// The values that are looked for, and whether the owner is asked.
fn looked_for(fields: &Map<String, Value>, within: Option<Duration>) -> Vec<(String, String)> {
    let mut parameters = message::parameters(fields, "where");
    if fields.get("owner") == Some(&Value::Bool(true)) {
        parameters.push(("consistency".into(), "owner".into()));
    }
    let within = within.map(|within| format!("{}ms", Asked::in_time(within).as_millis()));
    parameters.extend(within.map(|within| ("within".to_owned(), within)));
    parameters
}

/// What is wished for, by the parameters that say so in a URL.
fn asked(fields: &Map<String, Value>, within: Option<Duration>) -> Result<Asked, Problem> {
    let mut parameters = message::parameters(fields, "wish");
    parameters.retain(|(_, value)| !value.is_empty() && value != "false");
    for (name, value) in &mut parameters {
        if name == "local" {
            (*name, *value) = ("consistency".into(), "local".into());
        }
    }
    let asked = Asked::read(&parameters)?;
    Ok(match within {
        Some(within) => asked.within(within),
        None => asked,
    })
}

/// How long the caller waits, as it says in its header.
pub(super) fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number.saturating_mul(3_600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A problem as gRPC says it.
pub(super) fn status(problem: Problem) -> Status {
    let code = match problem.status {
        StatusCode::BAD_REQUEST => Code::InvalidArgument,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::GONE => Code::OutOfRange,
        StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::Internal,
    };
    let more = problem.more.into_iter().map(|(name, value)| (name, value.to_string()));
    refused(code, problem.kind, more, problem.detail)
}

/// A refusal: why in a word for programs, what more there is to know, and why in words for people.
pub(super) fn refused<N: Into<String>>(
    code: Code,
    reason: &str,
    more: impl IntoIterator<Item = (N, String)>,
    text: impl Into<String>,
) -> Status {
    let more = more.into_iter().map(|(name, value)| (name.into(), value));
    let details =
        ErrorDetails::with_error_info(reason, DOMAIN, more.collect::<std::collections::HashMap<_, _>>());
    Status::with_error_details(code, text, details)
}

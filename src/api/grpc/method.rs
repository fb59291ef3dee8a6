//! The methods of the service, each with what it asks for.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::server::UnaryService;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::super::read::{Answers, Asked, Problem};
use super::messages::{
    BatchGetRequest, BatchGetResponse, Entity, ExistsRequest, ExistsResponse, GetRequest, ListRequest,
    ListResponse, Wish,
};
use crate::event::Version;
use crate::replication;

/// Who says so, where an error has details.
const DOMAIN: &str = "nearcopy";

/// One call.
pub(super) struct Call {
    pub(super) answers: Arc<Answers>,
    pub(super) within: Option<Duration>,
    pub(super) stop: CancellationToken,
}

/// A request that is answered once.
pub(super) trait Asks: Message + Default + 'static {
    /// The message it is answered by.
    type Answer: Message + 'static;

    /// What every face answers, for a caller that waits so long.
    fn answered(
        self,
        by: &Answers,
        within: Option<Duration>,
    ) -> impl Future<Output = Result<Self::Answer, Problem>> + Send;
}

impl<Q: Asks> UnaryService<Q> for Call {
    type Response = Q::Answer;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Q::Answer>, Status>> + Send>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (answers, within) = (self.answers.clone(), self.within);
        Box::pin(async move {
            request.into_inner().answered(&answers, within).await.map(Response::new).map_err(status)
        })
    }
}

impl Asks for GetRequest {
    type Answer = Entity;

    async fn answered(self, by: &Answers, within: Option<Duration>) -> Result<Self::Answer, Problem> {
        by.one(&self.replica, &self.id, &asked(self.wish, within)?).await.map(|one| Entity::from(&one))
    }
}

impl Asks for BatchGetRequest {
    type Answer = BatchGetResponse;

    async fn answered(self, by: &Answers, within: Option<Duration>) -> Result<Self::Answer, Problem> {
        by.batch(&self.replica, &self.ids, &asked(self.wish, within)?).await.map(Into::into)
    }
}

impl Asks for ListRequest {
    type Answer = ListResponse;

    async fn answered(self, by: &Answers, _: Option<Duration>) -> Result<Self::Answer, Problem> {
        let size = (self.page_size != 0).then(|| ("page_size".to_owned(), self.page_size.to_string()));
        let token = (!self.page_token.is_empty()).then(|| ("page_token".to_owned(), self.page_token));
        let parameters: Vec<(String, String)> = self.r#where.into_iter().chain(size).chain(token).collect();
        by.list(&self.replica, &parameters).await.map(Into::into)
    }
}

impl Asks for ExistsRequest {
    type Answer = ExistsResponse;

    async fn answered(self, by: &Answers, within: Option<Duration>) -> Result<Self::Answer, Problem> {
        let owner = self.owner.then(|| ("consistency".to_owned(), "owner".to_owned()));
        let within = within.map(|within| format!("{}ms", Asked::in_time(within).as_millis()));
        let within = within.map(|within| ("within".to_owned(), within));
        let parameters: Vec<(String, String)> = self.r#where.into_iter().chain(owner).chain(within).collect();
        by.exists(&self.replica, &parameters).await.map(Into::into)
    }
}

/// What is wished for.
fn asked(wish: Option<Wish>, within: Option<Duration>) -> Result<Asked, Problem> {
    let wish = wish.unwrap_or_default();
    let most = wish.max_staleness.map(Duration::try_from).transpose();
    let asked = Asked::wishing(replication::Wish {
        min_version: wish.min_version.map(Version::new),
        max_staleness: most
            .map_err(|_| Problem::bad("`max_staleness` is a duration that is not negative"))?,
        event: Some(wish.wait_for).filter(|event| !event.is_empty()),
        local: wish.local,
    });
    Ok(within.map_or(asked.clone(), |within| asked.within(within)))
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

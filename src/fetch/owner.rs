//! One replica's owner: what is asked together, and what singly.

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, stream};
use reqwest::Client;
use secrecy::SecretString;

use super::FetchError;
use super::line::Line;
use super::request::Reply;
use super::single_flight::{Flights, Outcome, Seat};
use crate::clock;
use crate::event::EntityId;
use crate::replication::{Answer, FetchSpec, Listing, Sent, Subscription, UrlTemplate};

/// Statuses by which an owner says that it is asked too much: one question must not become many.
const BUSY: [u16; 4] = [408, 425, 429, 503];

/// The owner of one replica.
pub(super) struct Owner {
    pub(super) flights: Flights,
    replica: Arc<Subscription>,
    spec: FetchSpec,
    line: Line,
}

impl Owner {
    pub(super) fn new(
        replica: Arc<Subscription>,
        spec: FetchSpec,
        client: Client,
        token: Option<&SecretString>,
    ) -> Self {
        let (name, owner) = (replica.name.as_str(), replica.owner.as_str());
        let line = Line::new(name, owner, spec.timeout, spec.concurrency, client).with(token);
        Self { flights: Flights::default(), replica, spec, line }
    }

    pub(super) fn is_resting(&self) -> bool {
        self.line.is_resting()
    }

    /// Answers every seat: in batches where there are several, singly where a batch says nothing.
    pub(super) async fn answer(self: Arc<Self>, seats: Vec<Seat>) {
        let size = if self.spec.batch.is_some() { self.spec.batch_size.max(1) } else { 1 };
        let mut chunks = Vec::new();
        let mut seats = seats.into_iter().peekable();
        while seats.peek().is_some() {
            chunks.push(seats.by_ref().take(size).collect::<Vec<_>>());
        }
        let deadline = self.deadline(chunks.len());
        let owner = &self;
        stream::iter(chunks)
            .for_each_concurrent(self.spec.concurrency.max(1), |chunk| async move {
                match &owner.spec.batch {
                    Some(batch) if chunk.len() > 1 => owner.answer_batch(batch, chunk, deadline).await,
                    _ => owner.answer_singly(chunk, deadline).await,
                }
            })
            .await;
    }

    async fn answer_batch(&self, batch: &UrlTemplate, seats: Vec<Seat>, deadline: Instant) {
        let ids: Vec<EntityId> = seats.iter().map(|seat| seat.id().clone()).collect();
        let read = |reply: Reply| match reply {
            Reply::NotFound(status) => Err(FetchError::Failed(status)),
            Reply::Body(body, _) => {
                Ok(self.spec.answers.read_batch(&body, &ids, &self.replica, clock::wall_micros())?)
            }
        };
        let mut left = Vec::new();
        match self.line.exchange(&batch.expand(&ids), deadline, read).await {
            Ok(mut answers) => {
                for seat in seats {
                    match answers.iter().position(|(id, _)| id == seat.id()) {
                        Some(at) => seat.land(Ok(answers.swap_remove(at).1)),
                        None => left.push(seat),
                    }
                }
            }
            Err(error) if concerns_the_batch(&error) => left = seats,
            Err(error) => seats.into_iter().for_each(|seat| seat.land(Err(error.clone()))),
        }
        if !left.is_empty() {
            let deadline = self.deadline(left.len());
            self.answer_singly(left, deadline).await;
        }
    }

    async fn answer_singly(&self, seats: Vec<Seat>, deadline: Instant) {
        stream::iter(seats)
            .for_each_concurrent(self.spec.concurrency.max(1), |seat| async move {
                let outcome = self.ask_one(seat.id(), deadline).await;
                seat.land(outcome);
            })
            .await;
    }

    async fn ask_one(&self, id: &EntityId, deadline: Instant) -> Outcome {
        let read = |reply: Reply| match reply {
            Reply::NotFound(_) => Ok(Answer::NotFound),
            Reply::Body(body, _) => {
                Ok(self.spec.answers.read_one(&body, id, &self.replica, clock::wall_micros())?)
            }
        };
        self.line.exchange(&self.spec.url.expand([id]), deadline, read).await
    }

    /// Asks who has this value of a field.
    pub(super) async fn find(&self, field: &str, value: &str) -> Result<Vec<EntityId>, FetchError> {
        let url = self.spec.by.get(field).ok_or(FetchError::NotDeclared)?.expand_value(value);
        let read = |reply: Reply| match reply {
            Reply::NotFound(_) => Ok(Vec::new()),
            Reply::Body(body, _) => Ok(self.spec.answers.read_found(&body)?),
        };
        self.line.exchange(&url, self.deadline(1), read).await
    }

    /// Asks for the page of all that it has that comes after that.
    pub(super) async fn list(&self, after: Option<&str>) -> Result<Listing, FetchError> {
        let spec = self.spec.list.as_ref().ok_or(FetchError::NotDeclared)?;
        let read = |reply: Reply| match reply {
            Reply::NotFound(status) => Err(FetchError::Failed(status)),
            Reply::Body(body, link) => {
                let page = Sent { body: &body, link: link.as_deref() };
                Ok(spec.read(page, after, &self.replica, &self.spec.answers, clock::wall_micros())?)
            }
        };
        self.line.exchange(&spec.url(after), self.deadline(1), read).await
    }

    /// When so many exchanges must have ended: time for one timeout and a second try, and for each round that
    /// has to wait for its turn one timeout more.
    fn deadline(&self, exchanges: usize) -> Instant {
        let rounds = exchanges.div_ceil(self.spec.concurrency.max(1));
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX).saturating_add(1);
        clock::now() + self.spec.timeout.saturating_mul(rounds)
    }
}

/// Whether a failure may be the fault of the batch: its form, its length, or one bad entity that would hold back all
/// that are asked for with it. If it is the owner that is in trouble, its breaker soon ends the single questions.
fn concerns_the_batch(error: &FetchError) -> bool {
    match error {
        FetchError::Unreadable(_) | FetchError::Unreachable(_) => true,
        FetchError::Failed(status) => !BUSY.contains(status),
        FetchError::Resting | FetchError::Refused(_) | FetchError::NotDeclared => false,
    }
}

//! One replica's owner: how many requests at once, when it is left in peace, what is asked again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use futures::{StreamExt, stream};
use reqwest::Client;
use reqwest::header::HeaderValue;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::FetchError;
use super::breaker::{Breaker, Pass};
use super::request::{self, Failure, Reply, Sign};
use super::single_flight::{Flights, Outcome, Seat};
use crate::clock;
use crate::event::EntityId;
use crate::replication::{Answer, FetchSpec, Subscription, UrlTemplate};
use crate::telemetry::metric::{self, Fetched};

/// How often a request is repeated at once, when the owner is in passing trouble.
const MORE_TRIES: usize = 2;

/// Statuses by which an owner says that it is asked too much: one question must not become many.
const BUSY: [u16; 4] = [408, 425, 429, 503];

/// The owner of one replica.
pub(super) struct Owner {
    pub(super) flights: Flights,
    replica: Arc<Subscription>,
    spec: FetchSpec,
    client: Client,
    /// By what it knows us.
    bearer: Option<HeaderValue>,
    slots: Semaphore,
    breaker: Mutex<Breaker>,
}

impl Owner {
    pub(super) fn new(
        replica: Arc<Subscription>,
        spec: FetchSpec,
        client: Client,
        bearer: Option<HeaderValue>,
    ) -> Self {
        metric::breaker_open(replica.name.as_str(), false);
        Self {
            flights: Flights::default(),
            slots: Semaphore::new(spec.concurrency.max(1)),
            // A probe ends by its own timeout; the margin lets it be heard.
            breaker: Mutex::new(Breaker::new(spec.timeout + Duration::from_secs(1))),
            replica,
            spec,
            client,
            bearer,
        }
    }

    pub(super) fn is_resting(&self) -> bool {
        self.breaker().is_resting(clock::now())
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
            Reply::Body(body) => {
                Ok(self.spec.answers.read_batch(&body, &ids, &self.replica, clock::wall_micros())?)
            }
        };
        let mut left = Vec::new();
        match self.exchange(&batch.expand(&ids), deadline, read).await {
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
            Reply::Body(body) => {
                Ok(self.spec.answers.read_one(&body, id, &self.replica, clock::wall_micros())?)
            }
        };
        self.exchange(&self.spec.url.expand([id]), deadline, read).await
    }

    /// Asks who has this value of a field.
    pub(super) async fn find(&self, field: &str, value: &str) -> Result<Vec<EntityId>, FetchError> {
        let url = self.spec.by.get(field).ok_or(FetchError::NotDeclared)?.expand_value(value);
        let read = |reply: Reply| match reply {
            Reply::NotFound(_) => Ok(Vec::new()),
            Reply::Body(body) => Ok(self.spec.answers.read_found(&body)?),
        };
        self.exchange(&url, self.deadline(1), read).await
    }

    /// Gets and reads an answer, with a few tries while the owner is in passing trouble and there is time.
    async fn exchange<T>(
        &self,
        url: &str,
        deadline: Instant,
        read: impl Fn(Reply) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        request::check_path(url)?;
        let backoff = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_millis(500))
            .with_max_times(MORE_TRIES)
            .with_jitter();
        let outcome = (|| self.attempt(url, deadline, &read))
            .retry(backoff)
            .when(|failure: &Failure| failure.sign == Sign::Down)
            .adjust(|_, pause| pause.filter(|pause| clock::now() + *pause < deadline))
            .await;
        outcome.map_err(|failure| failure.error)
    }

    async fn attempt<T>(
        &self,
        url: &str,
        deadline: Instant,
        read: impl Fn(Reply) -> Result<T, FetchError>,
    ) -> Result<T, Failure> {
        let _slot = self.slot(deadline).await?;
        let Some(pass) = self.breaker().admit(clock::now()) else {
            metric::fetch(self.replica.name.as_str(), Fetched::Resting, None);
            return Err(Failure { error: FetchError::Resting, sign: Sign::Silent });
        };
        let started = clock::now();
        let within = self.spec.timeout.min(deadline.saturating_duration_since(started));
        let (fetched, outcome) = match request::get(&self.client, url, self.bearer.as_ref(), within).await {
            Ok(reply) => {
                let found = if matches!(reply, Reply::Body(_)) { Fetched::Found } else { Fetched::NotFound };
                match read(reply) {
                    Ok(answer) => (found, Ok(answer)),
                    Err(error) => (fetched(&error), Err(Failure { error, sign: Sign::Alive })),
                }
            }
            Err(failure) => (fetched(&failure.error), Err(failure)),
        };
        let took = clock::now().saturating_duration_since(started);
        metric::fetch(self.replica.name.as_str(), fetched, Some(took));
        self.learn(pass, outcome.as_ref().err());
        outcome
    }

    async fn slot(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Failure> {
        let waited = tokio::time::timeout_at(deadline.into(), self.slots.acquire()).await;
        waited.ok().and_then(Result::ok).ok_or_else(|| Failure {
            error: FetchError::Unreachable("as many requests as declared were under way all the time".into()),
            sign: Sign::Silent,
        })
    }

    /// Tells the breaker what an exchange says about the owner; says so once when that changes anything.
    fn learn(&self, pass: Pass, failure: Option<&Failure>) {
        let now = clock::now();
        let (replica, owner) = (self.replica.name.as_str(), self.replica.owner.as_str());
        let mut breaker = self.breaker();
        match failure {
            Some(Failure { error, sign: sign @ (Sign::Closed | Sign::Down | Sign::Rest(_)) }) => {
                let opened = match sign {
                    Sign::Rest(wanted) => breaker.asked_for_rest(pass, now, *wanted),
                    Sign::Silent | Sign::Alive | Sign::Closed | Sign::Down => breaker.failed(pass, now),
                };
                drop(breaker);
                if opened {
                    metric::breaker_open(replica, true);
                    tracing::warn!(event = "owner.resting", replica, owner, %error, "the owner is left in peace");
                }
            }
            Some(Failure { sign: Sign::Silent, .. }) => {}
            None | Some(Failure { sign: Sign::Alive, .. }) => {
                let closed = breaker.succeeded(pass);
                drop(breaker);
                if closed {
                    metric::breaker_open(replica, false);
                    tracing::info!(event = "owner.back", replica, owner, "the owner answers again");
                }
            }
        }
    }

    /// When so many exchanges must have ended: time for one timeout and a second try, and for each round that
    /// has to wait for its turn one timeout more.
    fn deadline(&self, exchanges: usize) -> Instant {
        let rounds = exchanges.div_ceil(self.spec.concurrency.max(1));
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX).saturating_add(1);
        clock::now() + self.spec.timeout.saturating_mul(rounds)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
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

fn fetched(error: &FetchError) -> Fetched {
    match error {
        FetchError::Resting => Fetched::Resting,
        FetchError::Unreachable(_) | FetchError::Failed(_) | FetchError::NotDeclared => Fetched::Failed,
        FetchError::Refused(_) => Fetched::Refused,
        FetchError::Unreadable(_) => Fetched::Unreadable,
    }
}

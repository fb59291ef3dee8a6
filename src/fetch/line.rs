//! The line to somebody who is asked: how many requests at once, when he is left in peace, what is tried again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use reqwest::Client;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::FetchError;
use super::breaker::{Breaker, Pass};
use super::request::{self, Failure, Reply, Sign};
use crate::clock;
use crate::telemetry::metric::{self, Fetched};

/// How often a request is repeated at once, when the owner is in passing trouble.
const MORE_TRIES: usize = 2;

/// One line.
pub(super) struct Line {
    /// What is asked for: a replica, or a feed.
    of: String,
    owner: String,
    timeout: Duration,
    client: Client,
    /// By what he knows us.
    bearer: Option<HeaderValue>,
    slots: Semaphore,
    breaker: Mutex<Breaker>,
}

impl Line {
    /// A line on which so many requests may be under way at once.
    pub(super) fn new(
        of: impl Into<String>,
        owner: impl Into<String>,
        timeout: Duration,
        concurrency: usize,
        client: Client,
    ) -> Self {
        let of = of.into();
        metric::breaker_open(&of, false);
        Self {
            of,
            owner: owner.into(),
            timeout,
            client,
            bearer: None,
            slots: Semaphore::new(concurrency.max(1)),
            // A probe ends by its own timeout; the margin lets it be heard.
            breaker: Mutex::new(Breaker::new(timeout + Duration::from_secs(1))),
        }
    }

    /// The same, on which this token is sent; of one with other letters than a header can have, nothing is.
    pub(super) fn with(self, token: Option<&SecretString>) -> Self {
        let bearer = token.and_then(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self { bearer, ..self }
    }

    pub(super) fn is_resting(&self) -> bool {
        self.breaker().is_resting(clock::now())
    }

    /// Gets and reads an answer, with a few tries while the owner is in passing trouble and there is time.
    pub(super) async fn exchange<T>(
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
            metric::fetch(&self.of, Fetched::Resting, None);
            return Err(Failure { error: FetchError::Resting, sign: Sign::Silent });
        };
        let started = clock::now();
        let within = self.timeout.min(deadline.saturating_duration_since(started));
        let (fetched, outcome) = match request::get(&self.client, url, self.bearer.as_ref(), within).await {
            Ok(reply) => {
                let found = if matches!(reply, Reply::Body(..)) { Fetched::Found } else { Fetched::NotFound };
                match read(reply) {
                    Ok(answer) => (found, Ok(answer)),
                    Err(error) => (fetched(&error), Err(Failure { error, sign: Sign::Alive })),
                }
            }
            Err(failure) => (fetched(&failure.error), Err(failure)),
        };
        let took = clock::now().saturating_duration_since(started);
        metric::fetch(&self.of, fetched, Some(took));
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
        let (replica, owner) = (self.of.as_str(), self.owner.as_str());
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

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
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

//! Asks owners for their events, page by page.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use super::line::Line;
use super::request::{self, Reply};
use super::{Feed, FetchError, FetchSetupError};
use crate::clock;
use crate::replication::{FeedSpec, Page};

/// An owner's events over HTTP: one request at a time, by its own breaker.
pub struct HttpFeed {
    spec: Arc<FeedSpec>,
    line: Line,
}

impl HttpFeed {
    /// Prepares to ask; the owner is sent the token, if there is one.
    pub fn new(spec: &Arc<FeedSpec>, token: Option<&SecretString>) -> Result<Self, FetchSetupError> {
        request::provide_tls();
        let client = request::client(spec.url.to_string().starts_with("https://"))?;
        let line = Line::new(&*spec.name, &*spec.name, spec.timeout, 1, client).with(token);
        Ok(Self { spec: spec.clone(), line })
    }
}

#[async_trait]
impl Feed for HttpFeed {
    async fn page(&self, after: &str) -> Result<Page, FetchError> {
        let read = |reply: Reply| match reply {
            Reply::NotFound(status) => Err(FetchError::Failed(status)),
            Reply::Body(body) => Ok(self.spec.read(&body, after)?),
        };
        // Time for one timeout and a second try.
        let deadline = clock::now() + self.spec.timeout.saturating_mul(2);
        self.line.exchange(&self.spec.url.expand_value(after), deadline, read).await
    }
}

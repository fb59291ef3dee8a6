//! Asks owners for their events, page by page.

use async_trait::async_trait;
use secrecy::SecretString;

use super::line::Line;
use super::request::{self, Reply};
use super::{Feed, FeedError, FetchError, FetchSetupError};
use crate::clock;
use crate::replication::{ListSpec, Page};

/// An owner's events over HTTP: one request at a time, by its own breaker.
pub struct HttpFeed {
    list: ListSpec,
    line: Line,
}

impl HttpFeed {
    /// Prepares to ask; the owner is sent the token, if there is one.
    pub fn new(name: &str, list: &ListSpec, token: Option<&SecretString>) -> Result<Self, FetchSetupError> {
        request::provide_tls();
        let client = request::client(list.url.to_string().starts_with("https://"))?;
        let line = Line::new(name, name, list.timeout, 1, client).with(token);
        Ok(Self { list: list.clone(), line })
    }
}

#[async_trait]
impl Feed for HttpFeed {
    async fn page(&self, after: &str) -> Result<Page, FeedError> {
        let read = |reply: Reply| match reply {
            Reply::NotFound(status) => Err(FetchError::Failed(status)),
            Reply::Body(body, _) => Ok(self.list.read(&body, after)?),
        };
        // Time for one timeout and a second try.
        let deadline = clock::now() + self.list.timeout.saturating_mul(2);
        Ok(self.line.exchange(&self.list.url.expand_value(after), deadline, read).await?)
    }
}

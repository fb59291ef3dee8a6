//! ⑤ Asking the owner for what is missing.
//!
//! The contract of every adapter: it asks, and reports what was said; what that means is decided elsewhere.
//! Only a plain "I do not know it" about one entity is [`Answer::NotFound`]. An entity that a batch answer leaves
//! out, a refusal, a timeout, an answer of another form: all of these are no answer. Every call ends within its
//! deadline.

mod breaker;
mod feed;
mod http;
mod line;
pub mod memory;
mod owner;
mod pod;
mod request;
mod single_flight;

use async_trait::async_trait;

use crate::event::{DecodeError, EntityId, EntityType};
use crate::replication::{Answer, Class, Listing, Page, Subscription};

pub use breaker::{Breaker, Pass};
pub use feed::HttpFeed;
pub use http::{FetchSetupError, HttpFetch};
pub use pod::ask_pod;

/// Asks the owners of replicas.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// Asks for some entities at once, and singly for those that the batch answer leaves out.
    ///
    /// There is one reply for each id, in their order. At most one request for an entity is under way from
    /// this process, and no more requests than declared; while the owner's breaker is open nothing is sent and
    /// every reply is [`FetchError::Resting`].
    async fn ask(&self, of: &Subscription, ids: &[EntityId]) -> Vec<Reply>;

    /// Asks who has this value of a field, given as text; nobody is a good answer, too.
    async fn find(
        &self,
        _of: &Subscription,
        _field: &str,
        _value: &str,
    ) -> Result<Vec<EntityId>, FetchError> {
        Err(FetchError::NotDeclared)
    }

    /// Asks for a page of all that the owner has: the first one, or the one that comes after what another one said.
    async fn list(&self, _of: &Subscription, _after: Option<&str>) -> Result<Listing, FetchError> {
        Err(FetchError::NotDeclared)
    }

    /// Whether a question would be sent now, or the owner is being left in peace.
    fn is_resting(&self, of: &EntityType) -> bool;
}

/// Asks an owner for its events, or whoever tells them in its place.
#[async_trait]
pub trait Feed: Send + Sync {
    /// The events after a position, as many as the owner tells at once.
    async fn page(&self, after: &str) -> Result<Page, FeedError>;
}

/// What came of a question about one entity.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What the owner said, or why there is no answer.
    pub outcome: Result<Answer, FetchError>,
    /// Whether it was asked already, for somebody else, when this question was put: then the answer may be older than
    /// the question, and settles nothing.
    pub is_shared: bool,
}

/// Why there is no answer. Ids are named by the caller, who knows them.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The owner is left in peace until its breaker closes, or its `Retry-After` has passed.
    #[error("the owner is left in peace for now")]
    Resting,
    /// Nothing came back, or not in time.
    #[error("the owner did not answer: {0}")]
    Unreachable(String),
    /// The owner answered that it cannot answer.
    #[error("the owner answered with status {0}")]
    Failed(u16),
    /// The owner does not let us ask: credentials or rights are wrong.
    #[error("the owner refused to answer with status {0}")]
    Refused(u16),
    /// The replica declares no way to ask its owner, or is not one of those that were declared.
    #[error("no way to ask the owner is declared")]
    NotDeclared,
    /// The answer is none of the declared form.
    #[error("the owner's answer is unreadable: {0}")]
    Unreadable(#[from] DecodeError),
}

/// Why a feed does not tell what comes next.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FeedError {
    /// Its owner does not.
    #[error(transparent)]
    Owner(#[from] FetchError),
    /// This service's own database, which is asked in an owner's place, does not.
    #[error("{detail}")]
    Database {
        /// What kind of trouble it is.
        class: Class,
        /// What went wrong.
        detail: String,
    },
    /// It cannot be told any more, and somebody has to decide how to go on.
    #[error("{0}")]
    Lost(String),
}

impl Reply {
    /// There is nobody to ask.
    pub fn not_declared() -> Self {
        Self { outcome: Err(FetchError::NotDeclared), is_shared: false }
    }
}

impl FetchError {
    /// What kind of trouble it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Resting | Self::Unreachable(_) | Self::Failed(_) => Class::Transient,
            Self::Refused(_) => Class::Misconfigured,
            Self::Unreadable(_) => Class::Poison,
            Self::NotDeclared => Class::Bug,
        }
    }
}

impl FeedError {
    /// What kind of trouble it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Owner(error) => error.class(),
            Self::Database { class, .. } => *class,
            Self::Lost(_) => Class::Misconfigured,
        }
    }
}

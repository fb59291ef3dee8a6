//! Queues that are read by one at a time.

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::{Inbox, LogError};

/// A queue that was opened.
pub struct Opened {
    /// Its deliveries.
    pub inbox: Inbox,
    /// It was not there before: whatever was published until now has passed it by.
    pub is_new: bool,
    /// Ends once the inbox has ended, or was dropped, and the broker knows what was settled by then.
    pub closed: BoxFuture<'static, ()>,
}

/// A queue that is opened by whoever has his turn to read it.
///
/// What is promised of [every source](super) that is settled holds here, too. But like a log it *ends once*: the inbox ends
/// with the connection, nobody reconnects, and whoever reads opens it again. An inbox that is dropped gives back what was
/// not settled.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Reads what waits in it, and what comes.
    async fn open(&self) -> Result<Opened, LogError>;
}

/// A queue that a source was read from before.
pub enum Left {
    /// It is not there any more.
    Gone,
    /// Nothing waits in it.
    Empty,
    /// Something does, and can be taken.
    Waits(Opened),
}

/// The queues that a source was read from while it was split into another number of partitions, or not at all.
#[async_trait]
pub trait Former: Send + Sync {
    /// Looks at that of a partition, or of the whole, and reads it. What comes from now on does not go there, as far as that
    /// is known to be safe.
    async fn look(&self, number: Option<u16>) -> Result<Left, LogError>;
}

//! Queues that are read by one at a time.

use async_trait::async_trait;

use super::{Inbox, LogError};

/// A queue that is opened by whoever has his turn to read it.
///
/// What is promised of [every source](super) that is settled holds here, too. But like a log it *ends once*: the inbox ends
/// with the connection, nobody reconnects, and whoever reads opens it again. An inbox that is dropped gives back what was
/// not settled.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Reads what waits in it, and what comes.
    async fn open(&self) -> Result<Inbox, LogError>;
}

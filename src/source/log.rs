//! Logs: sources whose deliveries stay where they are, and can be read again.

use async_trait::async_trait;

use super::Inbox;
use crate::replication::Class;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest delivery that is still there.
    First,
    /// With the delivery at this place.
    At(u64),
}

/// Why a log, or a queue, cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct LogError {
    /// What kind of trouble it is.
    pub class: Class,
    /// Why, for a person; free of secrets.
    pub reason: String,
}

/// A source that is read in order, from a place on, as often as one likes.
///
/// * *In order.* Each delivery has a [`place`](super::Delivery::place), which is higher than those before it; places need
///   not follow upon each other.
/// * *From a place on.* The delivery at that place comes first. If it is no longer there, a later one comes, or none does
///   if the log is shorter: whoever resumes compares.
/// * *Bounded.* No more deliveries wait than the log was opened with.
/// * *Ended once.* The inbox ends with the connection. Nobody reconnects: whoever reads opens it again, from where he is.
/// * *Settling* means nothing here.
#[async_trait]
pub trait Log: Send + Sync {
    /// Reads from a place on.
    async fn open(&self, from: Start) -> Result<Inbox, LogError>;
}

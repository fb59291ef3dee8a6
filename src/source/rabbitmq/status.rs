//! What can be seen of a source from outside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::replication::Class;

/// How a source is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The first connection is being made.
    Connecting,
    /// Deliveries come.
    Connected {
        /// Which connection it is, counted from 1.
        generation: u64,
        /// The queue did not exist before: whatever was published until now has passed by.
        new_queue: bool,
    },
    /// There is no connection. It stays so through further attempts until one succeeds.
    Lost {
        /// What kind of trouble it is.
        class: Class,
        /// Why, for a person; free of secrets.
        reason: String,
        /// The wait between this failure and the next attempt.
        retry_in: Duration,
    },
    /// It was asked to stop, and has.
    Stopped,
}

/// Counts since the source was opened; they only grow.
#[derive(Debug, Default)]
pub struct SourceCounters {
    /// Attempts to connect.
    pub attempts: Counter,
    /// Connections on which deliveries came.
    pub connections: Counter,
    /// Deliveries taken from the broker.
    pub received: Counter,
    /// Those among them that the broker had delivered before.
    pub redelivered: Counter,
    /// Deliveries acknowledged.
    pub acked: Counter,
    /// Settled deliveries whose acknowledgement found its connection gone; they come again.
    pub acks_lost: Counter,
    /// Deliveries dropped without being settled.
    pub dropped: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }
}

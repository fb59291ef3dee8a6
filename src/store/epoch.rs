//! Who is at work, and when owners were restored from a backup: what all pods must have heard of.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::{Moment, StoreError};
use crate::event::EntityType;
use crate::replication::{Subscription, Timeline};

/// What each pod keeps of each replica: the owner's epoch that it knows.
pub type Epochs = BTreeMap<EntityType, i64>;

/// The owners' timelines, by replica; one that is not named has a single epoch.
pub type Timelines = BTreeMap<EntityType, Timeline>;

/// A pod that is at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Its own id, new with each start.
    pub id: String,
    /// The name of its host.
    pub host: String,
    /// The version of nearcopy that it runs.
    pub version: String,
    /// The epochs that it knows.
    pub epochs: Epochs,
    /// Whether it is the one that asks.
    pub is_own: bool,
}

/// Keeps what pods must have heard of. Who is present is judged by the database's clock.
#[async_trait]
pub trait EpochStore: Send + Sync {
    /// Says that this pod is at work, for `hold` at least, and which epochs it knows.
    async fn announce(&self, epochs: &Epochs, hold: Duration) -> Result<Option<Moment>, StoreError>;

    /// Says that this pod is at work no longer.
    async fn depart(&self) -> Result<(), StoreError>;

    /// The pods that are at work.
    async fn present(&self) -> Result<Vec<Presence>, StoreError>;

    /// The owners' timelines, read after that moment.
    async fn timelines(&self, after: Option<Moment>) -> Result<Timelines, StoreError>;

    /// Writes down that a replica's owner was restored at a time, in microseconds since 1970, kept to the millisecond;
    /// it must have passed, and be later than those that are known. Whether it was so is read from the timelines.
    async fn restored(&self, of: &Subscription, at: i64) -> Result<Option<Moment>, StoreError>;

    /// Whether events of a replica came without a time, as far as records show: true, too, where none shows any.
    async fn is_undated(&self, of: &Subscription) -> Result<bool, StoreError>;
}

//! Events that were put aside, and messages that may have ended the process.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::StoreError;
use crate::event::{EntityId, EntityType};

/// Why an event was put aside.
#[derive(Clone, Debug, PartialEq)]
pub struct Parked {
    /// Its id in the store of parked events.
    pub id: uuid::Uuid,
    /// The source it came from.
    pub source: String,
    /// The replica it was for, if that much is known.
    pub replica: Option<EntityType>,
    /// The entity it speaks of, if that much was readable.
    pub entity: Option<EntityId>,
    /// The version it carries, likewise.
    pub version: Option<i64>,
    /// The event's type, likewise.
    pub kind: Option<String>,
    /// The publisher's id of the event, likewise.
    pub event: Option<String>,
    /// The reason, as a fixed word.
    pub reason: String,
    /// The reason, for a person; free of payload.
    pub detail: String,
    /// Headers, without values that are nobody's business here.
    pub headers: BTreeMap<String, String>,
    /// The declared parts of the event, as JSON; `None` where it could not be read at all.
    pub excerpt: Option<String>,
    /// The size of the body in bytes.
    pub size: i64,
    /// A hash of the body, to find the original by.
    pub hash: String,
    /// When it was parked, in milliseconds since 1970; given by the database.
    pub at: Option<i64>,
}

/// Keeps parked events.
#[async_trait]
pub trait ParkedStore: Send + Sync {
    /// Puts events aside; the same event parked twice is one.
    async fn park(&self, parked: &[Parked]) -> Result<(), StoreError>;

    /// Lists parked events, the oldest first.
    async fn parked(&self, replica: Option<&str>, most: usize) -> Result<Vec<Parked>, StoreError>;

    /// One parked event.
    async fn parked_one(&self, id: uuid::Uuid) -> Result<Option<Parked>, StoreError>;

    /// Forgets parked events; says how many there were.
    async fn unpark(&self, ids: &[uuid::Uuid]) -> Result<u64, StoreError>;

    /// The parked events that speak of an entity of this replica; without one, those that may, and do not say so.
    async fn parked_about(
        &self,
        replica: &EntityType,
        entity: Option<&EntityId>,
    ) -> Result<Vec<uuid::Uuid>, StoreError>;

    /// Counts parked events by replica; those of no known replica under the empty text.
    async fn count_parked(&self) -> Result<BTreeMap<String, u64>, StoreError>;

    /// How often messages were begun with that may end the process; those that never were are left out.
    async fn suspicions(&self, ids: &[uuid::Uuid]) -> Result<BTreeMap<uuid::Uuid, u64>, StoreError>;

    /// Notes that messages are begun with that may end the process. Who was not begun with for an hour is forgotten.
    async fn suspect(&self, ids: &[uuid::Uuid]) -> Result<(), StoreError>;

    /// Forgets suspects: they have ended nothing.
    async fn acquit(&self, ids: &[uuid::Uuid]) -> Result<(), StoreError>;

    /// The parked events of this replica after `from`, in the order of their ids.
    async fn parked_page(
        &self,
        replica: &EntityType,
        from: Option<uuid::Uuid>,
        most: usize,
    ) -> Result<Vec<Parked>, StoreError>;
}

//! What is read for others than the pipeline: records with all that is told of them.

use async_trait::async_trait;

use bson::Document;

use super::{Changes, Moment, StoreError};
use crate::event::EntityId;
use crate::replication::{Place, Query, Reading, Subscription};

/// Reads records for readers. What is read is held by a majority; no more is promised.
#[async_trait]
pub trait ReadStore: Send + Sync {
    /// Those of these records that there are, in no order, as they are after that moment.
    async fn look_up(
        &self,
        of: &Subscription,
        ids: &[EntityId],
        after: Option<Moment>,
    ) -> Result<Vec<Reading>, StoreError>;

    /// Follows what readers can see of a replica's records, those that go included, from a position, or from now.
    async fn follow_records(
        &self,
        of: &Subscription,
        from: Option<Document>,
    ) -> Result<Box<dyn Changes>, StoreError>;

    /// The live records that meet a query, in its order, from behind a place on; at most so many.
    async fn list(
        &self,
        of: &Subscription,
        query: &Query,
        after: Option<&Place>,
        most: usize,
    ) -> Result<Vec<Reading>, StoreError>;
}

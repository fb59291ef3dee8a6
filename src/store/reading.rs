//! What is read for others than the pipeline: records with all that is told of them.

use async_trait::async_trait;

use super::StoreError;
use crate::event::EntityId;
use crate::replication::{Place, Query, Reading, Subscription};

/// Reads records for readers. What is read is held by a majority; no more is promised.
#[async_trait]
pub trait ReadStore: Send + Sync {
    /// Those of these records that there are, in no order.
    async fn look_up(&self, of: &Subscription, ids: &[EntityId]) -> Result<Vec<Reading>, StoreError>;

    /// The live records that meet a query, in its order, from behind a place on; at most so many.
    async fn list(
        &self,
        of: &Subscription,
        query: &Query,
        after: Option<&Place>,
        most: usize,
    ) -> Result<Vec<Reading>, StoreError>;
}

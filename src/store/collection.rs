//! Collections of the consumer's own that are read as a whole: as they stood at a moment, and how they change from then on.

use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, Document};

use super::{Moment, StoreError};

/// From where on changes are told.
#[derive(Clone, Debug, PartialEq)]
pub enum Since {
    /// All after that moment.
    Moment(Moment),
    /// All after the one that has this token.
    Token(Document),
}

/// Reads the consumer's collections.
#[async_trait]
pub trait CollectionStore: Send + Sync {
    /// A moment not before now, at which all is durable that was written before.
    async fn moment(&self) -> Result<Moment, StoreError>;

    /// The documents after one in the order of `_id`, at most so many, as they stood at that moment; as they are, where none
    /// is given. Without any it is the end. `None` where the database cannot say any more what stood there.
    async fn standing(
        &self,
        collection: &str,
        at: Option<Moment>,
        after: Option<&Bson>,
        most: usize,
    ) -> Result<Option<Vec<Document>>, StoreError>;

    /// Follows the changes of a collection, there or not yet, as far as they are durable. With each comes the document as
    /// it was after it, or, if that is not recorded, as it is; and, if that is wanted and recorded, as it was before.
    async fn tail(
        &self,
        collection: &str,
        since: &Since,
        with_before: bool,
    ) -> Result<Box<dyn Tail>, StoreError>;
}

/// Changes of a collection as they come.
#[async_trait]
pub trait Tail: Send {
    /// Waits for changes, for so long at most, and tells those that are there, as a change stream does. None are there only if
    /// none are, not even more of a transaction that has been told in part.
    async fn next(&mut self, wait: Duration) -> Result<Vec<Document>, StoreError>;

    /// The token after all that was told.
    fn token(&self) -> Option<&Document>;
}

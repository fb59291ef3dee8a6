//! ⑥ Where copies live. We say *store*, not *sink*: it is read back, and served from.
//!
//! The contract of every store:
//!
//! * A write that returned is durable on a majority of the database's members, journal included.
//! * A timeout means *unknown*. Every write carries its guard, so the caller repeats it.
//! * A read `after` a [`Moment`] sees everything that was durable at that moment, on whatever member.
//! * Times are the database's: what is due, claimed or leased is compared there, never with a pod's clock.

mod collection;
mod epoch;
pub mod memory;
pub mod mongo;
mod overview;
mod parked;
mod read_model;
mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, Document};

use crate::event::EntityId;
use crate::replication::{Class, Embed, EmbedWrite, Record, RecordWrite, Subscription};

pub use collection::{CollectionStore, Since, Tail};
pub use epoch::{EpochStore, Epochs, Presence, Timelines};
pub use overview::{
    Embedding, Lease, Outbox, Overview, Position, ReadModelOverview, ReplicaOverview, States,
};
pub use parked::{Parked, ParkedStore};
pub use read_model::{
    Checkpoint, Comparison, Encoded, Fold, Folded, Found, Frozen, Lapsed, Misfit, Needs, Noted, OutboxStore,
    Reached, ReadModelStore, RebuildStore,
};
pub use reading::ReadStore;

/// A point in the database's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub bson::Timestamp);

/// What a group of guarded writes did.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// How many documents changed.
    pub changed: u64,
    /// When that was durable; `None` on a server that keeps no such order.
    pub moment: Option<Moment>,
    /// The statements that the database refused for what they contain.
    pub refused: Vec<Refusal>,
    /// How many statements there were.
    pub statements: usize,
    /// Whether some command among them changed nothing: then it may be a deposed primary that answered.
    pub idle: bool,
}

/// One statement that the database will never accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which of the statements.
    pub index: usize,
    /// The database's code.
    pub code: i32,
    /// The database's name for it; its message is left out, because it quotes values.
    pub reason: String,
}

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached, or did not answer in time; whether it acted is not known.
    #[error("{action}: the database did not answer: {detail}")]
    Unavailable {
        /// What was attempted.
        action: String,
        /// What the driver said, without values.
        detail: String,
    },
    /// It refused the whole request.
    #[error("{action}: the database refused ({code}): {detail}")]
    Refused {
        /// What was attempted.
        action: String,
        /// The database's code.
        code: i32,
        /// The database's name for it.
        detail: String,
    },
    /// It is not as it must be for this program.
    #[error("{action}: {detail}")]
    Unsuitable {
        /// What was attempted.
        action: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// Somebody else changed the same documents at the same time. Nothing of it is stored.
    #[error("{action}: others changed the same documents at the same time")]
    Conflict {
        /// What was attempted.
        action: String,
    },
    /// The point from which changes were to be read again is no longer in the database's log.
    #[error("the change stream of `{collection}` cannot be resumed: its position is no longer in the log")]
    HistoryLost {
        /// The consumer's collection.
        collection: String,
    },
    /// What happened in a collection cannot be told any more.
    #[error("what has happened in `{collection}` cannot be told: {why}")]
    Untold {
        /// The consumer's collection.
        collection: String,
        /// What stands in the way.
        why: &'static str,
    },
}

impl StoreError {
    /// What kind of trouble it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Unavailable { .. } | Self::Conflict { .. } | Self::HistoryLost { .. } => Class::Transient,
            Self::Refused { .. } => Class::Poison,
            Self::Unsuitable { .. } | Self::Untold { .. } => Class::Misconfigured,
        }
    }
}

/// Records, by id.
pub type Records = BTreeMap<EntityId, Record>;

/// Keeps the records of replicas.
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// Writes records, in no order, each under its guard. `batch` tags the states that events bring.
    async fn write(
        &self,
        of: &Subscription,
        writes: &[RecordWrite],
        batch: i64,
    ) -> Result<Written, StoreError>;

    /// Makes a real majority write that changes nothing anybody reads: what is read after its moment was not
    /// read from a deposed primary.
    async fn heartbeat(&self) -> Result<Option<Moment>, StoreError>;

    /// Reads records back.
    async fn read(
        &self,
        of: &Subscription,
        ids: &[EntityId],
        after: Option<Moment>,
    ) -> Result<Records, StoreError>;

    /// Reads those of these records back that another batch than this was the last to write.
    async fn read_others(
        &self,
        of: &Subscription,
        ids: &[EntityId],
        batch: i64,
        after: Option<Moment>,
    ) -> Result<Records, StoreError>;

    /// Claims up to `most` records whose owner is to be asked, so that nobody else asks for `hold`. Records of newer
    /// generations are left to those who know them.
    async fn claim_due(
        &self,
        of: &Subscription,
        most: usize,
        hold: Duration,
    ) -> Result<Vec<Record>, StoreError>;

    /// Goes on holding what was claimed, as far as nobody has taken the claims away.
    async fn renew(&self, of: &Subscription, claimed: &[Record], hold: Duration) -> Result<(), StoreError>;

    /// Finds records after `from`, in the order of their ids, whose fan-out is still to be done and that have not
    /// changed for `idle`.
    async fn owing(
        &self,
        of: &Subscription,
        idle: Duration,
        from: Option<&EntityId>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Plans a question about every record there is, spread over this long; says how many there are.
    async fn ask_all(&self, of: &Subscription, spread: Duration) -> Result<u64, StoreError>;

    /// Finds records of earlier generations of the declaration.
    async fn outdated(&self, of: &Subscription, most: usize) -> Result<Vec<Record>, StoreError>;

    /// Counts what is left to do.
    async fn backlog(&self, of: &Subscription) -> Result<Backlog, StoreError>;

    /// The ids after `from` in their order, for a walk over all records.
    async fn page(
        &self,
        of: &Subscription,
        from: Option<&EntityId>,
        most: usize,
    ) -> Result<Records, StoreError>;
}

/// What a replica still has before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Wanted and not known yet.
    pub pending: u64,
    /// Changed and not fanned out yet.
    pub owing: u64,
    /// Of earlier generations of the declaration.
    pub outdated: u64,
    /// Of this generation, without values for fields that it added.
    pub lacking: u64,
}

/// Retires records that nobody refers to.
#[async_trait]
pub trait RetireStore: Send + Sync {
    /// Sets a mark of its own on each of these records that has none; a mark that is there stays.
    async fn mark(&self, of: &Subscription, ids: &[EntityId]) -> Result<Option<Moment>, StoreError>;

    /// The records, of no newer generation, whose mark is older than `grace`, with that mark.
    async fn marked(
        &self,
        of: &Subscription,
        grace: Duration,
        most: usize,
    ) -> Result<Vec<(EntityId, Bson)>, StoreError>;

    /// Deletes each record that still has the very mark it is named with; says how many.
    async fn retire(&self, of: &Subscription, marked: &[(EntityId, Bson)]) -> Result<u64, StoreError>;
}

/// How many documents refer to some entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referring {
    /// Whether any does.
    pub any: bool,
    /// The entities to which many do.
    pub many: BTreeSet<EntityId>,
}

/// Keeps the copies embedded in the consumer's documents.
#[async_trait]
pub trait EmbedStore: Send + Sync {
    /// How many documents refer to these entities, as of that moment, counted up to `many`.
    async fn count(
        &self,
        embed: &Embed,
        references: &[EntityId],
        many: u64,
        after: Option<Moment>,
    ) -> Result<Referring, StoreError>;

    /// Runs statements one after the other.
    async fn embed(&self, embed: &Embed, writes: &[EmbedWrite]) -> Result<Written, StoreError>;

    /// Walks through the `_id`s of documents that match when the walk comes to them.
    async fn matching(&self, embed: &Embed, filter: Document) -> Result<Box<dyn Pages>, StoreError>;

    /// The same in the order of `_id`, from beyond one, so that a walk can be taken up again; documents before it may come
    /// once more. `None` where no index has the documents of a reference in this order.
    async fn matching_in_order(
        &self,
        embed: &Embed,
        filter: Document,
        after: Option<&Bson>,
    ) -> Result<Option<Box<dyn Pages>>, StoreError>;

    /// The documents with these ids, with references, shown values and stamps only.
    async fn documents(
        &self,
        embed: &Embed,
        ids: &[Bson],
        after: Option<Moment>,
    ) -> Result<Vec<Document>, StoreError>;

    /// The documents after `from` in the order of `_id`, as [`EmbedStore::documents`] has them, read after that moment.
    async fn scan(
        &self,
        embed: &Embed,
        from: Option<&Bson>,
        most: usize,
        after: Option<Moment>,
    ) -> Result<Vec<Document>, StoreError>;

    /// Which of these entities any document refers to, read after that moment.
    async fn referenced(
        &self,
        embed: &Embed,
        ids: &[EntityId],
        after: Option<Moment>,
    ) -> Result<Vec<EntityId>, StoreError>;

    /// Deletes those of these documents that refer to a deleted record and have not shown its deletion: they show an
    /// older revision of it, or nobody. The record must be as it was read; says how many were deleted.
    async fn remove(
        &self,
        embed: &Embed,
        of: &Subscription,
        record: &Record,
        ids: &[Bson],
    ) -> Result<u64, StoreError>;
}

/// A walk through ids. It is lost with the connection, and begun again.
#[async_trait]
pub trait Pages: Send {
    /// The next ids, at most so many, the first time as many as came at once; none, once it is over.
    async fn next(&mut self, most: usize) -> Result<Vec<Bson>, StoreError>;
}

/// What happened in a consumer's collection, as far as embeds are concerned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// The documents that came or changed.
    pub documents: Vec<Bson>,
    /// The position after them.
    pub position: Option<Document>,
    /// When they were durable.
    pub moment: Option<Moment>,
    /// Whether the collection was dropped or renamed, so that the stream is at its end.
    pub ended: bool,
}

/// A running change stream.
#[async_trait]
pub trait Changes: Send {
    /// Waits for a change, for so long at most, and takes those that are there. While it waits, each write to the
    /// database costs the server a look.
    async fn next(&mut self, wait: Duration) -> Result<Hints, StoreError>;
}

/// Follows the consumer's collections.
#[async_trait]
pub trait ChangeStore: Send + Sync {
    /// Whether the server has change streams at all.
    fn has_change_streams(&self) -> bool;

    /// Follows a collection from a position, or from now.
    async fn follow(
        &self,
        collection: &str,
        embeds: &[std::sync::Arc<Embed>],
        from: Option<Document>,
    ) -> Result<Box<dyn Changes>, StoreError>;

    /// The stored position of a walk or stream.
    async fn position(&self, name: &str) -> Result<Option<Document>, StoreError>;

    /// Stores a position, or forgets that there was one.
    async fn set_position(&self, name: &str, position: Option<&Document>) -> Result<(), StoreError>;

    /// Takes or renews a lease; work is divided by it, correctness does not depend on it.
    async fn lease(&self, name: &str, hold: Duration) -> Result<bool, StoreError>;

    /// Gives a lease back.
    async fn release(&self, name: &str) -> Result<(), StoreError>;
}

/// Everything that a store does.
pub trait Store: RecordStore + RetireStore + EmbedStore + ParkedStore + ChangeStore + EpochStore {}

impl<T: RecordStore + RetireStore + EmbedStore + ParkedStore + ChangeStore + EpochStore> Store for T {}

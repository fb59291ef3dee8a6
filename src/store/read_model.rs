//! Read models: documents, and how far the events are folded that made them.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, DateTime, Document, RawDocumentBuf};

use super::{Parked, StoreError};
use crate::event::{EntityId, EntityType, FieldPath};
use crate::replication::{Alert, ReadModel};

/// How far a read model has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where in its log the last event stands that is folded; 0, where events come from a queue, which has no places.
    pub place: u64,
    /// What tells that event from any other that may stand there: a hash of it; nothing, where they come from a queue.
    pub mark: String,
    /// Under which name the events are remembered that made these documents.
    pub memory: String,
    /// Grows with everything that is done to the documents, by whomever.
    pub turn: i64,
    /// Whether nobody may have a turn, because the documents are about to be replaced.
    pub frozen: Option<Frozen>,
}

impl Checkpoint {
    /// Where a read model stands that stood there, once it is folded up to that place.
    pub fn after(before: Option<&Self>, place: u64, mark: String) -> Self {
        let memory = before.map_or_else(|| uuid::Uuid::new_v4().to_string(), |at| at.memory.clone());
        Self { place, mark, memory, turn: before.map_or(1, |at| at.turn + 1), frozen: None }
    }
}

/// How long nobody may have a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// Until whoever is at it is done.
    Still,
    /// He has not been heard of for too long.
    Expired,
}

/// What is needed for a fold and not known yet: documents, and whether events were folded before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Those with these keys.
    pub keys: Vec<EntityId>,
    /// All in which fields have these values, or arrays with them.
    pub matching: Vec<Vec<(FieldPath, Bson)>>,
    /// The events with these ids.
    pub events: Vec<String>,
}

impl Needs {
    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.matching.is_empty() && self.events.is_empty()
    }
}

/// Documents in which a deadline has passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Lapsed {
    /// Their keys.
    pub keys: Vec<EntityId>,
    /// When the last of these deadlines was.
    pub until: DateTime,
}

/// What was there of all that was needed.
#[derive(Debug, Default)]
pub struct Found {
    /// The documents.
    pub documents: Vec<(EntityId, Document)>,
    /// The ids of the events that were folded before.
    pub events: BTreeSet<String>,
}

/// The ids of events that were folded, to be remembered.
#[derive(Debug, Default)]
pub struct Noted {
    /// The ids.
    pub events: Vec<String>,
    /// For how long.
    pub keep: Duration,
}

/// What came of a fold.
#[derive(Debug, Default)]
pub struct Folded {
    /// The documents as they are now. One that cannot be encoded fails all that is stored with it.
    pub stored: Vec<Encoded>,
    /// The keys under which there is none any more.
    pub deleted: Vec<EntityId>,
    /// The events that wait.
    pub parked: Vec<Parked>,
    /// Parked events that wait no more.
    pub unparked: Vec<uuid::Uuid>,
    /// What is to be told to others.
    pub alerts: Vec<Alert>,
    /// The events to be remembered.
    pub noted: Noted,
}

/// A document as it is sent.
pub type Encoded = Result<RawDocumentBuf, bson::error::Error>;

/// Folds, once it is handed what was needed. It may be called once at most.
pub type Fold = Box<dyn FnOnce(Found) -> Folded + Send>;

/// Keeps the documents of read models.
#[async_trait]
pub trait ReadModelStore: Send + Sync {
    /// How far a read model has come; nowhere, where nothing was folded yet.
    async fn checkpoint(&self, of: &EntityType) -> Result<Option<Checkpoint>, StoreError>;

    /// Ends the turn that anybody else has under way, who may have died in it: what he has read and written there would be
    /// kept from others for a minute. From now on the turns are ours.
    async fn take_over(&self, of: &EntityType) -> Result<(), StoreError>;

    /// The declaration by which the documents were folded, as a hash of it; none, where nobody has noted it.
    async fn folded_by(&self, of: &EntityType) -> Result<Option<String>, StoreError>;

    /// Notes that.
    async fn note_folded_by(&self, of: &EntityType, declaration: &str) -> Result<(), StoreError>;

    /// Documents in which a deadline has passed that others have not been told of, the earliest first: one before that time,
    /// where one is given, and before now. Those that wait for events are passed over.
    async fn lapsed(
        &self,
        of: &EntityType,
        before: Option<DateTime>,
        most: usize,
    ) -> Result<Option<Lapsed>, StoreError>;

    /// One turn: reads what is needed, has it folded, and stores what came of it together with the new checkpoint, all of
    /// it or nothing. Says whether that is so: where the checkpoint is not the expected one, somebody else has had a turn,
    /// and nothing is stored. After an error nobody knows, and the checkpoint tells.
    ///
    /// Events are looked up, and remembered, under the name that the new checkpoint says. Where the expected one is frozen,
    /// the turn is that of whoever froze it, and ends that.
    async fn turn(
        &self,
        of: &EntityType,
        expected: Option<&Checkpoint>,
        next: &Checkpoint,
        needs: &Needs,
        fold: Fold,
    ) -> Result<bool, StoreError>;
}

/// Keeps what is to be told to others until it has been.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// What is to be told, the oldest first.
    async fn outgoing(&self, most: usize) -> Result<Vec<Alert>, StoreError>;

    /// Forgets what has been told.
    async fn told(&self, ids: &[uuid::Uuid]) -> Result<(), StoreError>;
}

/// How the documents of a read model that was rebuilt differ from those that are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many documents are served.
    pub served: u64,
    /// How many were rebuilt.
    pub rebuilt: u64,
    /// How many are in one of them only, or are not the same in both.
    pub different: u64,
}

/// Replaces the documents of a read model by others that were folded anew, from under its readers.
///
/// Names: `next` has what is folded anew, `before` what was served until then.
#[async_trait]
pub trait RebuildStore: ReadModelStore {
    /// Empties `next`, and prepares it to be folded into like the read model itself.
    async fn begin_anew(&self, of: &ReadModel, next: &EntityType) -> Result<(), StoreError>;

    /// Has nobody fold into the served documents for so long, and says where they stand; nowhere, where nothing was folded
    /// into them yet.
    async fn freeze(&self, of: &EntityType, hold: Duration) -> Result<Option<Checkpoint>, StoreError>;

    /// Goes on with that; says whether nobody has ended it meanwhile.
    async fn keep_frozen(&self, of: &EntityType, at: &Checkpoint, hold: Duration)
    -> Result<bool, StoreError>;

    /// Ends it.
    async fn thaw(&self, of: &EntityType, at: &Checkpoint) -> Result<(), StoreError>;

    /// Takes `next` away, so that whoever was about to put it in the place of the served documents cannot do so any more.
    async fn give_up(&self, next: &EntityType) -> Result<(), StoreError>;

    /// Compares the documents, without what is nearcopy's own in them.
    async fn compare(&self, of: &EntityType, next: &EntityType) -> Result<Comparison, StoreError>;

    /// Takes over from the served documents which deadlines others have been told of, as far as they have passed by now.
    /// Of one that the served documents did not have, nobody is told.
    async fn take_over_deadlines(&self, of: &EntityType, next: &EntityType) -> Result<(), StoreError>;

    /// Puts a copy of the served documents, and of their checkpoint, under `before`.
    async fn set_aside(&self, of: &EntityType, before: &EntityType) -> Result<(), StoreError>;

    /// Has the frozen documents remember events under the name under which the others do; says whether nobody has ended the
    /// freeze meanwhile.
    async fn remember_like(
        &self,
        of: &EntityType,
        others: &EntityType,
        at: &Checkpoint,
    ) -> Result<bool, StoreError>;

    /// Puts other documents in the place of the served ones, in one instant; says whether there were any.
    async fn replace(&self, of: &EntityType, by: &EntityType) -> Result<bool, StoreError>;

    /// Has the served documents stand where the others do, so that what comes after that is folded, again.
    async fn stand_where(&self, of: &EntityType, others: &EntityType) -> Result<(), StoreError>;
}

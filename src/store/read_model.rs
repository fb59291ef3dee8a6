//! Read models: documents, and how far the events are folded that made them.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, DateTime, Document, RawDocumentBuf};

use super::{Parked, StoreError};
use crate::event::{EntityId, EntityType, FieldPath};
use crate::replication::{Alert, ReadModel};

/// How far a read model has come, or one partition of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// In which partition of its source; in none, where that is one stream, a queue or a feed.
    pub partition: Option<u16>,
    /// Where in its log the last event stands that is folded; 0, where events come from a queue, which has no places.
    pub place: u64,
    /// What tells that event from any other that may stand there: a hash of it; nothing, where they come from a queue.
    pub mark: String,
    /// Under which name the events are remembered that made these documents.
    pub memory: String,
    /// Grows with everything that is done to the documents from there, by whomever.
    pub turn: i64,
    /// Up to when all is folded in the owner's time, where somebody has to know.
    pub reached: Option<Reached>,
    /// Whether nobody may have a turn, because the documents are about to be replaced.
    pub frozen: Option<Frozen>,
}

impl Checkpoint {
    /// Where a read model stands that stood there, once it is folded up to that place.
    pub fn after(before: Option<&Self>, place: u64, mark: String) -> Self {
        let memory = before.map_or_else(|| uuid::Uuid::new_v4().to_string(), |at| at.memory.clone());
        let (partition, reached) = before.map_or((None, None), |at| (at.partition, at.reached));
        Self {
            partition,
            place,
            mark,
            memory,
            turn: before.map_or(1, |at| at.turn + 1),
            reached,
            frozen: None,
        }
    }

    /// Where a partition stands of which nothing is folded yet. It is stored, too: what is not there cannot be frozen.
    pub fn before_first(partition: u16, memory: String) -> Self {
        let (partition, mark) = (Some(partition), String::new());
        Self { partition, place: 0, mark, memory, turn: 1, reached: None, frozen: None }
    }

    /// The place of the last event that is folded; none, before the first of a partition.
    pub fn last(&self) -> Option<u64> {
        (self.partition.is_none() || !self.mark.is_empty()).then_some(self.place)
    }
}

/// Up to when all is folded in the owner's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Up to then.
    At(DateTime),
    /// To when that is stored, by the database's clock. It is read back as that time.
    Now,
}

/// Documents were folded from a source that was divided otherwise than it is now. To go on would fold events twice, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the documents were folded from {}, and the manifest says {}; nothing is folded until it says what it did, or \
     `nearcopy read-model rebuild --anew` has folded what there is now", divided(*.were), divided(*.are)
)]
pub struct Misfit {
    /// From how many partitions they were folded.
    pub were: Option<u16>,
    /// How many are declared.
    pub are: Option<u16>,
}

impl Misfit {
    /// Looks whether documents that stand there can be folded on from so many partitions. More than before are welcome: the
    /// new ones begin with their first events.
    pub fn look(all: &[Checkpoint], partitions: Option<u16>) -> Result<(), Self> {
        let were = all
            .iter()
            .map(|at| at.partition.map(|number| number.saturating_add(1)))
            .max()
            .unwrap_or(partitions);
        let is_whole = all.iter().any(|at| at.partition.is_none());
        if is_whole == partitions.is_none() && were <= partitions || all.is_empty() {
            return Ok(());
        }
        Err(Self { were, are: partitions })
    }
}

fn divided(into: Option<u16>) -> String {
    match into {
        None => "a source without partitions".into(),
        Some(1) => "1 partition".into(),
        Some(number) => format!("{number} partitions"),
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
    /// How far a read model has come: in each partition in their order, or in the whole; nowhere, where nothing was folded
    /// yet.
    async fn checkpoints(&self, of: &EntityType) -> Result<Vec<Checkpoint>, StoreError>;

    /// Ends the turn that anybody else has under way there, who may have died in it: what he has read and written would be
    /// kept from others for a minute. From now on the turns are ours.
    async fn take_over(&self, of: &EntityType, partition: Option<u16>) -> Result<(), StoreError>;

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
    /// and nothing is stored. After [`StoreError::Conflict`] nothing is stored, either: a turn of another partition was about
    /// the same documents at the same time. After any other error nobody knows, and the checkpoint tells.
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

    /// Has nobody fold into the served documents for so long, from no partition, and says where they stand; nowhere, where
    /// nothing was folded into them yet.
    async fn freeze(&self, of: &EntityType, hold: Duration) -> Result<Vec<Checkpoint>, StoreError>;

    /// Goes on with that; says whether nobody has ended it meanwhile, not for one partition.
    async fn keep_frozen(
        &self,
        of: &EntityType,
        at: &[Checkpoint],
        hold: Duration,
    ) -> Result<bool, StoreError>;

    /// Ends it, for one partition after the other.
    async fn thaw(&self, of: &EntityType, at: &[Checkpoint]) -> Result<(), StoreError>;

    /// Takes `next` away, so that whoever was about to put it in the place of the served documents cannot do so any more.
    async fn give_up(&self, next: &EntityType) -> Result<(), StoreError>;

    /// Compares the documents, without what is nearcopy's own in them.
    async fn compare(&self, of: &EntityType, next: &EntityType) -> Result<Comparison, StoreError>;

    /// Takes over from the served documents which deadlines others have been told of, as far as they have passed by now.
    /// Of one that the served documents did not have, nobody is told.
    async fn take_over_deadlines(&self, of: &EntityType, next: &EntityType) -> Result<(), StoreError>;

    /// Puts a copy of the served documents, and of their checkpoints, under `before`.
    async fn set_aside(&self, of: &EntityType, before: &EntityType) -> Result<(), StoreError>;

    /// Has the frozen documents remember events under the name under which the others do; says whether nobody has ended the
    /// freeze meanwhile.
    async fn remember_like(
        &self,
        of: &EntityType,
        others: &EntityType,
        at: &[Checkpoint],
    ) -> Result<bool, StoreError>;

    /// Puts other documents in the place of the served ones, in one instant; says whether there were any.
    async fn replace(&self, of: &EntityType, by: &EntityType) -> Result<bool, StoreError>;

    /// Has the served documents stand there, and nowhere else, so that what comes after that is folded, again; where the
    /// others stood is forgotten in the same transaction.
    async fn stand_at(
        &self,
        of: &EntityType,
        at: &[Checkpoint],
        others: &EntityType,
    ) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_folded_on_from_as_many_partitions_or_more() {
        let standing = |partitions: &[Option<u16>]| -> Vec<Checkpoint> {
            let one = |partition: &Option<u16>| Checkpoint {
                partition: *partition,
                ..Checkpoint::after(None, 7, "mark".into())
            };
            partitions.iter().map(one).collect()
        };
        let (whole, three) = (standing(&[None]), standing(&[Some(0), Some(2)]));
        for (all, partitions) in [
            (&whole, None),
            (&three, Some(3)),
            (&three, Some(9)),
            (&Vec::new(), Some(1)),
            (&Vec::new(), None),
        ] {
            assert_eq!(Misfit::look(all, partitions), Ok(()), "{partitions:?}");
        }
        for (all, were, are) in [(&whole, None, Some(1)), (&three, Some(3), None), (&three, Some(3), Some(2))]
        {
            assert_eq!(Misfit::look(all, are), Err(Misfit { were, are }));
        }
    }
}

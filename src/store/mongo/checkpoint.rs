//! Checkpoints: one for a read model, or one for each partition of its source. Here is known how they are named, and how they
//! are written.

use bson::{Bson, DateTime, Document, doc};

use super::{Mongo, command, record_statement};
use crate::event::EntityType;
use crate::store::{Checkpoint, Frozen, Reached, StoreError};

/// The collection.
pub(super) const CHECKPOINTS: &str = "nearcopy.checkpoints";
/// How the name ends under which is noted in which session a read model is folded, and by which declaration.
const NOTE: &str = ":note";

/// Under which name it stands how far a read model is folded, or a partition of it. The name of no read model has a dot.
pub(super) fn name_of(of: &EntityType, partition: Option<u16>) -> String {
    match partition {
        None => of.to_string(),
        Some(number) => format!("{of}.{number}"),
    }
}

/// Under which name is noted what else is known there.
pub(super) fn note_of(of: &EntityType, partition: Option<u16>) -> String {
    format!("{}{NOTE}", name_of(of, partition))
}

/// All checkpoints of a read model, whole or by partitions, and no note.
pub(super) fn any_of(of: &EntityType) -> Document {
    let named = vec![doc! { "_id": of.as_str() }, doc! { "_id": numbered(of) }];
    doc! { "$or": named, "turn": { "$exists": true } }
}

/// All notes of sessions in which a read model is folded, whole or by partitions.
pub(super) fn notes_of(of: &EntityType) -> Document {
    let named = vec![doc! { "_id": note_of(of, None) }, doc! { "_id": numbered(of) }];
    doc! { "$or": named, "session": { "$exists": true } }
}

/// Names that begin with that of a partition.
fn numbered(of: &EntityType) -> Document {
    // What comes after the digits is a colon.
    doc! { "$gte": format!("{of}.0"), "$lt": format!("{of}.:") }
}

/// A checkpoint as an expression.
pub(super) fn moved(of: &EntityType, to: &Checkpoint) -> Document {
    let Checkpoint { partition, place, mark, memory, turn, reached, .. } = to;
    let place = i64::try_from(*place).unwrap_or(i64::MAX);
    let name = name_of(of, *partition);
    let mut moved = doc! { "_id": name, "place": place, "mark": mark, "memory": memory, "turn": turn };
    let mut now = doc! { "at": "$$NOW" };
    match reached {
        None => {}
        Some(Reached::At(time)) => drop(moved.insert("reached", *time)),
        Some(Reached::Now) => drop(now.insert("reached", "$$NOW")),
    }
    doc! { "$mergeObjects": [record_statement::literal(moved), now] }
}

/// A checkpoint as it is stored; nothing, where that is something else.
fn checkpoint(of: &EntityType, stored: &Document) -> Option<Checkpoint> {
    let name = stored.get_str("_id").ok()?;
    let partition = match name.strip_prefix(of.as_str())?.strip_prefix('.') {
        None => None,
        Some(number) => Some(number.parse().ok()?),
    };
    let expired = stored.get_bool("expired").unwrap_or_default();
    let frozen = if expired { Frozen::Expired } else { Frozen::Still };
    Some(Checkpoint {
        partition,
        place: u64::try_from(stored.get_i64("place").ok()?).ok()?,
        mark: stored.get_str("mark").ok()?.to_owned(),
        memory: stored.get_str("memory").unwrap_or(of.as_str()).to_owned(),
        turn: stored.get_i64("turn").ok()?,
        reached: stored.get_datetime("reached").ok().map(|time: &DateTime| Reached::At(*time)),
        frozen: stored.get_datetime("frozen").is_ok().then_some(frozen),
    })
}

impl Mongo {
    /// How far a read model has come, everywhere.
    pub(super) async fn checkpoints_of(&self, of: &EntityType) -> Result<Vec<Checkpoint>, StoreError> {
        let command = doc! {
            "find": CHECKPOINTS,
            "filter": any_of(of),
            "projection": {
                "place": 1, "mark": 1, "memory": 1, "turn": 1, "reached": 1, "frozen": 1,
                "expired": { "$lte": ["$frozen", "$$NOW"] },
            },
            "readConcern": { "level": "linearizable" },
        };
        let found = self.fetch_all(&format!("reading the checkpoint of `{of}`"), command).await?;
        let mut all: Vec<Checkpoint> = found.iter().filter_map(|stored| checkpoint(of, stored)).collect();
        all.sort_by_key(|at| at.partition);
        Ok(all)
    }

    /// Has copies of the checkpoints of a read model, and no others, under another name.
    pub(super) async fn copy_checkpoints(
        &self,
        from: &EntityType,
        to: &EntityType,
    ) -> Result<(), StoreError> {
        self.forget_checkpoints(to).await?;
        let copy = |at: &Checkpoint| {
            let named = doc! { "_id": name_of(to, at.partition) };
            doc! { "q": named, "u": [{ "$replaceWith": moved(to, at) }], "upsert": true }
        };
        let copies: Vec<Document> = self.checkpoints_of(from).await?.iter().map(copy).collect();
        self.update(CHECKPOINTS, copies, true).await.map(|_| ())
    }

    /// Forgets how far a read model has come.
    pub(super) async fn forget_checkpoints(&self, of: &EntityType) -> Result<(), StoreError> {
        let all = doc! { "q": any_of(of), "limit": 0 };
        let command =
            doc! { "delete": CHECKPOINTS, "deletes": [all], "writeConcern": command::write_concern() };
        self.run(&format!("forgetting the checkpoint of `{of}`"), command).await.map(|_| ())
    }

    /// Runs statements upon checkpoints, and says whether all of them have found one.
    pub(super) async fn all_found(&self, statements: Vec<Document>) -> Result<bool, StoreError> {
        let wanted = statements.len() as u64;
        let encoded = statements.iter().map(bson::RawDocumentBuf::try_from).collect();
        Ok(self.send(CHECKPOINTS, encoded, true).await?.matched == wanted)
    }
}

/// One that is frozen as it was found.
pub(super) fn still_frozen(of: &EntityType, at: &Checkpoint) -> Document {
    doc! { "_id": name_of(of, at.partition), "turn": at.turn, "frozen": { "$ne": Bson::Null } }
}

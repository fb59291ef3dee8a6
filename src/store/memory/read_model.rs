//! Read models: a turn holds the lock from the checkpoint that it expects to the one that it leaves.

use async_trait::async_trait;
use bson::{Bson, DateTime, Document, doc};

use super::change::What;
use super::order::Id;
use super::unknown::Known;
use super::{Database, Pod, filter, first};
use crate::event::{EntityId, EntityType, FieldPath, IdKind};
use crate::replication::Alert;
use crate::store::{
    Checkpoint, Encoded, Fold, Folded, Found, Frozen, Lapsed, Needs, OutboxStore, Parked, Reached,
    ReadModelStore, StoreError,
};

/// Where a read model stands, or a partition of it.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) place: u64,
    pub(super) mark: String,
    pub(super) memory: String,
    pub(super) turn: i64,
    /// Up to when all is folded in the owner's time.
    pub(super) reached: Option<DateTime>,
    /// Until when nobody may have a turn, in milliseconds.
    pub(super) frozen: Option<i64>,
}

/// All that a turn writes, once it is known to be sound.
struct Writes {
    stored: Vec<(Id, Document)>,
    deleted: Vec<Id>,
    parked: Vec<Parked>,
    unparked: Vec<uuid::Uuid>,
    alerts: Vec<Alert>,
    noted: Vec<String>,
}

#[async_trait]
impl ReadModelStore for Pod {
    async fn checkpoints(&self, of: &EntityType) -> Result<Vec<Checkpoint>, StoreError> {
        Ok(self.lock().checkpoints(of))
    }

    async fn take_over(&self, _: &EntityType, _: Option<u16>) -> Result<(), StoreError> {
        // A turn is over before anybody else can look: nothing is left open that would have to be ended.
        Ok(())
    }

    async fn folded_by(&self, of: &EntityType) -> Result<Option<String>, StoreError> {
        Ok(self.lock().contents.folded_by.get(of).cloned())
    }

    async fn note_folded_by(&self, of: &EntityType, declaration: &str) -> Result<(), StoreError> {
        let mut database = self.lock();
        database.contents.folded_by.insert(of.clone(), declaration.to_owned());
        database.next();
        Ok(())
    }

    async fn lapsed(
        &self,
        of: &EntityType,
        before: Option<DateTime>,
        most: usize,
    ) -> Result<Option<Lapsed>, StoreError> {
        let database = self.lock();
        let latest = before.map_or(i64::MAX, DateTime::timestamp_millis).min(database.now());
        let documents = database.contents.collections.get(of.as_str()).into_iter().flatten();
        let mut passed: Vec<(DateTime, EntityId)> = documents
            .filter(|(_, document)| !waits(document))
            .filter_map(|(id, document)| Some((next_deadline(document)?, key(&id.0)?)))
            .filter(|(next, _)| next.timestamp_millis() <= latest)
            .collect();
        passed.sort();
        let passed = first(passed.into_iter(), most);
        let until = passed.last().map(|(next, _)| *next);
        let keys = passed.into_iter().map(|(_, key)| key).collect();
        Ok(until.map(|until| Lapsed { keys, until }))
    }

    async fn turn(
        &self,
        of: &EntityType,
        expected: Option<&Checkpoint>,
        next: &Checkpoint,
        needs: &Needs,
        fold: Fold,
    ) -> Result<bool, StoreError> {
        let mut database = self.lock();
        let at = (of.clone(), next.partition);
        let standing = database.contents.standings.get(&at);
        let held = standing.map(|standing| (standing.turn, standing.frozen.is_some()));
        if held != expected.map(|expected| (expected.turn, expected.frozen.is_some())) {
            return Ok(false);
        }
        let documents = database.needed(of, needs)?;
        let is_known =
            |event: &&String| database.contents.seen.contains(&(next.memory.clone(), (*event).clone()));
        let events = needs.events.iter().filter(is_known).cloned().collect();
        let writes = writes(fold(Found { documents, events }))?;
        let noted = writes.noted.iter().map(|event| (next.memory.clone(), event.clone()));
        database.contents.seen.extend(noted);
        database.store(of, writes);
        database.stand(of, next);
        database.next();
        drop(database);
        self.tell();
        Ok(true)
    }
}

#[async_trait]
impl OutboxStore for Pod {
    async fn outgoing(&self, most: usize) -> Result<Vec<Alert>, StoreError> {
        Ok(first(self.lock().contents.outbox.iter().cloned(), most))
    }

    async fn told(&self, ids: &[uuid::Uuid]) -> Result<(), StoreError> {
        let mut database = self.lock();
        database.contents.outbox.retain(|alert| !ids.contains(&alert.id));
        database.next();
        Ok(())
    }
}

impl Database {
    /// How far a read model has come, everywhere.
    pub(super) fn checkpoints(&self, of: &EntityType) -> Vec<Checkpoint> {
        let checkpoint = |((_, partition), standing): (&(EntityType, Option<u16>), &Standing)| {
            let Standing { place, mark, memory, turn, reached, frozen } = standing.clone();
            let frozen =
                frozen.map(|until| if until <= self.now() { Frozen::Expired } else { Frozen::Still });
            let (partition, reached) = (*partition, reached.map(Reached::At));
            Checkpoint { partition, place, mark, memory, turn, reached, frozen }
        };
        let all = self.contents.standings.iter();
        all.filter(|((name, _), _)| name == of).map(checkpoint).collect()
    }

    /// Has a read model, or a partition of it, stand there.
    pub(super) fn stand(&mut self, of: &EntityType, at: &Checkpoint) {
        let reached = at.reached.map(|reached| match reached {
            Reached::At(time) => time,
            Reached::Now => DateTime::from_millis(self.now()),
        });
        let Checkpoint { partition, place, mark, memory, turn, .. } = at.clone();
        let standing = Standing { place, mark, memory, turn, reached, frozen: None };
        self.contents.standings.insert((of.clone(), partition), standing);
    }

    fn needed(&self, of: &EntityType, needs: &Needs) -> Known<Vec<(EntityId, Document)>> {
        let mut filters: Vec<Document> = needs.matching.iter().map(|fields| matching(fields)).collect();
        let keys: Vec<Bson> = needs.keys.iter().map(EntityId::to_bson).collect();
        filters.push(doc! { "_id": { "$in": keys } });
        let documents = || self.contents.collections.get(of.as_str()).into_iter().flatten();
        let mut found = Vec::new();
        for filter in filters {
            for (id, document) in documents() {
                if let Some(key) = key(&id.0)
                    && filter::matches(document, &filter)?
                {
                    found.push((key, document.clone()));
                }
            }
        }
        Ok(found)
    }

    fn store(&mut self, of: &EntityType, writes: Writes) {
        let Writes { stored, deleted, parked, unparked, alerts, .. } = writes;
        for (id, document) in stored {
            let is_new = !self.collection(of.as_str()).contains_key(&id);
            self.put(of.as_str(), &id, document, if is_new { What::Inserted } else { What::Replaced });
        }
        for id in deleted {
            self.delete(of.as_str(), &id);
        }
        for parked in &parked {
            self.park(parked);
        }
        self.contents.parked.retain(|id, _| !unparked.contains(id));
        for alert in alerts {
            self.contents.outbox.retain(|known| known.id != alert.id);
            self.contents.outbox.push(alert);
        }
    }
}

/// What a fold wants written; the error is a document that cannot be.
fn writes(folded: Folded) -> Result<Writes, StoreError> {
    let Folded { stored, deleted, parked, unparked, alerts, noted } = folded;
    let stored = stored.into_iter().map(decoded).collect::<Result<_, _>>()?;
    let deleted = deleted.iter().map(|key| Id(key.to_bson())).collect();
    Ok(Writes { stored, deleted, parked, unparked, alerts, noted: noted.events })
}

fn decoded(encoded: Encoded) -> Result<(Id, Document), StoreError> {
    let refused = |detail: String| StoreError::Unsuitable { action: "storing a document".into(), detail };
    let document = encoded.and_then(Document::try_from).map_err(|error| refused(error.to_string()))?;
    let id = document.get("_id").cloned().ok_or_else(|| refused("it has no `_id`".into()))?;
    Ok((Id(id), document))
}

fn matching(fields: &[(FieldPath, Bson)]) -> Document {
    fields.iter().map(|(path, value)| (path.names().join("."), doc! { "$eq": value }.into())).collect()
}

/// When the next deadline of a document is.
pub(super) fn next_deadline(document: &Document) -> Option<DateTime> {
    document.get_document("_nearcopy").ok()?.get_datetime("next").ok().copied()
}

fn waits(document: &Document) -> bool {
    document.get_document("_nearcopy").is_ok_and(|own| own.contains_key("held"))
}

/// A key of whatever type it has.
fn key(id: &Bson) -> Option<EntityId> {
    let kinds = [IdKind::String, IdKind::Int, IdKind::ObjectId, IdKind::Uuid];
    kinds.into_iter().find_map(|kind| EntityId::from_bson(id, kind))
}

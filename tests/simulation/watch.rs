//! Looks at every write the moment it is done: nothing a reader sees ever goes back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bson::{Bson, Document};
use nearcopy::event::{EntityId, EntityType};
use nearcopy::replication::{Embed, Record, State, WhenDeleted, Why};
use nearcopy::store::memory::Memory;

use crate::journal::Journal;
use crate::life::Life;

const NO_REGRESS: &str = "I2, no regress: what a reader sees never goes back";
const NO_RESURRECTION: &str = "I3, no resurrection: after a delete only a higher version creates";
const DECLARED: &str = "nearcopy writes only what is declared";

/// Who looks.
#[derive(Clone)]
pub(crate) struct Watch {
    memory: Memory,
    journal: Journal,
    users: EntityType,
    /// Whether answers carry versions, so that nothing but a version brings anybody back.
    is_versioned: bool,
    seen: Arc<Mutex<BTreeMap<EntityId, Seen>>>,
}

/// A record as it was seen last, and since when it has been there.
struct Seen {
    record: Record,
    since: Duration,
}

/// Where an embed's stamp and reference stand in a document, and in its elements.
type Places<'d> = Vec<&'d Document>;

impl Watch {
    pub(crate) fn new(memory: Memory, journal: Journal, is_versioned: bool) -> Self {
        Self { memory, journal, users: EntityType::new("users"), is_versioned, seen: Arc::default() }
    }

    /// Since when there has been a record of each user.
    pub(crate) fn lives(&self) -> BTreeMap<EntityId, Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().map(|(id, seen)| (id.clone(), seen.since)).collect()
    }

    /// Looks at all records after a write.
    pub(crate) fn look(&self, by: &Life) {
        let records = self.memory.records(&self.users);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|id, _| {
            let stays = records.contains_key(id);
            if !stays {
                self.journal.note(|| format!("  {id} is retired by {by}"));
            }
            stays
        });
        for (id, record) in records {
            match seen.get_mut(&id) {
                Some(before) if before.record == record => {}
                Some(before) => {
                    self.journal.note(|| format!("  {id} by {by}: {}", state(&record)));
                    self.compare_records(by, &before.record, &record);
                    before.record = record;
                }
                None => {
                    self.journal.note(|| format!("  {id} by {by}: {}", state(&record)));
                    seen.insert(id, Seen { record, since: self.journal.now() });
                }
            }
        }
    }

    fn compare_records(&self, by: &Life, before: &Record, after: &Record) {
        let order = |record: &Record| record.key.as_ref().map(|key| (key.epoch, key.version));
        let told = || format!("{by} makes {} of {}", state(after), state(before));
        if order(after) < order(before) || after.rev < before.rev {
            self.journal.broken(NO_REGRESS, told());
        }
        let shown = |record: &Record| (record.state, record.fields.clone(), record.key.clone());
        if shown(before) != shown(after) && after.rev <= before.rev {
            self.journal.broken("every change of what is shown moves `rev`", told());
        }
        let was_deleted = before.state == State::Gone(Why::Deleted);
        let is_back = after.state == State::Live || after.state == State::Pending;
        if self.is_versioned && was_deleted && is_back && order(after) <= order(before) {
            self.journal.broken(NO_RESURRECTION, told());
        }
    }

    /// The documents of an embed before a write.
    pub(crate) fn documents(&self, embed: &Embed) -> Vec<Document> {
        self.memory.all(&embed.collection)
    }

    /// Compares an embed's documents with what they were before a write of ours.
    pub(crate) fn compare(&self, by: &Life, embed: &Embed, before: &[Document]) {
        let after = self.memory.all(&embed.collection);
        let after: BTreeMap<String, &Document> =
            after.iter().map(|document| (id(document), document)).collect();
        for before in before {
            match after.get(&id(before)) {
                Some(after) if *after == before => {}
                Some(after) => {
                    self.journal.note(|| format!("  {} by {by}: {after}", id(before)));
                    self.compare_documents(by, embed, before, after);
                }
                None => {
                    self.journal.note(|| format!("  {} is removed by {by}", id(before)));
                    self.is_rightly_removed(by, embed, before);
                }
            }
        }
    }

    fn compare_documents(&self, by: &Life, embed: &Embed, before: &Document, after: &Document) {
        if theirs(embed, before) != theirs(embed, after) {
            self.journal.broken(DECLARED, format!("{by} makes {after} of {before}"));
        }
        for (before, after) in places(embed, before).into_iter().zip(places(embed, after)) {
            let (Some(was), Some(is)) = (stamp(embed, before), stamp(embed, after)) else { continue };
            let is_same = was.get("ref") == is.get("ref");
            if is_same && is.get_i64("rev").ok() < was.get_i64("rev").ok() {
                self.journal.broken(NO_REGRESS, format!("{by} puts the stamp {is} over {was}"));
            }
        }
    }

    /// A document goes only with an entity that is deleted, and where that is declared.
    fn is_rightly_removed(&self, by: &Life, embed: &Embed, document: &Document) {
        let records = self.memory.records(&self.users);
        let reference = document.get_str("userId").map(|id| EntityId::String(id.into()));
        let record = reference.ok().and_then(|id| records.get(&id).cloned());
        let is_deleted = record.is_some_and(|record| record.state == State::Gone(Why::Deleted));
        if !is_deleted || embed.when_deleted != WhenDeleted::Delete {
            self.journal
                .broken("only documents of deleted entities are deleted", format!("{by} deletes {document}"));
        }
    }

    /// A pod was told that these documents changed.
    pub(crate) fn hinted(&self, life: &Life, collection: &str, documents: &[Bson]) {
        if !documents.is_empty() {
            self.journal.note(|| format!("  {life} hears of {documents:?} in {collection}"));
        }
    }
}

/// A record in few words.
pub(crate) fn state(record: &Record) -> String {
    let key = record.key.as_ref().map(|key| format!("{}.{:?}.{}", key.version, key.rank, key.hash));
    let Record { need, due, claim, owes, marked, asked, since, tries, rev, .. } = record;
    format!(
        "{:?} {} key {key:?} rev {rev} need {need:?} due {due:?} claim {claim:?} asked {asked:?} since {since:?} \
         tries {tries} owes {owes} marked {marked}",
        record.state, record.fields
    )
}

fn id(document: &Document) -> String {
    document.get("_id").map(ToString::to_string).unwrap_or_default()
}

/// The document, or the elements of its array, where references and stamps stand.
pub(crate) fn places<'d>(embed: &Embed, document: &'d Document) -> Places<'d> {
    match embed.reference.arrays() {
        [] => vec![document],
        [array, ..] => {
            let elements = document.get_array(array).map(Vec::as_slice).unwrap_or_default();
            elements.iter().filter_map(Bson::as_document).collect()
        }
    }
}

/// The stamp of an embed in a document or element.
pub(crate) fn stamp<'d>(embed: &Embed, place: &'d Document) -> Option<&'d Document> {
    place.get_document("_nearcopy").ok()?.get_document(&embed.name).ok()
}

/// What is the consumer's own in a document.
fn theirs(embed: &Embed, document: &Document) -> Document {
    let owned: Vec<&str> = embed.owned_paths().into_iter().chain(["_nearcopy"]).collect();
    let strip = |place: &Document| -> Document {
        place
            .iter()
            .filter(|(name, _)| !owned.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    match embed.reference.arrays() {
        [] => strip(document),
        [array, ..] => {
            let mut own = document.clone();
            if let Ok(elements) = own.get_array_mut(array) {
                for element in elements.iter_mut() {
                    if let Bson::Document(inner) = element {
                        *inner = strip(inner);
                    }
                }
            }
            own
        }
    }
}

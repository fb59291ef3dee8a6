//! The bench on which documents are folded, before they are stored together.

use std::collections::HashMap;

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};

use super::deadline::Deadlines;
use super::{Aim, Alert, Deed, Facts, META, Move, Operation, ReadModel, size};
use crate::event::{DecodeError, EntityId, FieldPath};

/// Documents under work: those that a batch of events is about, as they are after the events so far.
#[derive(Clone, Debug, Default)]
pub struct Bench {
    places: HashMap<EntityId, Place>,
    /// The keys of those that have changed since they were last taken, each once.
    changed: Vec<EntityId>,
    /// About how many bytes the documents have that were worked on here.
    bytes: usize,
}

/// Where a document lies.
#[derive(Clone, Debug, Default)]
struct Place {
    document: Option<Document>,
    /// About how large it is, in bytes, if it was worked on here.
    size: Option<usize>,
    has_changed: bool,
}

/// A document that an event has changed.
#[derive(Debug)]
pub struct Seen<'s> {
    /// Its key.
    pub key: &'s EntityId,
    /// What it was, if there was one.
    pub before: Option<&'s Document>,
    /// What it is now, if there is one.
    pub after: Option<&'s mut Document>,
}

/// Sees each document that an event changes.
pub type See<'s> = dyn FnMut(Seen<'_>) + 's;

/// How large a document may become, in bytes: the database takes no more than 16 MB, with the statement around it.
const LARGEST: usize = 15 << 20;

/// A part of an event that was not folded: it cannot be, or an earlier one of the same document could not, and it waits
/// behind that.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The document's key.
    pub key: EntityId,
    /// What is to be done to the document, where that can be told.
    pub deed: Option<Deed>,
    /// Why it was not done; nothing, where it waits behind another.
    pub error: Option<DecodeError>,
    /// Which it is of those that the document waits for, counted from 1.
    pub number: i64,
}

impl Bench {
    /// Puts a document on the bench as it is stored, or that there is none. One that lies there already stays.
    pub fn lay(&mut self, key: EntityId, document: Option<Document>) {
        self.places.entry(key).or_insert(Place { document, ..Place::default() });
    }

    /// Whether it is known what there is under a key.
    pub fn knows(&self, key: &EntityId) -> bool {
        self.places.contains_key(key)
    }

    /// Folds an event into the documents that it is about, all of which must lie here. Time is microseconds since 1970.
    pub fn fold(&mut self, facts: &Facts, time_of_day: i64) -> Vec<Held> {
        self.fold_all(facts, time_of_day, None)
    }

    /// The same, where somebody is to see each document as it was before and is after the event.
    pub fn fold_seen(&mut self, facts: &Facts, time_of_day: i64, see: &mut See<'_>) -> Vec<Held> {
        self.fold_all(facts, time_of_day, Some(see))
    }

    fn fold_all(&mut self, facts: &Facts, time_of_day: i64, mut see: Option<&mut See<'_>>) -> Vec<Held> {
        let mut held = Vec::new();
        for part in &facts.moves {
            for key in self.targets(&part.aim) {
                held.extend(self.apply(key, part, facts, time_of_day, see.as_deref_mut()));
            }
        }
        held
    }

    /// The documents that a part of an event is about, as they are now.
    fn targets(&self, aim: &Aim) -> Vec<EntityId> {
        match aim {
            Aim::Key(key) => vec![key.clone()],
            Aim::Where(fields) => {
                let meets = |place: &Place| place.document.as_ref().is_some_and(|of| matches(of, fields));
                let met = self.places.iter().filter(|(_, place)| meets(place));
                let mut keys: Vec<EntityId> = met.map(|(key, _)| key.clone()).collect();
                keys.sort_unstable();
                keys
            }
        }
    }

    fn apply(
        &mut self,
        key: EntityId,
        part: &Move,
        facts: &Facts,
        time_of_day: i64,
        see: Option<&mut See<'_>>,
    ) -> Option<Held> {
        let place = self.places.entry(key.clone()).or_default();
        let before = place.size.unwrap_or_default();
        let slot = &mut place.document;
        let waiting = slot.as_ref().map_or(0, waiting);
        let folded = match &part.deed {
            _ if waiting > 0 => Err(None),
            Err(error) => Err(Some(error.clone())),
            Ok(Deed::Delete) if slot.is_none() => return None,
            Ok(Deed::Delete) => Ok(None),
            Ok(Deed::Change(operations)) => {
                let size = place.size.get_or_insert(LARGEST);
                let empty = || doc! { "_id": key.to_bson() };
                let changed = if see.is_none() {
                    change_in_place(slot, operations, size, empty)
                } else {
                    change_a_copy(slot.as_ref(), operations, size, empty)
                };
                changed.map(|document| Some(stamped(document, facts, time_of_day))).map_err(Some)
            }
        };
        self.changed.extend(noted(&mut place.has_changed, &key));
        let held = match folded {
            Ok(mut document) => {
                if let Some(see) = see {
                    see(Seen { key: &key, before: slot.as_ref(), after: document.as_mut() });
                }
                if document.is_none() {
                    place.size = None;
                }
                *slot = document;
                None
            }
            Err(error) => {
                withhold(slot, &key, waiting + 1);
                Some(Held { key, deed: part.deed.clone().ok(), error, number: waiting + 1 })
            }
        };
        self.bytes = self.bytes + place.size.unwrap_or_default() - before;
        held
    }

    /// What rules tell of these documents because nothing has changed them up to then; not of one that waits for an event,
    /// since nobody knows what it has become.
    pub fn pass_deadlines(&mut self, of: &ReadModel, keys: &[EntityId], until: DateTime) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for key in keys {
            let Some(place) = self.places.get_mut(key) else { continue };
            let Some(document) = place.document.as_mut().filter(|document| waiting(document) == 0) else {
                continue;
            };
            let mut deadlines = Deadlines::of(Some(document));
            alerts.extend(deadlines.pass(of, until));
            deadlines.note_in(document);
            self.changed.extend(noted(&mut place.has_changed, key));
        }
        alerts
    }

    /// Folds the events that a document waits for, in their order, and says how many of them it waits for no more, and
    /// why not for all. Somebody sees what each of them, by its number, makes of the document.
    pub fn release(
        &mut self,
        key: &EntityId,
        waiting: &[Facts],
        time_of_day: i64,
        see: &mut dyn FnMut(usize, Seen<'_>),
    ) -> (usize, Option<DecodeError>) {
        let held = self.waiting(key);
        self.hold(key, 0);
        for (done, facts) in waiting.iter().enumerate() {
            for part in &facts.moves {
                if !self.targets(&part.aim).contains(key) {
                    continue;
                }
                let see = &mut |seen: Seen<'_>| see(done, seen);
                if let Some(still) = self.apply(key.clone(), part, facts, time_of_day, Some(see)) {
                    self.hold(key, held);
                    return (done, still.error);
                }
            }
        }
        (waiting.len(), None)
    }

    /// A document as it is now, if there is one.
    pub fn document(&self, key: &EntityId) -> Option<&Document> {
        self.places.get(key)?.document.as_ref()
    }

    /// How many events a document waits for.
    pub fn waiting(&self, key: &EntityId) -> i64 {
        self.document(key).map_or(0, waiting)
    }

    /// Notes how many events a document waits for. One that has nothing else is no document.
    pub fn hold(&mut self, key: &EntityId, held: i64) {
        let Some(place) = self.places.get_mut(key) else { return };
        let Some(meta) = place.document.as_mut().and_then(meta) else { return };
        if held > 0 {
            meta.insert("held", held);
        } else {
            meta.remove("held");
            if meta.get_str("state").is_ok_and(|state| state == "pending") {
                place.document = None;
            }
        }
        self.changed.extend(noted(&mut place.has_changed, key));
    }

    /// What has changed since the last call: documents to be stored, and keys under which nothing is any more.
    pub fn take_changed(&mut self) -> (Vec<Result<RawDocumentBuf, bson::error::Error>>, Vec<EntityId>) {
        let (mut stored, mut deleted) = (Vec::new(), Vec::new());
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        for key in changed {
            let Some(place) = self.places.get_mut(&key) else { continue };
            place.has_changed = false;
            let Some(document) = &place.document else {
                deleted.push(key);
                continue;
            };
            let encoded = RawDocumentBuf::try_from(document);
            // What was only guessed while it grew is known now.
            let size = encoded.as_ref().map_or(LARGEST, |encoded| encoded.as_bytes().len());
            self.bytes = self.bytes + size - place.size.replace(size).unwrap_or_default();
            stored.push(encoded);
        }
        (stored, deleted)
    }

    /// About how many bytes the documents have that were worked on here.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Notes that a document has changed, and returns its key if it had not before.
fn noted(has_changed: &mut bool, key: &EntityId) -> Option<EntityId> {
    (!std::mem::replace(has_changed, true)).then(|| key.clone())
}

/// Notes in a document, and be it only for that, that so many events wait for it to be mended.
fn withhold(slot: &mut Option<Document>, key: &EntityId, number: i64) {
    let pending = || doc! { "_id": key.to_bson(), META: { "state": "pending" } };
    if let Some(meta) = meta(slot.get_or_insert_with(pending)) {
        meta.insert("held", number);
    }
}

/// Changes a document where it lies, if it is known before that all can be done to it; else a copy.
fn change_in_place(
    slot: &mut Option<Document>,
    operations: &[Operation],
    size: &mut usize,
    empty: impl Fn() -> Document,
) -> Result<Document, DecodeError> {
    let grown: usize = operations.iter().map(|operation| size::of(&operation.value)).sum();
    let independent =
        operations.iter().enumerate().all(|(at, one)| !operations[..at].iter().any(|other| one.meets(other)));
    if !independent || size.saturating_add(grown) >= LARGEST / 2 {
        return change_a_copy(slot.as_ref(), operations, size, empty);
    }
    let none = Document::new();
    operations.iter().try_for_each(|operation| operation.check(slot.as_ref().unwrap_or(&none)))?;
    let mut document = slot.take().unwrap_or_else(empty);
    operations.iter().try_for_each(|operation| operation.apply(&mut document))?;
    *size += grown;
    Ok(document)
}

fn change_a_copy(
    held: Option<&Document>,
    operations: &[Operation],
    size: &mut usize,
    empty: impl Fn() -> Document,
) -> Result<Document, DecodeError> {
    let grown = operations.iter().map(|operation| size::of(&operation.value)).sum();
    let mut document = held.cloned().unwrap_or_else(empty);
    operations.iter().try_for_each(|operation| operation.apply(&mut document))?;
    size::bounded(&document, size, grown, LARGEST)?;
    Ok(document)
}

/// How many events a document waits for.
fn waiting(document: &Document) -> i64 {
    document.get_document(META).ok().and_then(|meta| meta.get_i64("held").ok()).unwrap_or_default()
}

/// What is nearcopy's own in a document.
pub(super) fn meta(document: &mut Document) -> Option<&mut Document> {
    if !document.contains_key(META) {
        document.insert(META, Document::new());
    }
    document.get_document_mut(META).ok()
}

/// Notes in a document what brought it to where it is; its own order rises with every event.
fn stamped(mut document: Document, facts: &Facts, time_of_day: i64) -> Document {
    if let Some(meta) = meta(&mut document) {
        let before = meta.get_i64("rev").unwrap_or_default();
        put(meta, "state", "live");
        put(meta, "rev", time_of_day.max(before + 1));
        put(meta, "origin", "event");
        put(meta, "s", 1);
        for (name, value) in
            [("event", facts.event.clone().map(Bson::String)), ("at", facts.at.map(Bson::DateTime))]
        {
            match value {
                Some(value) => put(meta, name, value),
                None => drop(meta.remove(name)),
            }
        }
    }
    document
}

/// Puts a value under a name, which mostly is there already.
fn put(into: &mut Document, name: &str, value: impl Into<Bson>) {
    match into.get_mut(name) {
        Some(held) => *held = value.into(),
        None => drop(into.insert(name, value)),
    }
}

/// Whether fields have these values, or arrays with them, as the database would find them.
fn matches(document: &Document, fields: &[(FieldPath, Bson)]) -> bool {
    fields.iter().all(|(path, wanted)| {
        let mut found = Some(document);
        let Some((last, parents)) = path.names().split_last() else { return false };
        for name in parents {
            found = found.and_then(|inner| inner.get_document(name).ok());
        }
        match found.and_then(|inner| inner.get(last)) {
            Some(Bson::Array(items)) if items.contains(wanted) => true,
            Some(value) => value == wanted,
            None => false,
        }
    })
}

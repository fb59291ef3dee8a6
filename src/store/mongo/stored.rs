//! A record as it is stored, read from its bytes in one pass: most of what is read is read here.

use std::collections::BTreeMap;
use std::sync::Arc;

use bson::raw::{RawBsonRef, RawDocument};
use bson::{Bson, Document};

use crate::event::{EntityId, IdKind, Version};
use crate::replication::{Key, Record, State};

/// A record, and what is kept of it for readers alone.
pub(super) struct Stored {
    pub(super) record: Record,
    pub(super) origin: Option<Arc<str>>,
    pub(super) event: Option<Arc<str>>,
    /// The owner's time of the change, in milliseconds since 1970.
    pub(super) at: Option<i64>,
}

/// Reads a stored record with those of its fields that are wanted. A document without our marks is none of ours, and is left
/// alone.
pub(super) fn parse(
    kind: IdKind,
    stored: &RawDocument,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Option<Stored>, bson::error::Error> {
    let (mut id, mut meta, mut fields) = (None, None, Document::new());
    for element in stored {
        let (name, value) = element?;
        match (name.as_str(), value) {
            ("_id", value) => id = EntityId::from_bson(&Bson::try_from(value)?, kind),
            ("_nearcopy", RawBsonRef::Document(marks)) => meta = Some(marks),
            ("_nearcopy", _) => {}
            (name, value) if is_wanted(name) => drop(fields.insert(name, Bson::try_from(value)?)),
            _ => {}
        }
    }
    let (Some(id), Some(meta)) = (id, meta) else { return Ok(None) };
    let mut stored =
        Stored { record: Record::blank(id, State::Pending), origin: None, event: None, at: None };
    stored.record.fields = fields;
    Ok(stored.marked(meta)?.then_some(stored))
}

impl Stored {
    /// Takes what the marks say, and says whether they are those of a record.
    fn marked(&mut self, marks: &RawDocument) -> Result<bool, bson::error::Error> {
        let (record, mut state, mut why, mut shape, mut has_rev) =
            (&mut self.record, None, None, None, false);
        for mark in marks {
            let (name, value) = mark?;
            match (name.as_str(), value) {
                ("state", RawBsonRef::String(text)) => state = Some(text),
                ("why", RawBsonRef::String(text)) => why = Some(text),
                ("s", RawBsonRef::Int32(number)) => shape = Some(number),
                ("lacks", RawBsonRef::Boolean(lacks)) => record.lacks = lacks,
                ("key", RawBsonRef::Document(key)) => {
                    record.key = Key::from_document(&key.try_into()?);
                }
                ("rev", RawBsonRef::Int64(rev)) => (record.rev, has_rev) = (rev, true),
                ("need", RawBsonRef::Int64(need)) => record.need = Some(Version::new(need)),
                ("due", RawBsonRef::DateTime(due)) => record.due = Some(due.timestamp_millis()),
                ("claim", RawBsonRef::String(claim)) => record.claim = Some(claim.to_owned()),
                ("owes", RawBsonRef::Boolean(owes)) => record.owes = owes,
                ("tries", RawBsonRef::Int64(tries)) => {
                    record.tries = u32::try_from(tries).unwrap_or_default();
                }
                ("asked", RawBsonRef::DateTime(asked)) => record.asked = Some(micros(asked)),
                ("since", RawBsonRef::DateTime(since)) => record.since = Some(micros(since)),
                ("batch", RawBsonRef::Int64(batch)) => record.batch = Some(batch),
                ("mark", _) => record.marked = true,
                ("fv", RawBsonRef::Document(versions)) => record.patched = patched(versions)?,
                ("origin", RawBsonRef::String(origin)) => self.origin = Some(origin.into()),
                ("event", RawBsonRef::String(event)) => self.event = Some(event.into()),
                ("at", RawBsonRef::DateTime(at)) => self.at = Some(at.timestamp_millis()),
                _ => {}
            }
        }
        // Where the marks do not say which generation had a hand in it last, the key does.
        record.shape = shape.or(record.key.as_ref().map(|key| key.shape)).unwrap_or(1);
        let state = state.and_then(|state| State::parse(state, why));
        record.state = state.unwrap_or(State::Pending);
        Ok(has_rev && state.is_some())
    }
}

/// The versions of fields that are newer than the key.
fn patched(stored: &RawDocument) -> Result<BTreeMap<String, Version>, bson::error::Error> {
    let mut versions = BTreeMap::new();
    for version in stored {
        if let (field, RawBsonRef::Int64(version)) = version? {
            versions.insert(field.as_str().to_owned(), Version::new(version));
        }
    }
    Ok(versions)
}

fn micros(time: bson::DateTime) -> i64 {
    time.timestamp_millis().saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, doc};

    use super::*;
    use crate::replication::Why;

    fn read(stored: &Document) -> Option<Stored> {
        let raw = RawDocumentBuf::try_from(stored).unwrap();
        parse(IdKind::String, &raw, |name| name != "old").unwrap()
    }

    #[test]
    fn a_record_is_read_with_what_is_wanted_of_it() {
        let time = bson::DateTime::from_millis(1_700_000_000_123);
        let key = doc! { "e": 2_i64, "v": 8_i64, "g": 1, "s": 3, "h": "hash" };
        let marks = doc! {
            "state": "gone", "why": "out", "rev": 7_i64, "need": 9_i64, "due": time, "claim": "c", "owes": true, "lacks": true,
            "key": &key, "tries": 4_i64, "asked": time, "since": time,
            "batch": 5_i64, "mark": 1, "fv": { "email": 6_i64 }, "origin": "event", "event": "e1", "at": time, "unknown": [],
        };
        let read = read(
            &doc! { "name": "Ann", "_id": "ann", "old": "x", "_nearcopy": marks, "in": { "$date": "no date" } },
        );
        let Stored { record, origin, event, at } = read.unwrap();
        assert_eq!(
            (origin.as_deref(), event.as_deref(), at),
            (Some("event"), Some("e1"), Some(1_700_000_000_123))
        );
        let id = EntityId::parse("ann", IdKind::String).unwrap();
        let expected = Record {
            key: Key::from_document(&key),
            shape: 3,
            lacks: true,
            rev: 7,
            need: Some(Version::new(9)),
            due: at,
            claim: Some("c".into()),
            owes: true,
            tries: 4,
            asked: Some(1_700_000_000_123_000),
            since: Some(1_700_000_000_123_000),
            batch: Some(5),
            marked: true,
            patched: BTreeMap::from([("email".to_owned(), Version::new(6))]),
            fields: doc! { "name": "Ann", "in": { "$date": "no date" } },
            ..Record::blank(id, State::Gone(Why::Out))
        };
        assert_eq!(record, expected);
        assert_eq!(record.version(), Some(Version::new(8)));
    }

    #[test]
    fn what_a_mark_cannot_be_is_passed_over_and_what_is_no_record_is_left_alone() {
        let odd = read(
            &doc! { "_id": "ann", "_nearcopy": { "state": "live", "rev": 1_i64, "due": "soon", "s": 2_i64 } },
        );
        let odd = odd.unwrap().record;
        assert_eq!((odd.due, odd.shape, odd.fields), (None, 1, doc! {}));
        for none in [
            doc! { "_id": "ann", "name": "Ann" },
            doc! { "_id": 7, "_nearcopy": { "state": "live", "rev": 1_i64 } },
            doc! { "_id": "ann", "_nearcopy": "x" },
            doc! { "_id": "ann", "_nearcopy": { "state": "odd", "rev": 1_i64 } },
            doc! { "_id": "ann", "_nearcopy": { "state": "live" } },
        ] {
            assert!(read(&none).is_none(), "{none}");
        }
    }
}

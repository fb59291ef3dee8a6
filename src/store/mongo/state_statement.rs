//! How the states that events bring are said to MongoDB: many in one statement.
//!
//! The server parses a pipeline anew for each statement, which costs it more than to write a record. So the pipeline
//! stands once for many records, with a table of their states beside it; each record finds its own in there by its
//! `_id`. Values from outside stand in the table, under `$literal`.

use std::collections::{BTreeMap, BTreeSet};

use bson::{Document, RawDocumentBuf, doc};

use super::record_statement::{choose, from_now, left, literal, next_rev};
use super::writer::Writer;
use crate::event::{EntityId, Stamp};
use crate::replication::{Content, Due, Key, RecordWrite, Subscription};

/// How many states share a pipeline: each looks its own up from the first on.
const MOST: usize = 50;
/// How many bytes of states share a pipeline. A record that is larger has one for itself.
const ROOM: usize = 1 << 20;
/// Room for what stands beside a state's fields, and around a table of states.
const MARGIN: usize = 512;

/// A state as it stands in the table of its statement.
pub struct Row<'w> {
    /// Which of the writes it is.
    pub at: usize,
    /// The entity.
    pub id: &'w EntityId,
    /// Whether a record is made where there is none.
    pub create: bool,
    epoch: i64,
    /// What is shown (`d`), what is kept about it (`m`), and what the key held must be below (`g`).
    own: RawDocumentBuf,
}

/// What statements of one batch say alike, encoded once.
pub struct Phrases {
    /// By epoch, what becomes of a record whose own state stands in `own`.
    entering: BTreeMap<i64, RawDocumentBuf>,
    /// Whether there is no record.
    absent: RawDocumentBuf,
    /// What only the server can say of a record that begins.
    begun: RawDocumentBuf,
}

impl Phrases {
    /// What is said of these.
    pub fn of(of: &Subscription, rows: &[Row<'_>]) -> Self {
        let mut begun = doc! { "rev": next_rev() };
        if let Some(reconcile) = of.fetch.as_ref().and_then(|fetch| fetch.reconcile) {
            begun.insert("due", from_now(reconcile));
        }
        let epochs: BTreeSet<i64> = rows.iter().map(|row| row.epoch).collect();
        Self {
            entering: epochs.into_iter().map(|epoch| (epoch, raw(&entering(of, epoch)))).collect(),
            absent: raw(&doc! { "$eq": [{ "$type": "$_nearcopy" }, "missing"] }),
            begun: raw(&begun),
        }
    }
}

/// Encodes a state; other writes are none.
pub fn row<'w>(of: &Subscription, at: usize, write: &'w RecordWrite, batch: i64) -> Option<Row<'w>> {
    let RecordWrite::State { id, content, key, guard, stamp, create, owes } = write else { return None };
    let fields = match content {
        Content::Live(fields) => Some(fields.as_raw()),
        Content::Gone(_) => None,
    };
    let mut own = Writer::with_room(fields.map_or(0, |fields| fields.as_bytes().len()) + MARGIN);
    own.within(&["d"], |shown| {
        shown.id("_id", id);
        if let Some(fields) = fields {
            shown.members(fields);
        }
    });
    own.within(&["m"], |meta| write_meta(meta, of, (content, key), stamp, *owes, batch));
    write_key(&mut own, "g", guard);
    Some(Row { at, id, create: *create, epoch: key.epoch, own: own.finish() })
}

/// The rows that share a statement. Their ids rise, so that none stands twice in a table.
pub fn groups<'r, 'w>(rows: &'r [Row<'w>]) -> impl Iterator<Item = &'r [Row<'w>]> {
    let (mut count, mut bytes) = (0, 0);
    rows.chunk_by(move |one, next| {
        (count, bytes) = (count + 1, bytes + one.own.as_bytes().len());
        let together = count < MOST
            && bytes + next.own.as_bytes().len() <= ROOM
            && one.id < next.id
            && one.epoch == next.epoch;
        if !together {
            (count, bytes) = (0, 0);
        }
        together
    })
}

/// Writes the states of a group into the records that are there.
pub fn together(phrases: &Phrases, rows: &[Row<'_>]) -> RawDocumentBuf {
    let size: usize = rows.iter().map(|row| row.own.as_bytes().len()).sum();
    let mut statement = Writer::with_room(size + rows.len() * MARGIN / 4 + 4 * MARGIN);
    statement.within(&["q", "_id"], |which| write_ids(which, "$in", rows));
    write_pipeline(&mut statement, phrases, rows);
    statement.truth("multi", true);
    statement.finish()
}

/// Writes one state, and makes the record where that is wanted.
pub fn alone(phrases: &Phrases, row: &Row<'_>) -> RawDocumentBuf {
    let mut statement = Writer::with_room(row.own.as_bytes().len() + 4 * MARGIN);
    statement.within(&["q"], |which| which.id("_id", row.id));
    write_pipeline(&mut statement, phrases, std::slice::from_ref(row));
    statement.truth("upsert", row.create);
    statement.finish()
}

/// Makes the record where there was none a moment ago. If there is one by now, it stays as it is, and the state goes
/// round again.
pub fn created(phrases: &Phrases, row: &Row<'_>) -> RawDocumentBuf {
    let mut statement = Writer::with_room(row.own.as_bytes().len() + 2 * MARGIN);
    statement.within(&["q"], |which| which.id("_id", row.id));
    statement.within(&["u[]", "0", "$replaceWith", "$cond[]"], |choice| {
        choice.document("0", &phrases.absent);
        choice.within(&["1", "$setField"], |record| {
            record.text("field", "_nearcopy");
            record.within(&["input"], |input| row.write_part(input, "d"));
            record.within(&["value", "$mergeObjects[]"], |meta| {
                meta.within(&["0"], |own| row.write_part(own, "m"));
                meta.document("1", &phrases.begun);
            });
        });
        choice.text("2", "$$ROOT");
    });
    statement.truth("upsert", true);
    statement.finish()
}

/// Asks which of these have a record: their ids in one list, which costs less than a document for each.
pub fn which_are_there(of: &Subscription, rows: &[&Row<'_>]) -> RawDocumentBuf {
    let mut question = Writer::with_room(rows.len() * MARGIN / 8 + MARGIN);
    question.text("distinct", of.name.as_str());
    question.text("key", "_id");
    question
        .within(&["query", "_id"], |which| which.array("$in", rows, |ids, place, row| ids.id(place, row.id)));
    question.within(&["readConcern"], |concern| concern.text("level", "local"));
    question.finish()
}

/// The whole record as an event makes it, where that enters.
fn write_pipeline(statement: &mut Writer, phrases: &Phrases, rows: &[Row<'_>]) {
    let entering = rows.first().and_then(|row| phrases.entering.get(&row.epoch));
    statement.within(&["u[]", "0", "$replaceWith", "$let"], |update| {
        update.within(&["vars", "own", "$arrayElemAt[]"], |own| {
            own.within(&["0"], |table| {
                table.array("$literal", rows, |table, place, row| table.document(place, &row.own));
            });
            own.within(&["1", "$indexOfArray[]"], |place| {
                place.within(&["0"], |ids| write_ids(ids, "$literal", rows));
                place.text("1", "$_id");
            });
        });
        if let Some(entering) = entering {
            update.document("in", entering);
        }
    });
}

fn write_ids(into: &mut Writer, name: &str, rows: &[Row<'_>]) {
    into.array(name, rows, |ids, place, row| ids.id(place, row.id));
}

/// What becomes of a record whose own state stands in `own`.
fn entering(of: &Subscription, epoch: i64) -> Document {
    let enters = doc! { "$lt": ["$_nearcopy.key", "$$own.g"] };
    let meta = doc! { "$mergeObjects": ["$$own.m", kept(of, epoch)] };
    let record = doc! { "$setField": { "field": "_nearcopy", "input": fields(of), "value": meta } };
    choose(enters, record, "$$ROOT")
}

/// The fields of the event, and what a newer generation holds besides those that this one declares: an older pod does
/// not know it, and leaves it to those that do.
fn fields(of: &Subscription) -> Document {
    let declared: Vec<&str> = of.selection.fields().map(|field| field.name.as_str()).collect();
    let unknown = doc! { "$not": [{ "$in": ["$$this.k", literal(declared)] }] };
    let held = doc! { "$filter": { "input": { "$objectToArray": "$$ROOT" }, "cond": unknown } };
    let newer =
        doc! { "$and": [{ "$gt": ["$_nearcopy.s", of.shape] }, { "$eq": ["$$own.m.state", "live"] }] };
    choose(newer, doc! { "$mergeObjects": [{ "$arrayToObject": held }, "$$own.d"] }, "$$own.d")
}

/// What a state leaves as it is in a record, and what only the server can say.
fn kept(of: &Subscription, epoch: i64) -> Document {
    let mut unmet = doc! { "$gt": ["$_nearcopy.need", "$$own.m.key.v"] };
    if epoch > 0 {
        // A need of an epoch that is over can no longer be met.
        unmet = doc! { "$and": [unmet, { "$gte": ["$_nearcopy.key.e", epoch] }] };
    }
    let mut kept = doc! { "rev": next_rev(), "need": choose(unmet, "$_nearcopy.need", "$$REMOVE") };
    kept.extend(left(of, Due::Never));
    kept
}

/// What is kept about a state beside its fields.
fn write_meta(
    meta: &mut Writer,
    of: &Subscription,
    (content, key): (&Content, &Key),
    stamp: &Stamp,
    owes: bool,
    batch: i64,
) {
    match content {
        Content::Live(_) => meta.text("state", "live"),
        Content::Gone(why) => {
            meta.text("state", "gone");
            meta.text("why", why.as_str());
        }
    }
    write_key(meta, "key", key);
    meta.int("s", of.shape);
    meta.text("origin", stamp.origin());
    meta.long("batch", batch);
    if let Some(at) = stamp.at {
        meta.date("at", at.div_euclid(1000));
    }
    if let Some(event) = &stamp.event {
        meta.text("event", event.as_str());
    }
    if owes {
        meta.truth("owes", true);
    }
}

/// As [`Key::to_document`] has it.
fn write_key(into: &mut Writer, name: &str, key: &Key) {
    into.within(&[name], |stored| {
        stored.long("e", key.epoch);
        stored.long("v", key.version.get());
        stored.int("g", key.rank as i32);
        stored.int("s", key.shape);
        stored.text("h", &key.hash);
    });
}

/// Encodes what is written in this file, which has nothing that cannot be encoded.
fn raw(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).unwrap_or_default()
}

impl Row<'_> {
    fn write_part(&self, into: &mut Writer, name: &str) {
        if let Ok(part) = self.own.get_document(name) {
            into.document("$literal", part);
        }
    }
}

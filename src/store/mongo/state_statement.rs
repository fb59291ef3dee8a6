//! How the states that events bring are said to MongoDB: many in one statement.
//!
//! The server parses a pipeline anew for each statement, which costs it more than to write a record. So the pipeline
//! stands once for many records, with a table of their states beside it; each record finds its own in there by its
//! `_id`. Values from outside stand in the table, under `$literal`.

use bson::oid::ObjectId;
use bson::raw::cstr;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, RawArrayBuf, RawBson, RawDocumentBuf, doc, rawdoc};

use super::record_statement::{choose, from_now, literal, next_rev};
use crate::event::{EntityId, Stamp};
use crate::replication::{Content, Key, RecordWrite, Subscription};

/// How many states share a pipeline: each looks its own up from the first on.
const MOST: usize = 50;
/// How many bytes of states share a pipeline. A record that is larger has one for itself.
const ROOM: usize = 1 << 20;
/// How many bytes of a document say its length.
const LENGTH: usize = 4;

/// A state as it stands in the table of its statement.
pub struct Row<'w> {
    /// Which of the writes it is.
    pub at: usize,
    /// The entity.
    pub id: &'w EntityId,
    /// Whether a record is made where there is none.
    pub create: bool,
    epoch: i64,
    shown: RawDocumentBuf,
    meta: RawDocumentBuf,
    guard: RawDocumentBuf,
}

/// Encodes a state; other writes are none, and a state that cannot be encoded says why.
pub fn row<'w>(
    of: &Subscription,
    at: usize,
    write: &'w RecordWrite,
    batch: i64,
) -> Option<Result<Row<'w>, bson::error::Error>> {
    let RecordWrite::State { id, content, key, guard, stamp, create, owes } = write else { return None };
    let meta = meta(of, (content, key), stamp, *owes, batch);
    let (create, epoch, guard) = (*create, key.epoch, raw_key(guard));
    Some(shown(id, content).map(|shown| Row { at, id, create, epoch, shown, meta, guard }))
}

/// The rows that share a statement. Their ids rise, so that none stands twice in a table.
pub fn groups<'r, 'w>(rows: &'r [Row<'w>]) -> impl Iterator<Item = &'r [Row<'w>]> {
    let (mut count, mut bytes) = (0, 0);
    rows.chunk_by(move |one, next| {
        (count, bytes) = (count + 1, bytes + one.size());
        let together =
            count < MOST && bytes + next.size() <= ROOM && one.id < next.id && one.epoch == next.epoch;
        if !together {
            (count, bytes) = (0, 0);
        }
        together
    })
}

/// Writes the states of a group into the records that are there.
pub fn together(of: &Subscription, rows: &[Row<'_>]) -> RawDocumentBuf {
    let mut ids = RawArrayBuf::new();
    for row in rows {
        ids.push(id_of(row.id));
    }
    let epoch = rows.first().map_or(0, |row| row.epoch);
    let update = pipeline(of, epoch, &ids, rows);
    rawdoc! { "q": { "_id": { "$in": ids } }, "u": [update], "multi": true }
}

/// Writes one state, and makes the record where that is wanted.
pub fn alone(of: &Subscription, row: &Row<'_>) -> RawDocumentBuf {
    let mut ids = RawArrayBuf::new();
    ids.push(id_of(row.id));
    let update = pipeline(of, row.epoch, &ids, std::slice::from_ref(row));
    rawdoc! { "q": { "_id": id_of(row.id) }, "u": [update], "upsert": row.create }
}

/// Makes the record where there was none a moment ago. If there is one by now, it stays as it is, and the state goes
/// round again.
pub fn created(of: &Subscription, row: &Row<'_>) -> RawDocumentBuf {
    let mut computed = doc! { "rev": next_rev() };
    if let Some(reconcile) = of.fetch.as_ref().and_then(|fetch| fetch.reconcile) {
        computed.insert("due", from_now(reconcile));
    }
    let absent = doc! { "$eq": [{ "$type": "$_nearcopy" }, "missing"] };
    let meta = rawdoc! { "$mergeObjects": [{ "$literal": row.meta.clone() }, raw(&computed)] };
    let record = with_meta(rawdoc! { "$literal": row.shown.clone() }, meta);
    let update = rawdoc! { "$replaceWith": { "$cond": [raw(&absent), record, "$$ROOT"] } };
    rawdoc! { "q": { "_id": id_of(row.id) }, "u": [update], "upsert": true }
}

/// The whole record as an event makes it, where that enters.
fn pipeline(of: &Subscription, epoch: i64, ids: &RawArrayBuf, rows: &[Row<'_>]) -> RawDocumentBuf {
    let mut table = RawArrayBuf::new();
    for Row { shown, meta, guard, .. } in rows {
        table.push(rawdoc! { "d": shown.clone(), "m": meta.clone(), "g": guard.clone() });
    }
    let place = rawdoc! { "$indexOfArray": [{ "$literal": ids.clone() }, "$_id"] };
    let own = rawdoc! { "$arrayElemAt": [{ "$literal": table }, place] };
    let enters = rawdoc! { "$lt": ["$_nearcopy.key", "$$own.g"] };
    let meta = rawdoc! { "$mergeObjects": ["$$own.m", raw(&kept(of, epoch))] };
    let record = with_meta(raw(&fields(of)), meta);
    rawdoc! { "$replaceWith": { "$let": {
        "vars": { "own": own },
        "in": { "$cond": [enters, record, "$$ROOT"] },
    } } }
}

fn with_meta(fields: RawDocumentBuf, meta: RawDocumentBuf) -> RawDocumentBuf {
    rawdoc! { "$setField": { "field": "_nearcopy", "input": fields, "value": meta } }
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
    let mut due = Bson::from("$_nearcopy.due");
    if let Some(fetch) = &of.fetch {
        let planned = fetch
            .reconcile
            .map_or(due.clone(), |reconcile| Bson::from(doc! { "$ifNull": [due, from_now(reconcile)] }));
        // The owner's last word may have been about more than this event, which came late: it is asked again.
        let decided = doc! { "$eq": ["$_nearcopy.key.h", Key::SETTLED] };
        let soon = doc! { "$min": ["$_nearcopy.due", from_now(fetch.settle)] };
        due = choose(decided, soon, planned).into();
    }
    doc! {
        "rev": next_rev(),
        "need": choose(unmet, "$_nearcopy.need", "$$REMOVE"),
        "due": due,
        "tries": "$_nearcopy.tries",
        "asked": "$_nearcopy.asked",
        "mark": "$_nearcopy.mark",
        "hold": "$_nearcopy.hold",
    }
}

/// What is kept about a state beside its fields.
fn meta(
    of: &Subscription,
    (content, key): (&Content, &Key),
    stamp: &Stamp,
    owes: bool,
    batch: i64,
) -> RawDocumentBuf {
    let mut meta = RawDocumentBuf::new();
    match content {
        Content::Live(_) => meta.append(cstr!("state"), "live"),
        Content::Gone(why) => {
            meta.append(cstr!("state"), "gone");
            meta.append(cstr!("why"), why.as_str());
        }
    }
    meta.append(cstr!("key"), raw_key(key));
    meta.append(cstr!("s"), of.shape);
    meta.append(cstr!("origin"), "event");
    meta.append(cstr!("batch"), batch);
    if let Some(at) = stamp.at {
        meta.append(cstr!("at"), bson::DateTime::from_millis(at.div_euclid(1000)));
    }
    if let Some(event) = &stamp.event {
        meta.append(cstr!("event"), event.as_str());
    }
    if owes {
        meta.append(cstr!("owes"), true);
    }
    meta
}

/// The record's fields behind its id.
fn shown(id: &EntityId, content: &Content) -> Result<RawDocumentBuf, bson::error::Error> {
    let shown = rawdoc! { "_id": id_of(id) };
    let Content::Live(fields) = content else { return Ok(shown) };
    // One document after the other: the first without its end, the second without its length.
    let (mut bytes, fields) = (shown.into_bytes(), RawDocumentBuf::try_from(fields)?.into_bytes());
    bytes.pop();
    bytes.extend(fields.iter().skip(LENGTH));
    let length = u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes();
    bytes.iter_mut().zip(length).for_each(|(byte, new)| *byte = new);
    RawDocumentBuf::from_bytes(bytes)
}

/// As [`Key::to_document`] has it.
fn raw_key(key: &Key) -> RawDocumentBuf {
    rawdoc! {
        "e": key.epoch,
        "v": key.version.get(),
        "g": key.rank as i32,
        "s": key.shape,
        "h": key.hash.as_str(),
    }
}

/// As [`EntityId::to_bson`] has it.
fn id_of(id: &EntityId) -> RawBson {
    match id {
        EntityId::String(text) => RawBson::String(text.to_string()),
        EntityId::Int(number) => RawBson::Int64(*number),
        EntityId::ObjectId(bytes) => RawBson::ObjectId(ObjectId::from_bytes(*bytes)),
        EntityId::Uuid(uuid) => {
            RawBson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: uuid.as_bytes().to_vec() })
        }
    }
}

/// Encodes what is written in this file, which has nothing that cannot be encoded.
fn raw(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).unwrap_or_default()
}

impl Row<'_> {
    fn size(&self) -> usize {
        self.shown.as_bytes().len() + self.meta.as_bytes().len()
    }
}

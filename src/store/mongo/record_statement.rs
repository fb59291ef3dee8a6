//! How each write of a record is said to MongoDB: one statement, a pipeline, its guard inside.
//!
//! Values from outside stand under `$literal`, so that none is ever read as a path or an operator. What a
//! pipeline does not name in `_nearcopy` is gone afterwards, so each names all that it keeps.

use std::time::Duration;

use bson::{Bson, Document, doc};

use super::revise_statement;
use crate::event::Stamp;
use crate::replication::{Content, Due, Key, RecordWrite, Subscription, Why};

/// The statement for a write, as it stands in an `update` command. States have theirs in [`super::state_statement`].
pub fn statement(of: &Subscription, write: &RecordWrite, batch: i64) -> Document {
    let id = write.id().to_bson();
    let known = doc! { "_id": &id, "_nearcopy": { "$exists": true } };
    match write {
        RecordWrite::State { .. } => Document::new(),
        RecordWrite::Revise { .. } => revise_statement::statement(of, write, batch),
        RecordWrite::Need { floor: Some(floor), .. } => doc! { "q": known, "u": need(floor) },
        RecordWrite::Need { floor: None, .. } => doc! { "q": known, "u": call_for("$$NOW") },
        RecordWrite::Placeholder { ask, hold, .. } => {
            let mut meta = doc! { "state": "pending", "rev": next_rev(), "s": of.shape };
            if *ask {
                meta.insert("due", "$$NOW");
            }
            if let Some(hold) = hold {
                meta.insert("hold", from_now(*hold));
            }
            let absent = doc! { "$eq": [{ "$type": "$_nearcopy" }, "missing"] };
            let next = doc! { "$mergeObjects": ["$$ROOT", { "_nearcopy": meta }] };
            doc! { "q": { "_id": id }, "u": replace(choose(absent, next, "$$ROOT")), "upsert": true }
        }
        RecordWrite::Unmark { .. } => {
            let marked = doc! { "_id": id, "_nearcopy.mark": { "$exists": true } };
            doc! { "q": marked, "u": { "$unset": { "_nearcopy.mark": "" } } }
        }
        RecordWrite::Answer { .. } => answer(of, &id, write),
        RecordWrite::Upgrade { .. } => upgrade(of, &id, write),
        RecordWrite::Unanswered { claim, due, tries, .. } => {
            let mut statement = set(doc! { "_id": id, "_nearcopy.claim": claim }, *due);
            push_stage(&mut statement, doc! { "$set": { "_nearcopy.tries": tries_of(*tries) } });
            statement
        }
        RecordWrite::Ask { wait, .. } => doc! { "q": known, "u": call_for(from_now(*wait)) },
        RecordWrite::Erase { floor, create, owes, .. } => {
            let which = if *create {
                doc! { "_id": &id }
            } else {
                known
            };
            doc! { "q": which, "u": replace(erased(of, &id, floor, *owes)), "upsert": create }
        }
        RecordWrite::Paid { rev, .. } => {
            let same = doc! { "_id": id, "_nearcopy.rev": rev, "_nearcopy.owes": true };
            doc! { "q": same, "u": { "$unset": { "_nearcopy.owes": "" } } }
        }
    }
}

/// Whether two debts were made in one instant, as those of a batch mostly are, and can be cleared together.
pub fn are_paid_together(one: &RecordWrite, next: &RecordWrite) -> bool {
    match (one, next) {
        (RecordWrite::Paid { rev, .. }, RecordWrite::Paid { rev: other, .. }) => rev == other,
        _ => false,
    }
}

/// Clears debts that were made in one instant: for the server that is one statement instead of one for each.
pub fn paid_together(paid: &[RecordWrite]) -> Document {
    let rev = paid.iter().find_map(|write| match write {
        RecordWrite::Paid { rev, .. } => Some(*rev),
        _ => None,
    });
    let ids: Vec<Bson> = paid.iter().map(|write| write.id().to_bson()).collect();
    let same = doc! { "_id": { "$in": ids }, "_nearcopy.rev": rev, "_nearcopy.owes": true };
    doc! { "q": same, "u": { "$unset": { "_nearcopy.owes": "" } }, "multi": true, "hint": { "_id": 1 } }
}

/// What an event says about itself, and whether it is to be fanned out.
pub(super) fn stamped(stamp: &Stamp, owes: bool) -> Document {
    let mut meta = Document::new();
    if let Some(at) = stamp.at {
        meta.insert("at", Bson::DateTime(bson::DateTime::from_millis(at.div_euclid(1000))));
    }
    if let Some(event) = &stamp.event {
        meta.insert("event", literal(event.as_str()));
    }
    if owes {
        meta.insert("owes", true);
    }
    meta
}

/// What an older generation held becomes what this one keeps.
fn upgrade(of: &Subscription, id: &Bson, write: &RecordWrite) -> Document {
    let RecordWrite::Upgrade { rev, key, drop, fill, lacks, due, owes, .. } = write else {
        return Document::new();
    };
    let mut set: Document =
        fill.iter().map(|(name, value)| (name.clone(), literal(value.clone()).into())).collect();
    set.extend(doc! { "_nearcopy.rev": next_rev(), "_nearcopy.s": of.shape });
    if let Some(key) = key {
        set.insert("_nearcopy.key", literal(key.to_document()));
    }
    if *lacks {
        set.insert("_nearcopy.lacks", true);
    }
    if *owes {
        set.insert("_nearcopy.owes", true);
    }
    let versions = drop.iter().map(|name| format!("_nearcopy.fv.{name}"));
    let unset: Vec<String> = drop.iter().cloned().chain(versions).chain(["_nearcopy.mark".into()]).collect();
    let mut stages = vec![doc! { "$set": set }, doc! { "$unset": unset }];
    if let Some(time) = due_value(*due) {
        stages.extend(call_for(time));
    }
    doc! { "q": { "_id": id, "_nearcopy.rev": rev }, "u": stages }
}

/// What the owner's answer makes of a record nobody else has touched since it was asked.
fn answer(of: &Subscription, id: &Bson, write: &RecordWrite) -> Document {
    let RecordWrite::Answer { rev, claim, content, patched, satisfied, due, tries, owes, .. } = write else {
        return Document::new();
    };
    let guard = doc! { "_id": id, "_nearcopy.rev": rev, "_nearcopy.claim": claim };
    let Some((content, key)) = content else {
        let mut statement = set(guard, *due);
        push_stage(&mut statement, doc! { "$set": { "_nearcopy.tries": tries_of(*tries) } });
        if *satisfied {
            push_stage(&mut statement, doc! { "$unset": "_nearcopy.need" });
        }
        return statement;
    };
    let mut meta = described(of, content, key.as_ref());
    meta.extend(doc! {
        "rev": next_rev(),
        "tries": tries_of(*tries),
        "asked": "$_nearcopy.asked",
        "since": "$_nearcopy.since",
        "mark": "$_nearcopy.mark",
        "hold": "$_nearcopy.hold",
        "origin": "fetch",
    });
    if !patched.is_empty() {
        meta.insert("fv", revise_statement::versions(patched));
    }
    if !satisfied {
        meta.insert("need", "$_nearcopy.need");
    }
    if let Some(due) = due_value(*due) {
        meta.insert("due", due);
    }
    if *owes {
        meta.insert("owes", true);
    }
    let whole = doc! { "$mergeObjects": [literal(shown(id, content)), { "_nearcopy": meta }] };
    doc! { "q": guard, "u": replace(whole) }
}

/// A deletion at the newest version of which anything is held, or at another if that is higher.
fn erased(of: &Subscription, id: &Bson, floor: &Key, owes: bool) -> Document {
    let part = |name: &str| format!("$_nearcopy.key.{name}");
    let versions = doc! { "$objectToArray": { "$ifNull": ["$_nearcopy.fv", {}] } };
    let newest =
        doc! { "$max": [part("v"), { "$max": { "$map": { "input": versions, "in": "$$this.v" } } }] };
    let deleted = doc! { "$literal": floor.rank as i32 };
    let epoch = doc! { "$ifNull": [part("e"), 0_i64] };
    let shape = doc! { "$ifNull": [part("s"), of.shape] };
    let held = doc! { "e": epoch, "v": &newest, "g": deleted, "s": shape, "h": "" };
    let none = doc! { "$eq": [{ "$ifNull": [newest, Bson::Null] }, Bson::Null] };
    let gone = Content::Gone(Why::Erased);
    let mut meta = described(of, &gone, None);
    meta.extend(doc! {
        "key": { "$max": [choose(none, Bson::Null, held), literal(floor.to_document())] },
        "rev": next_rev(),
        "mark": "$_nearcopy.mark",
        "hold": "$_nearcopy.hold",
        "origin": "erase",
    });
    if owes {
        meta.insert("owes", true);
    }
    doc! { "$mergeObjects": [literal(shown(id, &gone)), { "_nearcopy": meta }] }
}

/// State, reason and key, and the generation that all of it is of.
fn described(of: &Subscription, content: &Content, key: Option<&Key>) -> Document {
    let mut meta = match content {
        Content::Live(_) => doc! { "state": "live" },
        Content::Gone(why) => doc! { "state": "gone", "why": why.as_str() },
    };
    if let Some(key) = key {
        meta.insert("key", literal(key.to_document()));
    }
    meta.insert("s", of.shape);
    meta
}

/// The record's fields, which come first, as a person reads it.
fn shown(id: &Bson, content: &Content) -> Document {
    let mut shown = doc! { "_id": id };
    if let Content::Live(fields) = content {
        shown.extend(fields.to_document());
    }
    shown
}

/// A need, unless that much is held or needed already.
fn need(floor: &Key) -> Vec<Document> {
    let version = floor.version.get();
    let met = doc! { "$or": [
        { "$gte": ["$_nearcopy.key", literal(floor.to_document())] },
        { "$gte": ["$_nearcopy.need", version] },
    ] };
    let otherwise = |kept: &str, value: Bson| choose(met.clone(), kept, value);
    vec![doc! { "$set": {
        "_nearcopy.need": otherwise("$_nearcopy.need", version.into()),
        "_nearcopy.due": otherwise("$_nearcopy.due", "$$NOW".into()),
        "_nearcopy.since": otherwise("$_nearcopy.since", "$$NOW".into()),
        "_nearcopy.claim": otherwise("$_nearcopy.claim", "$$REMOVE".into()),
    } }]
}

/// Plans the next question; the claim under which the last one was asked ends.
fn set(guard: Document, due: Due) -> Document {
    let stage = match due_value(due) {
        Some(time) => doc! { "$set": { "_nearcopy.due": time } },
        None => doc! { "$unset": "_nearcopy.due" },
    };
    doc! { "q": guard, "u": [stage, { "$unset": "_nearcopy.claim" }] }
}

/// Calls for a look at the owner at a time, unless one is planned sooner. Whoever is asking now loses the claim, so
/// that an answer that is already on its way does not pass for that look.
pub fn call_for(time: impl Into<Bson>) -> Vec<Document> {
    let due = doc! { "$min": ["$_nearcopy.due", time.into()] };
    let called = doc! { "$set": { "_nearcopy.due": due, "_nearcopy.since": "$$NOW" } };
    vec![called, doc! { "$unset": "_nearcopy.claim" }]
}

fn push_stage(statement: &mut Document, stage: Document) {
    if let Ok(stages) = statement.get_array_mut("u") {
        stages.push(stage.into());
    }
}

pub(super) fn due_value(due: Due) -> Option<Bson> {
    match due {
        Due::Now => Some("$$NOW".into()),
        Due::After(wait) => Some(from_now(wait).into()),
        Due::Never => None,
    }
}

/// What an event leaves as it is: above all, when the owner is asked next, and since when that is called for.
pub(super) fn left(of: &Subscription, ask: Due) -> Document {
    let mut left = doc! {
        "tries": "$_nearcopy.tries",
        "asked": "$_nearcopy.asked",
        "mark": "$_nearcopy.mark",
        "hold": "$_nearcopy.hold",
    };
    let soonest = |time: Bson| doc! { "$min": ["$_nearcopy.due", time] };
    let reconcile = of.fetch.as_ref().and_then(|fetch| fetch.reconcile);
    let planned: Bson = match (due_value(ask), reconcile) {
        (Some(time), _) => soonest(time).into(),
        (None, Some(reconcile)) => doc! { "$ifNull": ["$_nearcopy.due", from_now(reconcile)] }.into(),
        (None, None) => "$_nearcopy.due".into(),
    };
    let Some(fetch) = &of.fetch else {
        left.insert("due", planned);
        return left;
    };
    // The owner's last word may have been about more than this event, which came late: it is asked again.
    let decided = doc! { "$eq": ["$_nearcopy.key.h", Key::SETTLED] };
    let soon: Bson = if ask == Due::Now { "$$NOW".into() } else { from_now(fetch.settle).into() };
    left.insert("due", choose(decided, soonest(soon), planned));
    left.insert("since", "$_nearcopy.since");
    left
}

/// The record's own order: the server's clock in microseconds, and in any case more than before.
pub(super) fn next_rev() -> Document {
    let now = doc! { "$multiply": [{ "$toLong": "$$NOW" }, 1000_i64] };
    // Where there is none before, the sum is null, which is never the highest.
    doc! { "$max": [now, { "$add": ["$_nearcopy.rev", 1_i64] }] }
}

/// A time from now, by the server's clock.
pub fn from_now(wait: Duration) -> Document {
    doc! { "$add": ["$$NOW", i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)] }
}

fn tries_of(tries: u32) -> Bson {
    if tries == 0 { "$$REMOVE".into() } else { Bson::Int64(i64::from(tries)) }
}

pub(super) fn literal(value: impl Into<Bson>) -> Document {
    doc! { "$literal": value.into() }
}

pub(super) fn choose(condition: Document, yes: impl Into<Bson>, no: impl Into<Bson>) -> Document {
    doc! { "$cond": [condition, yes.into(), no.into()] }
}

pub(super) fn replace(with: Document) -> Vec<Document> {
    vec![doc! { "$replaceWith": with }]
}

//! What each write of a record means, said once more and without a database: the state before, the state after.
//!
//! The store in memory rests on it, and so do the model and the simulation; a conformance suite shows that MongoDB does
//! just the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bson::Document;

use crate::event::Version;
use crate::replication::{Content, Due, Key, Record, RecordWrite, State, Subscription, Why};

/// What is there after a write, at this time of the database in milliseconds; `None` where its guard held it off.
pub fn apply(
    of: &Subscription,
    held: Option<&Record>,
    write: &RecordWrite,
    now: i64,
    batch: i64,
) -> Option<Record> {
    let rev = next_rev(held, now);
    match (write, held) {
        (RecordWrite::Placeholder { id, ask, .. }, None) => {
            let due = ask.then_some(now);
            let pending = Record { due, rev, shape: of.shape, ..Record::blank(id.clone(), State::Pending) };
            Some(pending)
        }
        (RecordWrite::State { id, create: true, .. }, None) => {
            let nothing = Record::blank(id.clone(), State::Pending);
            Some(entered(of, &nothing, write, rev, now, batch))
        }
        (RecordWrite::Revise { id, rev: None, .. }, None) => {
            Some(revised(of, &Record::blank(id.clone(), State::Pending), write, rev, now, batch))
        }
        (RecordWrite::Revise { rev: read, .. }, Some(held)) => {
            (*read == Some(held.rev)).then(|| revised(of, held, write, rev, now, batch))
        }
        (RecordWrite::Erase { id, create: true, .. }, None) => {
            Some(erased(of, &Record::blank(id.clone(), State::Pending), write, rev))
        }
        (RecordWrite::Erase { .. }, Some(held)) => Some(erased(of, held, write, rev)),
        (_, None) | (RecordWrite::Placeholder { .. }, Some(_)) => None,
        (RecordWrite::State { guard, .. }, Some(held)) => {
            let newer = held.key.as_ref().is_none_or(|key| key < guard);
            newer.then(|| entered(of, held, write, rev, now, batch))
        }
        (RecordWrite::Need { floor: Some(floor), .. }, Some(held)) => {
            let need = Some(floor.version);
            let met = held.key.as_ref() >= Some(floor) || held.need >= need;
            (!met).then(|| Record { need, due: Some(now), since: micros(now), claim: None, ..held.clone() })
        }
        (RecordWrite::Need { floor: None, .. }, Some(held)) => Some(called(held, now, now)),
        (RecordWrite::Ask { wait, .. }, Some(held)) => Some(called(held, now + millis(*wait), now)),
        (RecordWrite::Unmark { .. }, Some(held)) => {
            held.marked.then(|| Record { marked: false, ..held.clone() })
        }
        (RecordWrite::Answer { rev: asked_at, claim, .. }, Some(held)) => {
            let untouched = held.rev == *asked_at && held.claim == *claim;
            untouched.then(|| answered(of, held, write, rev, now))
        }
        (RecordWrite::Unanswered { claim, due, tries, .. }, Some(held)) => {
            let mine = held.claim == *claim;
            mine.then(|| Record { due: time(*due, now), claim: None, tries: *tries, ..held.clone() })
        }
        (RecordWrite::Upgrade { rev: read_at, .. }, Some(held)) => {
            (held.rev == *read_at).then(|| upgraded(of, held, write, rev, now))
        }
        (RecordWrite::Paid { rev, .. }, Some(held)) => {
            (held.owes && held.rev == *rev).then(|| Record { owes: false, ..held.clone() })
        }
    }
}

/// What a claim makes of a record, if it is due.
pub fn claim(held: &Record, token: &str, hold: Duration, now: i64) -> Option<Record> {
    let due = held.due.is_some_and(|due| due <= now);
    let until = now + millis(hold);
    due.then(|| Record {
        due: Some(until),
        asked: micros(now),
        claim: Some(token.to_owned()),
        ..held.clone()
    })
}

/// What the renewal of a claim makes of a record, if the claim is held still.
pub fn renew(held: &Record, token: &str, hold: Duration, now: i64) -> Option<Record> {
    let mine = held.claim.as_deref() == Some(token);
    mine.then(|| Record { due: Some(now + millis(hold)), ..held.clone() })
}

/// Somebody calls for a look at the owner; whoever is asking now loses the claim.
pub fn called(held: &Record, due: i64, now: i64) -> Record {
    let due = held.due.map_or(due, |planned| planned.min(due));
    Record { due: Some(due), since: micros(now), claim: None, ..held.clone() }
}

fn entered(of: &Subscription, held: &Record, write: &RecordWrite, rev: i64, now: i64, batch: i64) -> Record {
    let RecordWrite::State { content, key, owes, .. } = write else { return held.clone() };
    let (state, mut fields) = described(content);
    if state == State::Live && of.leaves_alone(held) {
        let known = |name: &str| of.selection.fields().any(|field| field.name == name);
        let newer = held.fields.iter().filter(|(name, _)| !known(name.as_str()));
        fields.extend(newer.map(|(name, value)| (name.clone(), value.clone())));
    }
    let due = question(of, held, Due::Never, now);
    Record {
        state,
        key: Some(key.clone()),
        shape: of.shape,
        lacks: false,
        rev,
        need: held.need.filter(|need| *need > key.version && held.epoch() >= key.epoch),
        due,
        claim: None,
        owes: *owes,
        since: held.since.filter(|_| of.fetch.is_some()),
        batch: Some(batch),
        patched: BTreeMap::new(),
        fields,
        ..held.clone()
    }
}

fn revised(of: &Subscription, held: &Record, write: &RecordWrite, rev: i64, now: i64, batch: i64) -> Record {
    let RecordWrite::Revise { revision, ask, owes, .. } = write else { return held.clone() };
    let met = |need: &Version| revision.key.as_ref().is_some_and(|key| key.version >= *need);
    let due = question(of, held, *ask, now);
    Record {
        state: revision.state,
        key: revision.key.clone(),
        rev,
        need: held.need.max(revision.need).filter(|need| !met(need)),
        due,
        claim: None,
        owes: *owes,
        since: held.since.filter(|_| of.fetch.is_some()),
        batch: Some(batch),
        shape: revision.shape,
        lacks: revision.lacks,
        patched: revision.patched.clone(),
        fields: revision.fields.clone(),
        ..held.clone()
    }
}

/// When the owner is asked next after an event. What it has decided may have been about more than the event, and is
/// asked for again.
fn question(of: &Subscription, held: &Record, ask: Due, now: i64) -> Option<i64> {
    let sooner = |time: Option<i64>| held.due.into_iter().chain(time).min();
    let asked = time(ask, now);
    let Some(fetch) = &of.fetch else { return sooner(asked) };
    if held.key.as_ref().is_some_and(|key| &*key.hash == Key::SETTLED) {
        return sooner(Some(if ask == Due::Now { now } else { now + millis(fetch.settle) }));
    }
    match (ask, fetch.reconcile) {
        (Due::Never, Some(reconcile)) => held.due.or(Some(now + millis(reconcile))),
        _ => sooner(asked),
    }
}

fn erased(of: &Subscription, held: &Record, write: &RecordWrite, rev: i64) -> Record {
    let RecordWrite::Erase { id, floor, owes, .. } = write else { return held.clone() };
    let shape = held.key.as_ref().map_or(of.shape, |key| key.shape);
    let deletion =
        |version| Key { epoch: held.epoch(), version, rank: floor.rank, shape, hash: Arc::default() };
    let key = held.version().map(deletion).max(Some(floor.clone()));
    let marked = held.marked;
    Record {
        key,
        rev,
        owes: *owes,
        marked,
        shape: of.shape,
        ..Record::blank(id.clone(), State::Gone(Why::Erased))
    }
}

fn answered(of: &Subscription, held: &Record, write: &RecordWrite, rev: i64, now: i64) -> Record {
    let RecordWrite::Answer { content, patched, satisfied, due, tries, owes, .. } = write else {
        return held.clone();
    };
    let asked_again = Record {
        need: held.need.filter(|_| !satisfied),
        due: time(*due, now),
        tries: *tries,
        claim: None,
        ..held.clone()
    };
    let Some((content, key)) = content else { return asked_again };
    let (state, fields) = described(content);
    Record {
        state,
        key: key.clone(),
        shape: of.shape,
        lacks: false,
        rev,
        owes: *owes,
        batch: None,
        patched: patched.clone(),
        fields,
        ..asked_again
    }
}

fn upgraded(of: &Subscription, held: &Record, write: &RecordWrite, rev: i64, now: i64) -> Record {
    let RecordWrite::Upgrade { key, drop, fill, lacks, due, owes, .. } = write else { return held.clone() };
    let mut fields = held.fields.clone();
    fields.extend(fill.clone());
    for name in drop {
        fields.remove(name);
    }
    let patched = held.patched.clone().into_iter().filter(|(name, _)| !drop.contains(name)).collect();
    let upgraded = Record {
        key: key.clone().or_else(|| held.key.clone()),
        shape: of.shape,
        lacks: *lacks || held.lacks,
        rev,
        owes: *owes || held.owes,
        marked: false,
        patched,
        fields,
        ..held.clone()
    };
    time(*due, now).map_or_else(|| upgraded.clone(), |due| called(&upgraded, due, now))
}

fn described(content: &Content) -> (State, Document) {
    match content {
        Content::Live(fields) => (State::Live, fields.to_document()),
        Content::Gone(why) => (State::Gone(*why), Document::new()),
    }
}

fn next_rev(held: Option<&Record>, now: i64) -> i64 {
    (now * 1000).max(held.map_or(0, |held| held.rev) + 1)
}

fn time(due: Due, now: i64) -> Option<i64> {
    match due {
        Due::Now => Some(now),
        Due::After(wait) => Some(now + millis(wait)),
        Due::Never => None,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it fills fields that may be empty")]
fn micros(millis: i64) -> Option<i64> {
    Some(millis * 1000)
}

pub(super) fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

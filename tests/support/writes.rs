//! Writes of records, as events and answers make them.

use std::time::Duration;

use nearcopy::event::Version;
use nearcopy::replication::{Answer, Content, Declaration, Key, Record, RecordWrite, Timeline, fold, merge};
use serde_json::Value;

use crate::declared::{id, interpret, users};

/// The writes that events make, taken as one batch.
pub(crate) fn of_events(declaration: &Declaration, events: &[Value]) -> Vec<RecordWrite> {
    let read = events.iter().map(|event| interpret(declaration, event).unwrap().unwrap());
    fold(users(declaration), &read.collect::<Vec<_>>(), &Timeline::default()).writes
}

/// The write that an owner's answer makes of a record as it was claimed.
pub(crate) fn of_answer(declaration: &Declaration, claimed: &Record, answer: &Answer) -> RecordWrite {
    let of = users(declaration);
    merge(claimed, answer, 0, of.shape, of.fetch.as_ref().unwrap(), of.embedded)
}

/// The owner has a user of that name.
pub(crate) fn found(version: impl Into<Option<i64>>, name: &str) -> Answer {
    let content = Content::Live(bson::doc! { "username": name }.try_into().unwrap());
    Answer::Found { version: version.into().map(Version::new), content }
}

pub(crate) fn placeholder(user: &str) -> RecordWrite {
    RecordWrite::Placeholder { id: id(user), ask: true, hold: None }
}

pub(crate) fn unmark(user: &str) -> RecordWrite {
    RecordWrite::Unmark { id: id(user) }
}

pub(crate) fn need(user: &str, version: impl Into<Option<i64>>) -> RecordWrite {
    let floor = version.into().map(|version| Key::floor(0, Version::new(version)));
    RecordWrite::Need { id: id(user), floor }
}

pub(crate) fn ask(user: &str, wait: Duration) -> RecordWrite {
    RecordWrite::Ask { id: id(user), wait }
}

pub(crate) fn paid(user: &str, rev: i64) -> RecordWrite {
    RecordWrite::Paid { id: id(user), rev }
}

/// A claim that nobody else gets past.
pub(crate) const CLAIM: Duration = Duration::from_secs(60);

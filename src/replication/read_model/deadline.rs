//! Deadlines: what rules tell once a document has been so for a while, unless it changes before.
//!
//! A deadline stands in the document itself. So it is stored in the transaction that stores what it is about, goes with the
//! document, and is there again in one that is folded anew. It has passed once an event of a later time has come for the
//! document, or nothing more is to come: time is that of the events, so a stream that is read long after it was written
//! tells the same as one that was followed.

use std::collections::BTreeMap;

use bson::{Bson, DateTime, Document, doc};
use uuid::Uuid;

use super::bench::meta;
use super::rule::Alert;
use super::{META, ReadModel};

/// Where a document has its deadlines, by rule, among what is nearcopy's own; and where the next one of them.
const DEADLINES: &str = "due";
const NEXT: &str = "next";

/// One that is set.
#[derive(Clone, Debug)]
struct Deadline {
    at: DateTime,
    /// Whether it has passed, and others have been told.
    told: bool,
    id: Uuid,
    body: String,
}

/// Those of one document.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines(BTreeMap<String, Deadline>);

impl Deadlines {
    /// Those that are set.
    pub(super) fn of(document: Option<&Document>) -> Self {
        let held =
            document.and_then(|document| document.get_document(META).ok()?.get_document(DEADLINES).ok());
        let read = |(rule, held): (&String, &Bson)| Some((rule.clone(), read(held.as_document()?)?));
        Self(held.into_iter().flatten().filter_map(read).collect())
    }

    /// Notes them in the document.
    pub(super) fn note_in(&self, document: &mut Document) {
        let Some(meta) = meta(document) else { return };
        let next = self.0.values().filter(|deadline| !deadline.told).map(|deadline| deadline.at).min();
        let all = self.0.iter().map(|(rule, deadline)| (rule.clone(), written(deadline)));
        let all = (!self.0.is_empty()).then(|| Bson::Document(all.collect()));
        for (name, value) in [(DEADLINES, all), (NEXT, next.map(Bson::DateTime))] {
            match value {
                Some(value) => drop(meta.insert(name, value)),
                None => drop(meta.remove(name)),
            }
        }
    }

    /// Those that are reached by then, which are told once. One whose rule is not declared any more is forgotten.
    pub(super) fn pass(&mut self, of: &ReadModel, until: DateTime) -> Vec<Alert> {
        let rule = |name: &str| of.rules.iter().find(|rule| rule.name == name && rule.lasting.is_some());
        self.0.retain(|name, _| rule(name).is_some());
        let mut told = Vec::new();
        for (name, deadline) in self.0.iter_mut().filter(|(_, one)| !one.told && one.at <= until) {
            deadline.told = true;
            told.extend(rule(name).map(|rule| rule.alert(of, deadline.id, deadline.body.clone())));
        }
        told
    }

    /// Sets one, unless it is set already, under this id; what it says is that of the last event.
    pub(super) fn set(
        &mut self,
        rule: &str,
        at: DateTime,
        id: Uuid,
        say: impl FnOnce(DateTime, Uuid) -> String,
    ) {
        let empty = || Deadline { at, told: false, id, body: String::new() };
        let deadline = self.0.entry(rule.to_owned()).or_insert_with(empty);
        if !deadline.told {
            deadline.body = say(deadline.at, deadline.id);
        }
    }

    /// Lifts one.
    pub(super) fn lift(&mut self, rule: &str) {
        self.0.remove(rule);
    }
}

/// Takes over into a document folded anew which of its deadlines others have been told of.
pub fn take_over_deadlines(document: &mut Document, served: Option<&Document>) {
    let (mut deadlines, served) = (Deadlines::of(Some(document)), Deadlines::of(served));
    for (rule, deadline) in &mut deadlines.0 {
        deadline.told |= served.0.get(rule).is_some_and(|served| served.told);
    }
    if !deadlines.0.is_empty() {
        deadlines.note_in(document);
    }
}

fn read(held: &Document) -> Option<Deadline> {
    Some(Deadline {
        at: *held.get_datetime("at").ok()?,
        told: held.get_bool("told").ok()?,
        id: Uuid::parse_str(held.get_str("id").ok()?).ok()?,
        body: held.get_str("body").ok()?.to_owned(),
    })
}

/// What has been said need not be kept.
fn written(deadline: &Deadline) -> Bson {
    let Deadline { at, told, id, body } = deadline;
    let body = if *told { "" } else { body };
    Bson::Document(doc! { "at": *at, "told": *told, "id": id.to_string(), "body": body })
}

//! What every document must show at rest.

use std::sync::Arc;

use bson::{Bson, Document, doc};
use nearcopy::replication::{Embed, Record, State, Why};

use crate::consumer::{MINE, key};
use crate::judge::{Rest, named, reference};
use crate::plan::{Plan, Policy, Shape, Shown};
use crate::watch::{places, stamp};

const SHOWN: &str = "I4, convergence: every document shows what is held";
const FOREIGN: &str = "no document shows an entity to which it does not refer";

/// Everything that an embed's documents show and must not, or must show and do not.
pub(crate) fn judge(rest: &mut Rest<'_>, embed: &Arc<Embed>) {
    let known = rest.plan.shown.iter().copied().find(|shown| Plan::collection(*shown) == embed.name);
    let Some(shown) = known else { return };
    for document in rest.stage.memory.all(&embed.collection) {
        for place in places(embed, &document) {
            let place = Place { rest, embed, shown, document: &document, element: place };
            if let Some((law, why)) = place.wrong() {
                let detail = format!("{}: {why}", named(embed, &document));
                rest.broken(law, detail);
            }
        }
    }
}

/// A document, or an element of its array.
struct Place<'a, 's> {
    rest: &'a Rest<'s>,
    embed: &'a Embed,
    shown: Shown,
    document: &'a Document,
    element: &'a Document,
}

type Wrong = (&'static str, String);

impl Place<'_, '_> {
    fn wrong(&self) -> Option<Wrong> {
        let Some(id) = reference(self.element) else { return self.unreferenced() };
        let record = self.rest.records.get(&id)?;
        match (record.state, self.shown.policy) {
            (State::Live, _) => self.live(&id, record),
            (State::Gone(_), Policy::Clear) => self.stamped(&id, record).or_else(|| self.nothing("is gone")),
            (State::Gone(Why::Deleted), Policy::Delete) => self.deleted(&id, record),
            (State::Gone(_), policy) => self.left(&id, record, policy == Policy::Mark),
            (State::Pending, _) => self.only_theirs(&id),
        }
    }

    /// Who refers to nobody shows nobody; but of what has no stamp, nobody can know that it was shown.
    fn unreferenced(&self) -> Option<Wrong> {
        let stamp = stamp(self.embed, self.element)?;
        Some((FOREIGN, format!("it refers to nobody, and is stamped {stamp}")))
    }

    fn live(&self, id: &str, record: &Record) -> Option<Wrong> {
        let value = |name: &str| record.fields.get(name).cloned();
        let expected = match self.shown.shape {
            Shape::Object | Shape::Elements => {
                let expected = doc! { "name": value("name"), "email": value("email") };
                let is_right = self.element.get_document("user").ok() == Some(&expected);
                (!is_right).then_some(expected)
            }
            Shape::Flat => {
                let expected = doc! { "userName": value("name"), "userEmail": value("email") };
                let is_right = expected.iter().all(|(name, value)| self.element.get(name) == Some(value));
                (!is_right).then_some(expected)
            }
        };
        let wrong = expected.map(|expected| (SHOWN, format!("it must show {expected}")));
        wrong.or_else(|| self.stamped(id, record))
    }

    /// The stamp says whom it shows, and as of when.
    fn stamped(&self, id: &str, record: &Record) -> Option<Wrong> {
        let stamp = stamp(self.embed, self.element);
        let is_right = stamp.is_some_and(|stamp| {
            stamp.get_str("ref").ok() == Some(id) && stamp.get_i64("rev").ok() == Some(record.rev)
        });
        (!is_right).then(|| (SHOWN, format!("its stamp is {stamp:?}, the record's rev is {}", record.rev)))
    }

    fn shows(&self) -> Vec<(&str, &Bson)> {
        let paths = self.embed.owned_paths().into_iter();
        paths.filter_map(|path| Some((path, self.element.get(path)?))).collect()
    }

    fn nothing(&self, why: &str) -> Option<Wrong> {
        let shows = self.shows();
        (!shows.is_empty()).then(|| (SHOWN, format!("it {why}, and {shows:?} is shown")))
    }

    /// Of a deleted entity, documents that showed it are gone. One that came to refer to it only afterwards stays, and
    /// shows nothing.
    fn deleted(&self, id: &str, record: &Record) -> Option<Wrong> {
        self.stamped(id, record).or_else(|| self.nothing("is deleted"))
    }

    /// What was shown last stays, if it was this entity's.
    fn left(&self, id: &str, record: &Record, is_marked: bool) -> Option<Wrong> {
        let marked = match self.shown.shape {
            Shape::Flat => stamp(self.embed, self.element).and_then(|stamp| stamp.get("deleted")),
            Shape::Object | Shape::Elements => {
                self.element.get_document("user").ok().and_then(|user| user.get("deleted"))
            }
        };
        if is_marked && marked != Some(&Bson::Boolean(true)) {
            return Some((SHOWN, "it is gone, and not marked".into()));
        }
        self.stamped(id, record).or_else(|| self.only_theirs(id))
    }

    /// Nothing is shown but what this entity was at some time, or what the app itself wrote there.
    fn only_theirs(&self, id: &str) -> Option<Wrong> {
        if self.rest.stage.consumer.is_stampless(&self.embed.collection, &key(self.document)) {
            return None;
        }
        let values: Vec<String> = match self.shown.shape {
            Shape::Flat => self.shows().into_iter().filter_map(|(_, value)| text(value)).collect(),
            Shape::Object | Shape::Elements => {
                let user = self.element.get_document("user").ok();
                user.into_iter().flatten().filter_map(|(_, value)| text(value)).collect()
            }
        };
        let log = self.rest.log.get(id);
        let users = || log.into_iter().flatten().filter_map(|said| said.user.as_ref());
        let is_theirs =
            |value: &String| value == MINE || users().any(|user| user.name == *value || user.email == *value);
        let foreign: Vec<&String> = values.iter().filter(|value| !is_theirs(value)).collect();
        (!foreign.is_empty()).then(|| (FOREIGN, format!("{foreign:?} is not of {id}")))
    }
}

fn text(value: &Bson) -> Option<String> {
    value.as_str().map(str::to_owned)
}

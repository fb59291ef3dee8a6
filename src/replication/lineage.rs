//! What a record of an older generation needs, so that it holds what is declared today.

use std::collections::BTreeMap;

use bson::{Bson, Document};

use super::shape::protected;
use super::{Due, Record, RecordWrite, State, Subscription};
use crate::event::Field;

/// The fields of one replica in every generation up to today's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage(Vec<(i32, BTreeMap<String, String>)>);

/// What became of the fields between a generation and today.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Those that were added, or are read otherwise: their values are not known yet.
    pub brought: Vec<String>,
    /// Those that are protected, and were not: what is held of them is in clear.
    pub sealed: Vec<String>,
    /// Those that any earlier generation kept, and today's does not.
    pub dropped: Vec<String>,
}

impl Lineage {
    /// Generations by their numbers, the oldest first and today's last.
    pub fn new(generations: impl IntoIterator<Item = (i32, BTreeMap<String, String>)>) -> Self {
        Self(generations.into_iter().collect())
    }

    /// What became of the fields since that generation. An older pod leaves what newer ones wrote, so any field that
    /// was ever kept may be there.
    pub fn since(&self, generation: i32) -> Step {
        let Some((_, today)) = self.0.last() else { return Step::default() };
        let nothing = BTreeMap::new();
        let then = self.0.iter().rev().find(|(number, _)| *number <= generation);
        let then = then.map_or(&nothing, |(_, fields)| fields);
        let (mut brought, mut sealed) = (Vec::new(), Vec::new());
        for (name, how) in today.iter().filter(|(name, how)| then.get(*name) != Some(how)) {
            let (before, read) = (then.get(name), protected(how));
            // What is read as before is known already, and only has to be protected.
            if read.is_none() || before.map(String::as_str) != read {
                brought.push(name.clone());
            }
            if read.is_some() && before.is_none_or(|before| protected(before).is_none()) {
                sealed.push(name.clone());
            }
        }
        let mut dropped: Vec<String> = self.0.iter().flat_map(|(_, fields)| fields.keys()).cloned().collect();
        dropped.sort();
        dropped.dedup();
        dropped.retain(|name| !today.contains_key(name));
        Step { brought, sealed, dropped }
    }
}

/// Brings a record of an older generation to today's. What is not kept any more goes at once, and what is not kept in clear
/// any more is protected at once. Where fields were added, the owner is asked; where it cannot be, they are what they are
/// without a value until an event brings them.
pub fn upgrade(of: &Subscription, record: &Record) -> RecordWrite {
    let is_live = record.state == State::Live;
    let Step { mut brought, sealed, mut dropped } = of.lineage.since(record.shape);
    if !is_live {
        brought.clear();
    }
    dropped.retain(|name| record.fields.contains_key(name) || record.patched.contains_key(name));
    let lacks = !brought.is_empty() || record.lacks;
    let mut fill: Document = of
        .selection
        .fields()
        .filter(|field| sealed.contains(&field.name))
        .filter_map(seal(of, record))
        .collect();
    let is_sealed = !fill.is_empty();
    let held = |field: &Field| fill.get(&field.name).or_else(|| record.fields.get(&field.name)).cloned();
    let kept: Document =
        of.selection.fields().filter_map(|field| Some((field.name.clone(), held(field)?))).collect();
    let missing = of.selection.fields().filter(|field| brought.contains(&field.name));
    let defaults = missing.filter(|field| of.fetch.is_none() && !record.fields.contains_key(&field.name));
    fill.extend(defaults.filter_map(|field| Some((field.name.clone(), field.default.clone()?))));
    let full = is_live && record.patched.is_empty();
    // Nor is a hash left of what was in clear: whoever guesses that could tell that he is right.
    let key = record.key.as_ref().filter(|_| !lacks || is_sealed);
    let (shape, content) = (if lacks { 0 } else { of.shape }, (full || is_sealed).then_some(&kept));
    RecordWrite::Upgrade {
        id: record.id.clone(),
        rev: record.rev,
        key: key.map(|key| key.reshaped(shape, content)),
        drop: dropped,
        fill,
        lacks,
        due: if lacks && of.fetch.is_some() { Due::Now } else { Due::Never },
        owes: of.embedded,
    }
}

/// What is held of a field, protected. It may be already: a newer pod's patch leaves the record to its generation.
fn seal<'f>(of: &Subscription, record: &Record) -> impl Fn(&'f Field) -> Option<(String, Bson)> {
    move |field| {
        let value = record.fields.get(&field.name)?.clone();
        // Without a key nothing can be kept of it.
        let sealed = of.selection.kept_by_now(field, &record.id, value).unwrap_or(Bson::Null);
        Some((field.name.clone(), sealed))
    }
}

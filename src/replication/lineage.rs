//! What a record of an older generation needs, so that it holds what is declared today.

use std::collections::BTreeMap;

use bson::Document;

use super::{Due, Record, RecordWrite, State, Subscription};

/// The fields of one replica in every generation up to today's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage(Vec<(i32, BTreeMap<String, String>)>);

/// What became of the fields between a generation and today.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Those that were added, or are read otherwise: their values are not known yet.
    pub brought: Vec<String>,
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
        let brought = today.iter().filter(|(name, how)| then.get(*name) != Some(how));
        let mut dropped: Vec<String> = self.0.iter().flat_map(|(_, fields)| fields.keys()).cloned().collect();
        dropped.sort();
        dropped.dedup();
        dropped.retain(|name| !today.contains_key(name));
        Step { brought: brought.map(|(name, _)| name.clone()).collect(), dropped }
    }
}

/// Brings a record of an older generation to today's. What is not kept any more goes at once. Where fields were added,
/// the owner is asked; where it cannot be, they are what they are without a value until an event brings them.
pub fn upgrade(of: &Subscription, record: &Record) -> RecordWrite {
    let is_live = record.state == State::Live;
    let Step { mut brought, mut dropped } = of.lineage.since(record.shape);
    if !is_live {
        brought.clear();
    }
    dropped.retain(|name| record.fields.contains_key(name) || record.patched.contains_key(name));
    let lacks = !brought.is_empty() || record.lacks;
    let kept: Document = of
        .selection
        .fields()
        .filter_map(|field| Some((field.name.clone(), record.fields.get(&field.name)?.clone())))
        .collect();
    let missing = of.selection.fields().filter(|field| brought.contains(&field.name));
    let defaults = missing.filter(|field| of.fetch.is_none() && !record.fields.contains_key(&field.name));
    let fill = defaults.filter_map(|field| Some((field.name.clone(), field.default.clone()?)));
    let (key, full) = (record.key.as_ref(), is_live && record.patched.is_empty());
    RecordWrite::Upgrade {
        id: record.id.clone(),
        rev: record.rev,
        key: key.filter(|_| !lacks).map(|key| key.reshaped(of.shape, full.then_some(&kept))),
        drop: dropped,
        fill: fill.collect(),
        lacks,
        due: if lacks && of.fetch.is_some() { Due::Now } else { Due::Never },
        owes: of.embedded,
    }
}

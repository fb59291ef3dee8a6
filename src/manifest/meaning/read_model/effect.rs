//! What an event does to documents.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::super::super::place::Place;
use super::super::super::{Code, Diagnostic, raw};
use super::super::Noted;
use super::{field, keyless, target, value};
use crate::event::Lookup;
use crate::replication::{Declared, Effect, How, Target, Template};

/// How many items an array keeps that says nothing of it.
const LAST: usize = 1_000;
/// The most that it may keep: a document ends at 16 MB.
const MOST: u64 = 100_000;

/// What is read into, and what is wrong with it.
pub(super) struct Reading<'r, 'f> {
    pub lookup: &'r mut Lookup,
    pub findings: &'f mut Vec<Diagnostic>,
}

impl Reading<'_, '_> {
    /// Reads one effect; `key` is the read model's.
    pub(super) fn effect(
        &mut self,
        raw: &raw::Effect,
        key: Option<&Template>,
        at: Place<'_>,
    ) -> Option<Effect> {
        let target = self.target(raw, key, at);
        let operations = self.operations(raw, at);
        let changes = at.entries().any(|(word, _)| !["key", "where", "delete"].contains(&word));
        let contradiction = match (raw.delete, !changes) {
            (true, false) => Some(("a document that goes is not changed", "keep `delete`, or the changes")),
            (false, true) => Some(("this effect does nothing", "say what it does: `set`, `inc`, `delete` …")),
            _ => None,
        };
        if let Some((message, help)) = contradiction.filter(|_| !at.is_broken()) {
            let why = if raw.delete { "both stand here" } else { "there is no change here" };
            self.findings.push(Diagnostic::new(Code::BadEffect, at.key, message).why(why).help(help));
        }
        Some(Effect { target: target?, operations: (!raw.delete).then_some(operations) })
    }

    fn target(&mut self, raw: &raw::Effect, key: Option<&Template>, at: Place<'_>) -> Option<Target> {
        match (&raw.key, &raw.matching) {
            (Some(_), Some(_)) => {
                let found = Diagnostic::new(
                    Code::BadEffect,
                    at.at("where").key,
                    "`key` and `where` exclude each other",
                )
                .why("the document of a key is one, those that match are many")
                .also(at.at("key").key, "the key is here")
                .help("keep one of them");
                self.findings.push(found);
                None
            }
            (Some(text), None) => {
                let key = value::expression(text, at.at("key"), self.lookup).noted(self.findings);
                key.map(Target::Key)
            }
            (None, Some(fields)) if fields.is_empty() => {
                self.findings.push(keyless(at.at("where")));
                None
            }
            (None, Some(fields)) => {
                let at = at.at("where");
                let fields = fields.iter().filter_map(|(name, value)| {
                    let at = at.at(name);
                    let path = field(name, Place { node: at.node, key: at.key }).noted(self.findings);
                    let value = value::read(&value.0, at, self.lookup).noted(self.findings);
                    Some((path?, value?))
                });
                Some(Target::Where(fields.collect()))
            }
            (None, None) => target(key, at).noted(self.findings).map(Target::Key),
        }
    }

    /// Reads all the changes of an effect, in the order in which they are made.
    fn operations(&mut self, raw: &raw::Effect, at: Place<'_>) -> Vec<Declared> {
        let mut operations = Vec::new();
        for (word, how, fields) in [
            ("set", How::Set, &raw.set),
            ("inc", How::Inc, &raw.inc),
            ("min", How::Min, &raw.min),
            ("max", How::Max, &raw.max),
            ("add_to_set", How::AddToSet, &raw.add_to_set),
            ("pull", How::Pull, &raw.pull),
            ("count", How::Count, &raw.count),
            ("uncount", How::Uncount, &raw.uncount),
        ] {
            let at = at.at(word);
            for (name, value) in fields {
                operations.extend(self.declared(name, how, &value.0, at.at(name)));
            }
        }
        operations.extend(self.appended(&raw.append, at.at("append")));
        for at in at.at("unset").items() {
            let path = at.text().and_then(|text| field(text, at).noted(self.findings));
            let value = Template::Constant(bson::Bson::Null);
            operations.extend(path.map(|path| Declared { at: path, how: How::Unset, value }));
        }
        operations
    }

    /// Reads what is added to arrays.
    pub(super) fn appended(
        &mut self,
        raw: &BTreeMap<String, raw::ReadModelValue>,
        at: Place<'_>,
    ) -> Vec<Declared> {
        let mut operations = Vec::new();
        for (name, value) in raw {
            let at = at.at(name);
            let (value, last) = match value.0.as_object() {
                Some(full)
                    if full.contains_key("value")
                        && full.keys().all(|key| key == "value" || key == "last") =>
                {
                    (&full["value"], full.get("last"))
                }
                _ => (&value.0, None),
            };
            let last = last.map_or(Ok(LAST), |last| kept(last, at.at("last"))).noted(self.findings);
            let at =
                if last.is_some() && at.has("value") { Place { key: at.key, ..at.at("value") } } else { at };
            operations.extend(last.and_then(|last| self.declared(name, How::Append(last), value, at)));
        }
        operations
    }

    fn declared(&mut self, name: &str, how: How, value: &Json, at: Place<'_>) -> Option<Declared> {
        let path = field(name, at).noted(self.findings);
        let value = value::read(value, at, self.lookup).noted(self.findings);
        Some(Declared { at: path?, how, value: value? })
    }
}

fn kept(last: &Json, at: Place<'_>) -> Result<usize, Diagnostic> {
    let number = last.as_u64().filter(|number| (1..=MOST).contains(number));
    number.and_then(|number| usize::try_from(number).ok()).ok_or_else(|| {
        Diagnostic::new(Code::OutOfRange, at.mark(), "`last` is out of range")
            .why(format!("not from 1 to {MOST}"))
            .help(format!("choose a whole number from 1 to {MOST}"))
    })
}

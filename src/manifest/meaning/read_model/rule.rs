//! What is told to others, and when.

use std::time::Duration;

use super::super::super::place::Place;
use super::super::super::{Code, Diagnostic, raw};
use super::super::duration::{self, Range};
use super::super::{Noted, empty, entry, source};
use super::value;
use crate::event::Lookup;
use crate::replication::{Rule, STATES, Template};

const LASTING: Range =
    Range { least: Duration::from_secs(1), most: Duration::from_hours(24 * 3650), words: "from 1s to 3650d" };

/// Reads every rule of a read model.
pub(super) fn read_all(at: Place<'_>, lookup: &mut Lookup, findings: &mut Vec<Diagnostic>) -> Vec<Rule> {
    at.get("rules")
        .into_iter()
        .flat_map(Place::entries)
        .filter_map(|(name, at)| {
            let raw = entry::<raw::Rule>(at, findings)?;
            read(name, &raw, at, lookup, findings)
        })
        .collect()
}

fn read(
    name: &str,
    raw: &raw::Rule,
    at: Place<'_>,
    lookup: &mut Lookup,
    findings: &mut Vec<Diagnostic>,
) -> Option<Rule> {
    let when = value::expression_with(&raw.when, &STATES, at.at("when"), lookup).noted(findings);
    let lasting =
        raw.lasting.as_ref().map(|text| duration::read(text, at.at("for"), &LASTING).noted(findings));
    let at = at.at("emit");
    let exchange = source::rabbit_name(&raw.emit.exchange, "exchange", at.at("exchange")).noted(findings);
    if raw.emit.kind.is_empty() {
        findings.push(empty(
            at.at("type"),
            "a message needs a type",
            "name what has happened: `type: TooManyBooks`",
        ));
    }
    let key = routing_key(&raw.emit.key, at.at("key")).noted(findings);
    let at = at.at("data");
    let data = raw.emit.data.iter().map(|(name, value)| {
        let value = value::read_with(&value.0, &STATES, at.at(name), lookup).noted(findings);
        Some((name.clone(), value?))
    });
    let data = data.collect::<Option<Vec<_>>>();
    exchange.and(key)?;
    Some(Rule {
        name: name.to_owned(),
        when: when?,
        lasting: lasting.map_or(Some(None), |read| read.map(Some))?,
        exchange: raw.emit.exchange.clone(),
        routing_key: raw.emit.key.clone(),
        kind: raw.emit.kind.clone(),
        data: Template::Object(data?),
    })
}

fn routing_key(key: &str, at: Place<'_>) -> Result<(), Diagnostic> {
    if key.len() <= 255 {
        return Ok(());
    }
    Err(Diagnostic::new(Code::BadQueue, at.mark(), "this cannot be a routing key")
        .why("it is longer than 255 bytes")
        .help("choose a shorter one, such as `alert.too-many`"))
}

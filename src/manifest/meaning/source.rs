//! Sources: a queue, and how its events are written.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::place::Place;
use super::super::raw::{self, EventPaths, Format};
use super::super::{Code, Diagnostic};
use super::{Noted, entry, path, size};
use crate::event::{Envelope, Limits, WireFormat};
use crate::replication::{QueueSpec, SourceSpec};

/// What is known of a source that is declared, however wrongly.
pub(super) struct Known {
    /// Its format, if that much could be read.
    pub format: Option<Format>,
    /// The whole, if nothing is wrong with it.
    pub spec: Option<Arc<SourceSpec>>,
}

/// RabbitMQ's bound on names and binding keys, in bytes.
const LONGEST: usize = 255;

/// Reads every source.
pub(super) fn read_all<'t>(root: Place<'t>, findings: &mut Vec<Diagnostic>) -> BTreeMap<&'t str, Known> {
    let mut known = BTreeMap::new();
    let mut queues: BTreeMap<&str, Place<'_>> = BTreeMap::new();
    for (name, at) in root.get("sources").into_iter().flat_map(Place::entries) {
        let raw = entry::<raw::Source>(at, findings);
        let format = raw.as_ref().map(|raw| raw.format).filter(|_| !at.at("format").is_broken());
        let spec = raw.and_then(|raw| read(name, &raw, at, findings)).map(Arc::new);
        known.insert(name, Known { format, spec });
        let queue = at.at("rabbitmq").get("queue");
        if let Some((queue, at)) = queue.and_then(|at| Some((at.text()?, at)))
            && let Some(first) = queues.insert(queue, at)
        {
            findings.push(shared(queue, first, at));
        }
    }
    findings.extend(unread(root));
    known
}

fn read(name: &str, raw: &raw::Source, at: Place<'_>, findings: &mut Vec<Diagnostic>) -> Option<SourceSpec> {
    let queue = queue(&raw.rabbitmq, at.at("rabbitmq"), findings);
    let format = format(raw, at, findings);
    let body = size::read(&raw.limits.body, at.at("limits").at("body")).noted(findings);
    let limits = Limits { body: body?, depth: raw.limits.depth };
    Some(SourceSpec { name: name.to_owned(), queue: queue?, envelope: Envelope::new(format?, limits) })
}

fn queue(raw: &raw::RabbitMq, at: Place<'_>, findings: &mut Vec<Diagnostic>) -> Option<QueueSpec> {
    let before = findings.len();
    rabbit_name(&raw.exchange, "exchange", at.at("exchange")).noted(findings);
    rabbit_name(&raw.queue, "queue", at.at("queue")).noted(findings);
    let bindings = at.at("bindings");
    if raw.declare && bindings.items().next().is_none() && !bindings.is_broken() {
        let found =
            Diagnostic::new(Code::EmptyValue, bindings.mark(), "a queue without bindings gets no events")
                .why("there is no binding key here")
                .help("add `bindings: [\"user.#\"]` with the keys you want; or say `declare: false`");
        findings.push(found);
    }
    for at in bindings.items() {
        if let Some(binding) = at.text() {
            binding_key(binding, at).noted(findings);
        }
    }
    (findings.len() == before).then(|| QueueSpec {
        exchange: raw.exchange.clone(),
        queue: raw.queue.clone(),
        bindings: raw.bindings.clone(),
        declare: raw.declare,
    })
}

fn rabbit_name(name: &str, what: &str, at: Place<'_>) -> Result<(), Diagnostic> {
    let bad = |why: &str, help: &str| {
        Diagnostic::new(Code::BadQueue, at.mark(), format!("this cannot be the name of the {what}"))
            .why(why)
            .help(help)
    };
    match name {
        "" => {
            Err(bad("it is empty", "RabbitMQ's default exchange and unnamed queues cannot be bound; name it"))
        }
        _ if name.len() > LONGEST => Err(bad("it is longer than 255 bytes", "choose a shorter name")),
        _ if name.chars().any(char::is_control) => {
            Err(bad("it contains a control character", "choose a plain name"))
        }
        _ if what == "queue" && name.starts_with("amq.") => {
            Err(bad("`amq.` is RabbitMQ's own", "begin with the service's name: `product-service.users`"))
        }
        _ => Ok(()),
    }
}

fn binding_key(key: &str, at: Place<'_>) -> Result<(), Diagnostic> {
    let bad = |why: &str, help: &str| {
        Diagnostic::new(Code::BadQueue, at.mark(), "this binding key would match nothing").why(why).help(help)
    };
    if key.is_empty() || key.len() > LONGEST {
        return Err(bad("a key has from 1 to 255 bytes", "write words between dots, such as `user.#`"));
    }
    let mixed = |word: &str| word.len() > 1 && word.contains(['*', '#']);
    match key.split('.').find(|word| mixed(word)) {
        None => Ok(()),
        Some(word) => Err(bad(
            "`*` and `#` stand for whole words only",
            &format!(
                "put a dot between: `{}`",
                word.replace('*', ".*").replace('#', ".#").trim_start_matches('.')
            ),
        )),
    }
}

fn format(raw: &raw::Source, at: Place<'_>, findings: &mut Vec<Diagnostic>) -> Option<WireFormat> {
    match (raw.format, &raw.event) {
        (Format::CloudEvents, None) => Some(WireFormat::CloudEvents),
        (Format::CloudEvents, Some(_)) => {
            findings.push(
                Diagnostic::new(Code::NoEffect, at.at("event").key, "`event` has no effect with CloudEvents")
                    .why("the format itself says where things are")
                    .help("remove `event`, or say `format: json`"),
            );
            None
        }
        (Format::Json, event) => {
            let default = EventPaths::default();
            let paths = event.as_ref().unwrap_or(&default);
            let at = at.at("event");
            let id = path::not_empty(&paths.id, at.at("id")).noted(findings);
            let kind = path::not_empty(&paths.kind, at.at("type")).noted(findings);
            let time = path::not_empty(&paths.time, at.at("time")).noted(findings);
            let data = path::read(&paths.data, at.at("data")).noted(findings);
            Some(WireFormat::Json { id: id?, kind: kind?, time: time?, data: data? })
        }
    }
}

/// Sources that no replica reads; none is blamed while a replica's own source is in doubt.
fn unread(root: Place<'_>) -> Vec<Diagnostic> {
    let declared = root.names("sources");
    let mut read = Vec::new();
    for (_, replica) in root.get("replicas").into_iter().flat_map(Place::entries) {
        match replica.get("source").and_then(Place::text) {
            Some(source) if declared.contains(&source) => read.push(source),
            _ => return Vec::new(),
        }
    }
    if super::in_doubt(root) {
        return Vec::new();
    }
    let sources = root.get("sources").into_iter().flat_map(Place::entries);
    let unread = sources.filter(|(name, _)| !read.contains(name) && !read.is_empty());
    let diagnostic = |(name, at): (&str, Place<'_>)| {
        Diagnostic::new(Code::NoEffect, at.key, format!("no replica reads the source `{name}`"))
            .why("its events would be taken and thrown away")
            .help(format!("declare a replica with `source: {name}`, or remove the source"))
    };
    unread.map(diagnostic).collect()
}

fn shared(queue: &str, first: Place<'_>, second: Place<'_>) -> Diagnostic {
    Diagnostic::new(Code::SharedQueue, second.mark(), format!("two sources read the queue `{queue}`"))
        .why("each would take events from the other")
        .also(first.mark(), "first read here")
        .help("let both replicas name the same source, or give this one a queue of its own")
}

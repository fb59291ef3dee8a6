//! Sources: where events come from, and how they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::place::Place;
use super::super::raw::{self, EventPaths, Format};
use super::super::{Code, Diagnostic};
use super::{Noted, collection, entry, feed, path, read_model, size, split};
use crate::event::{Envelope, Limits, WireFormat};
use crate::replication::{FeedSpec, QueueSpec, SourceSpec, StreamSpec};

/// What is known of a source that is declared, however wrongly.
pub(super) struct Known {
    /// Its format, if that much could be read.
    pub format: Option<Format>,
    /// What it is.
    pub kind: Kind,
    /// The whole, if it is a queue and nothing is wrong with it.
    pub spec: Option<Arc<SourceSpec>>,
    /// The whole, if it is a stream and nothing is wrong with it.
    pub stream: Option<Arc<StreamSpec>>,
    /// The whole, if it is a feed, or a collection, and nothing is wrong with it.
    pub feed: Option<Arc<FeedSpec>>,
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its events go when they are taken.
    Queue,
    /// Its events stay.
    Stream,
    /// Its events are asked for.
    Feed,
    /// Its events are the changes of a collection.
    Collection,
    /// It does not say so.
    Unclear,
}

/// The keys of what a source may be.
const KINDS: [&str; 4] = ["rabbitmq", "stream", "feed", "collection"];
/// RabbitMQ's bound on names and binding keys, in bytes.
pub(super) const LONGEST: usize = 255;

/// Reads every source.
pub(super) fn read_all<'t>(root: Place<'t>, findings: &mut Vec<Diagnostic>) -> BTreeMap<&'t str, Known> {
    let mut known = BTreeMap::new();
    let mut queues: BTreeMap<String, Place<'_>> = BTreeMap::new();
    for (name, at) in root.get("sources").into_iter().flat_map(Place::entries) {
        let raw = entry::<raw::Source>(at, findings);
        let format = raw.as_ref().map(|raw| raw.format).filter(|_| !at.at("format").is_broken());
        let kind = match KINDS.map(|kind| at.has(kind)) {
            [true, false, false, false] => Kind::Queue,
            [false, true, false, false] => Kind::Stream,
            [false, false, true, false] => Kind::Feed,
            [false, false, false, true] => Kind::Collection,
            _ => Kind::Unclear,
        };
        let format = if kind == Kind::Collection { Some(Format::Change) } else { format };
        let Read { queue, stream, feed } = raw.map(|raw| read(name, &raw, at, findings)).unwrap_or_default();
        let (spec, stream, feed) = (queue.map(Arc::new), stream.map(Arc::new), feed.map(Arc::new));
        known.insert(name, Known { format, kind, spec, stream, feed });
        let queue = at.get("rabbitmq").and_then(|at| at.get("queue"));
        let partitions = known.get(name).and_then(|known| known.spec.as_ref()).map(|spec| spec.queue.names());
        if let Some((queue, at)) = queue.and_then(|at| Some((at.text()?, at))) {
            // The whole is one of them, too, since it may be left from before it was split.
            let names: BTreeSet<String> =
                partitions.into_iter().flatten().chain([queue.to_owned()]).collect();
            let taken = names.iter().find_map(|name| Some((name, *queues.get(name)?)));
            findings.extend(taken.map(|(name, first)| shared(name, first, at)));
            queues.extend(names.into_iter().map(|name| (name, at)));
        }
    }
    findings.extend(unread(root));
    findings.extend(split::idle(root));
    known
}

/// What a source is, as far as nothing is wrong with it.
#[derive(Default)]
struct Read {
    queue: Option<SourceSpec>,
    stream: Option<StreamSpec>,
    feed: Option<FeedSpec>,
}

fn read(name: &str, raw: &raw::Source, at: Place<'_>, findings: &mut Vec<Diagnostic>) -> Read {
    let queue = raw.rabbitmq.as_ref().map(|raw| queue(raw, at.at("rabbitmq"), findings));
    let stream = raw.stream.as_ref().map(|raw| stream(raw, at.at("stream"), findings));
    let format = format(raw, at, findings);
    let body = size::read(&raw.limits.body, at.at("limits").at("body")).noted(findings);
    let limits = body.map(|body| Limits { body, depth: raw.limits.depth });
    let envelope = format.zip(limits).map(|(format, limits)| Envelope::new(format, limits));
    let feed = raw.feed.as_ref().map(|raw| feed::read(name, raw, envelope.clone(), at.at("feed"), findings));
    let collection = raw.collection.as_ref();
    let followed =
        collection.map(|raw| collection::read(name, raw, envelope.clone(), at.at("collection"), findings));
    let kinds = KINDS.iter().filter(|kind| at.has(kind)).count();
    if kinds != 1 {
        if KINDS.iter().all(|kind| !at.at(kind).is_broken()) {
            findings.push(not_one(at, kinds > 0));
        }
        return Read::default();
    }
    let name = name.to_owned();
    match (queue, stream, feed.or(followed)) {
        (Some(queue), None, None) => {
            let queue = queue.zip(envelope).map(|(queue, envelope)| SourceSpec { name, queue, envelope });
            Read { queue, ..Read::default() }
        }
        (None, Some(stream), None) => {
            let stream = stream.zip(envelope).map(|(Named { stream, bound, partitions }, envelope)| {
                StreamSpec { name, stream, bound, partitions, part: None, envelope }
            });
            Read { stream, ..Read::default() }
        }
        (None, None, Some(feed)) => Read { feed, ..Read::default() },
        _ => Read::default(),
    }
}

fn not_one(at: Place<'_>, is_any: bool) -> Diagnostic {
    let why = if is_any { "there is more than one" } else { "none of them is here" };
    Diagnostic::new(Code::OneOf, at.key, "a source wants exactly one of `rabbitmq`, `stream`, `feed` or `collection`")
        .why(why)
        .help(
            "`rabbitmq` is a queue, `stream` a stream, for read models, `feed` a list that is asked for over HTTP, \
             `collection` one of your own",
        )
}

/// A stream as it is named on RabbitMQ, what it is bound to, and into how many partitions it is split.
struct Named {
    stream: String,
    bound: Option<(String, Vec<String>)>,
    partitions: Option<u16>,
}

fn stream(raw: &raw::Stream, at: Place<'_>, findings: &mut Vec<Diagnostic>) -> Option<Named> {
    let before = findings.len();
    let longest = raw.partitions.map_or_else(|| raw.name.clone(), |of| format!("{}-{of}", raw.name));
    let name = if raw.name.is_empty() { &raw.name } else { &longest };
    rabbit_name(name, "stream", at.at("name")).noted(findings);
    if let (Some(_), Some(_)) = (&raw.exchange, raw.partitions) {
        findings.push(bound_partitions(at));
    }
    let bindings = at.at("bindings");
    match &raw.exchange {
        Some(exchange) => {
            rabbit_name(exchange, "exchange", at.at("exchange")).noted(findings);
            if raw.bindings.is_empty() && !bindings.is_broken() {
                findings.push(
                    unbound(bindings, "stream").help("add `bindings: [\"foo.#\"]` with the keys you want"),
                );
            }
        }
        None if !raw.bindings.is_empty() => {
            let found =
                Diagnostic::new(Code::NoEffect, bindings.key, "`bindings` have no effect without `exchange`")
                    .why("a stream without `exchange` is the owner's, and is only read")
                    .help("name the exchange that it is to be bound to, or remove the bindings");
            findings.push(found);
        }
        None => {}
    }
    for at in bindings.items() {
        if let Some(binding) = at.text() {
            binding_key(binding, at).noted(findings);
        }
    }
    let bound = raw.exchange.clone().map(|exchange| (exchange, raw.bindings.clone()));
    let (stream, partitions) = (raw.name.clone(), raw.partitions);
    (findings.len() == before).then_some(Named { stream, bound, partitions })
}

fn bound_partitions(at: Place<'_>) -> Diagnostic {
    let what = "`exchange` and `partitions` exclude each other";
    Diagnostic::new(Code::OneOf, at.at("exchange").key, what)
        .why("which partition an event belongs to is the owner's decision, so partitions are declared and bound by the owner")
        .also(at.at("partitions").key, "split here")
        .help("remove `exchange` and `bindings`, and have the owner declare the partitions; or read one stream, without `partitions`")
}

fn unbound(bindings: Place<'_>, what: &str) -> Diagnostic {
    Diagnostic::new(Code::EmptyValue, bindings.mark(), format!("a {what} without bindings gets no events"))
        .why("there is no binding key here")
}

fn queue(raw: &raw::RabbitMq, at: Place<'_>, findings: &mut Vec<Diagnostic>) -> Option<QueueSpec> {
    let before = findings.len();
    rabbit_name(&raw.exchange, "exchange", at.at("exchange")).noted(findings);
    rabbit_name(&raw.queue, "queue", at.at("queue")).noted(findings);
    let split = split::read(raw, at, findings);
    let bindings = at.at("bindings");
    if raw.declare && bindings.items().next().is_none() && !bindings.is_broken() {
        let help = "add `bindings: [\"user.#\"]` with the keys you want; or say `declare: false`";
        findings.push(unbound(bindings, "queue").help(help));
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
        split,
        part: None,
    })
}

pub(super) fn rabbit_name(name: &str, what: &str, at: Place<'_>) -> Result<(), Diagnostic> {
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
        _ if what != "exchange" && name.starts_with("amq.") => {
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
    if raw.collection.is_some() {
        return collection::format(at, findings);
    }
    match (raw.format, &raw.event) {
        (Format::Change, _) => Some(WireFormat::Change),
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

/// Sources that nobody reads; none is blamed while somebody's own source is in doubt.
fn unread(root: Place<'_>) -> Vec<Diagnostic> {
    let declared = root.names("sources");
    let mut read = read_model::sources_of(root);
    for (_, replica) in root.get("replicas").into_iter().flat_map(Place::entries) {
        match replica.get("source").and_then(Place::text) {
            Some(source) if declared.contains(&source) => drop(read.insert(source)),
            _ => return Vec::new(),
        }
    }
    if super::in_doubt(root) || read.iter().any(|source| !declared.contains(source)) {
        return Vec::new();
    }
    let sources = root.get("sources").into_iter().flat_map(Place::entries);
    let unread = sources.filter(|(name, _)| !read.contains(name) && !read.is_empty());
    let diagnostic = |(name, at): (&str, Place<'_>)| {
        let what = if at.has("stream") { "read model" } else { "replica" };
        Diagnostic::new(Code::NoEffect, at.key, format!("no {what} reads the source `{name}`"))
            .why("its events would be taken and thrown away")
            .help(format!("declare a {what} with `source: {name}`, or remove the source"))
    };
    unread.map(diagnostic).collect()
}

fn shared(queue: &str, first: Place<'_>, second: Place<'_>) -> Diagnostic {
    Diagnostic::new(Code::SharedQueue, second.mark(), format!("two sources read the queue `{queue}`"))
        .why("each would take events from the other")
        .also(first.mark(), "first read here")
        .help("let both replicas name the same source, or give this one a queue of its own")
}

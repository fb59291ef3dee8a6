//! Read models: which documents are folded from which events, and how.

mod effect;
mod rule;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::place::Place;
use super::super::{Code, Diagnostic, raw, suggest};
use super::duration::{self, Range};
use super::field::Fields;
use super::source::{Kind, Known, rabbit_name};
use super::{Noted, empty, entry, name, reads, replica};
use crate::event::{EntityType, FieldPath, IdKind, Lookup};
use crate::replication::{Effect, ReadModel, ReadSpec, Template, view};

/// How long ids may be remembered, and how long they are where nothing is said and events come from a queue.
const REMEMBER: Range =
    Range { least: Duration::from_mins(1), most: Duration::from_hours(365 * 24), words: "from 1m to 365d" };
const REMEMBER_OF_QUEUE: Option<Duration> = Some(Duration::from_hours(7 * 24));

/// Reads every read model.
pub(super) fn read_all(
    root: Place<'_>,
    sources: &BTreeMap<&str, Known>,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Arc<ReadModel>> {
    let mut models = Vec::new();
    for (name, at) in root.get("read_models").into_iter().flat_map(Place::entries) {
        name::own_collection(name, "read model", at).noted(findings);
        collides(root, name, at).noted(findings);
        let Some(raw) = entry::<raw::ReadModel>(at, findings) else { continue };
        let kind = source(&raw.source, sources, at.at("source")).noted(findings);
        own_queue(name, &raw.source, sources, at.at("source")).noted(findings);
        models.extend(read(name, &raw, kind, at, findings).map(Arc::new));
    }
    models
}

fn read(
    name: &str,
    raw: &raw::ReadModel,
    kind: Option<Kind>,
    at: Place<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<ReadModel> {
    let before = findings.len();
    let remember = match &raw.remember {
        Some(text) => duration::read(text, at.at("remember"), &REMEMBER).noted(findings),
        None => REMEMBER_OF_QUEUE.filter(|_| kind == Some(Kind::Queue)),
    };
    let mut lookup = if kind == Some(Kind::Collection) { Lookup::of_changes() } else { Lookup::default() };
    let (key_kind, key) = key(raw, at.at("key"), &mut lookup, findings);
    let mut reactions: BTreeMap<String, Vec<Effect>> = BTreeMap::new();
    if at.at("on").entries().next().is_none() && !at.at("on").is_broken() {
        findings.push(empty(
            at.at("on"),
            "a read model is folded from at least one type of event",
            "say what an event does: `FooCreated: { set: { name: data.name } }`",
        ));
    }
    for (kind, at) in at.at("on").entries() {
        let effects = match entry::<raw::OneOrMany<raw::Effect>>(at, findings) {
            None => continue,
            Some(raw::OneOrMany::One(one)) => vec![(*one, at)],
            Some(raw::OneOrMany::Many(many)) => many.into_iter().zip(at.items()).collect(),
        };
        if effects.is_empty() {
            findings.push(empty(at, "this event does nothing", "say what it does, or leave it out"));
        }
        let read = effects.into_iter().filter_map(|(raw, at)| {
            let mut reading = effect::Reading { lookup: &mut lookup, findings };
            reading.effect(&raw, key.as_ref(), at)
        });
        reactions.insert(kind.to_owned(), read.collect());
    }
    let mut reading = effect::Reading { lookup: &mut lookup, findings };
    let always = reading.appended(&raw.append, at.at("append"));
    let stamp = raw.stamp.as_ref().and_then(|text| field(text, at.at("stamp")).noted(findings));
    let (name, source) = (EntityType::new(name), raw.source.clone());
    let effects = reactions.values().flatten().filter_map(|effect| effect.operations.as_ref());
    let declared = || effects.clone().flatten().chain(&always);
    let fields = view(&name, &source, key_kind, declared(), stamp.as_ref(), ReadSpec::default());
    let fields = Fields { kept: fields.selection.fields().cloned().collect(), dropped: Vec::new() };
    let reads = reads::read(&raw.reads, at.at("reads"), Some(&fields), findings)?;
    let view = Arc::new(view(&name, &source, key_kind, declared(), stamp.as_ref(), reads));
    let rules = rule::read_all(at, &mut lookup, findings);
    let (hash, key) = (hash(at), key_kind);
    let model =
        ReadModel { name, source, reactions, always, stamp, remember, rules, hash, key, lookup, view };
    (findings.len() == before).then_some(model)
}

/// The type of the documents' keys, and what they are made of, where that is said for all effects.
fn key(
    raw: &raw::ReadModel,
    at: Place<'_>,
    lookup: &mut Lookup,
    findings: &mut Vec<Diagnostic>,
) -> (IdKind, Option<Template>) {
    let (text, kind, at) = match &raw.key {
        None => return (IdKind::String, None),
        Some(raw::Short::Path(text)) => (text, IdKind::String, at),
        Some(raw::Short::Full(full)) => (&full.from, replica::id_kind(full.kind), at.at("from")),
    };
    (kind, value::expression(text, at, lookup).noted(findings))
}

/// A hash of all that has a say in what becomes of an event; of the rules those whose deadlines stand in the documents.
fn hash(at: Place<'_>) -> String {
    let folding = at.entries().filter(|(name, _)| !["reads", "remember", "rules"].contains(name));
    let folding = folding.map(|(name, part)| (name.to_owned(), part));
    let rules = at.get("rules").into_iter().flat_map(Place::entries);
    let lasting = rules.filter(|(_, rule)| rule.get("for").is_some());
    let lasting = lasting.map(|(name, rule)| (format!("rules.{name}"), rule));
    let parts: BTreeMap<String, serde_json::Value> =
        folding.chain(lasting).map(|(name, part)| (name, part.node.to_json())).collect();
    let text = serde_json::to_string(&parts).unwrap_or_default();
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()))
}

/// What a read model is fed by.
fn source(name: &str, sources: &BTreeMap<&str, Known>, at: Place<'_>) -> Result<Kind, Diagnostic> {
    match sources.get(name).map(|known| known.kind) {
        Some(kind) => Ok(kind),
        None => Err(Diagnostic::new(Code::UnknownName, at.mark(), format!("there is no source `{name}`"))
            .why("not declared under `sources`")
            .help(suggest::advice(name, sources.keys().copied()))),
    }
}

/// If a read model has a queue of its own, it is nobody else's.
fn own_queue(
    of: &str,
    source: &str,
    sources: &BTreeMap<&str, Known>,
    at: Place<'_>,
) -> Result<(), Diagnostic> {
    let Some(spec) = sources.get(source).and_then(|known| known.spec.as_ref()) else { return Ok(()) };
    let queue = spec.for_model(&EntityType::new(of)).queue.queue;
    rabbit_name(&queue, "queue", at)?;
    let reads = |known: &Known| known.spec.as_ref().is_some_and(|spec| spec.queue.queue == queue);
    match sources.iter().find(|(_, known)| reads(known)) {
        None => Ok(()),
        Some((other, _)) => Err(Diagnostic::new(
            Code::SharedQueue,
            at.mark(),
            format!("the queue `{queue}` is read by the source `{other}`, too"),
        )
        .why("a read model has a queue of its own, with its name behind that of the source's queue")
        .help("give the read model, or one of the queues, another name")),
    }
}

/// A read model's collection is its own.
fn collides(root: Place<'_>, name: &str, at: Place<'_>) -> Result<(), Diagnostic> {
    let taken = |what: &str, other: Place<'_>| {
        Err(Diagnostic::new(Code::BadName, at.key, format!("the collection `{name}` is taken"))
            .why(format!("it is {what}"))
            .also(other.key, "declared here")
            .help("give the read model a name of its own"))
    };
    if let Some(replica) = root.get("replicas").and_then(|replicas| replicas.get(name)) {
        return taken("a replica's", replica);
    }
    let mut embeds = root.get("embeds").into_iter().flat_map(Place::entries);
    match embeds.find(|(_, embed)| embed.get("in").and_then(Place::text) == Some(name)) {
        Some((_, embed)) => taken("one of your own, which shows an embed", embed),
        None => Ok(()),
    }
}

/// A path in a read model's documents.
fn field(text: &str, at: Place<'_>) -> Result<FieldPath, Diagnostic> {
    let path = super::path::not_empty(text, at)?;
    let forbidden = match path.names() {
        [head, ..] if head == "_id" => Some("`_id` is the document's key"),
        [head, ..] if head == "_nearcopy" => Some("`_nearcopy` is nearcopy's own"),
        names if names.iter().any(|name| name.starts_with('$')) => Some("a name begins with `$`"),
        names if names.iter().any(|name| name.contains('.')) => Some("a name contains a dot"),
        _ => None,
    };
    match forbidden {
        None => Ok(path),
        Some(why) => Err(Diagnostic::new(Code::BadName, at.mark(), format!("`{text}` cannot be a field"))
            .why(why)
            .help("choose a plain name; a dot leads into an object: `address.city`")),
    }
}

/// Which sources any read model names.
pub(super) fn sources_of(root: Place<'_>) -> BTreeSet<&str> {
    let models = root.get("read_models").into_iter().flat_map(Place::entries);
    models.filter_map(|(_, model)| model.get("source")?.text()).collect()
}

/// The key of an effect that names none.
fn keyless(at: Place<'_>) -> Diagnostic {
    Diagnostic::new(Code::MissingKey, at.key, "nothing says which document this is about")
        .why("neither the effect nor the read model has a `key`")
        .help("give the read model a `key`, such as `key: data.id`; or the effect its own, or `where`")
}

/// What an effect is about.
fn target(key: Option<&Template>, at: Place<'_>) -> Result<Template, Diagnostic> {
    key.cloned().ok_or_else(|| keyless(at))
}

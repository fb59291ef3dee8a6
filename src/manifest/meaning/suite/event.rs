//! What is published: each message from its source, under a key that the source is bound by.

use super::super::super::place::Place;
use super::super::super::suite::Event;
use super::super::super::{Code, Diagnostic, raw, suggest};
use super::{Noted, entry, unfit};
use crate::replication::{Declaration, lets_through};

/// Reads an event.
pub(super) fn read(at: Place<'_>, of: &Declaration, findings: &mut Vec<Diagnostic>) -> Option<Event> {
    let raw: raw::Event = entry(at, findings)?;
    let source = source(raw.source.as_deref(), at, of).noted(findings)?;
    if let Some(key) = &raw.key {
        is_bound(&source, key, at.at("key"), of).noted(findings);
    }
    let is_structured = raw.body.contains_key("specversion");
    let content_type = if is_structured { "application/cloudevents+json" } else { "application/json" };
    let body = serde_json::Value::Object(raw.body).to_string();
    let (content_type, headers, key) = (content_type.to_owned(), raw.headers, raw.key);
    Some(Event { source, body, content_type, headers, key })
}

/// The source that an event comes from: the one that is named, or the only one.
fn source(named: Option<&str>, at: Place<'_>, of: &Declaration) -> Result<String, Diagnostic> {
    let queues = of.sources.iter().map(|source| source.name.as_str());
    let streams = of.streams.iter().map(|stream| stream.name.as_str());
    let mut names = queues.chain(streams).chain(of.feeds.iter().map(|feed| feed.name.as_str()));
    match named {
        Some(named) if names.clone().any(|name| name == named) => Ok(named.to_owned()),
        Some(named) => {
            let message = format!("there is no source `{named}`");
            Err(Diagnostic::new(Code::UnknownName, at.at("source").mark(), message)
                .why("not declared under `sources` of the manifest")
                .help(suggest::advice(named, names)))
        }
        None => match (names.next(), names.clone().next()) {
            (Some(only), None) => Ok(only.to_owned()),
            (first, _) => {
                let all: Vec<String> =
                    first.into_iter().chain(names).map(|name| format!("`{name}`")).collect();
                Err(Diagnostic::new(Code::MissingKey, at.key, "an event needs the key `source`")
                    .why("the manifest has several sources")
                    .help(format!("name one of {}", all.join(", "))))
            }
        },
    }
}

/// Whether a message under this key comes to the source at all, as far as the manifest says so.
fn is_bound(source: &str, key: &str, at: Place<'_>, of: &Declaration) -> Result<(), Diagnostic> {
    let queue = of.sources.iter().find(|known| known.name == source).map(|known| &known.queue);
    let stream = of.streams.iter().find(|known| known.name == source).and_then(|known| known.bound.as_ref());
    let bindings = match (queue, stream) {
        (Some(queue), _) => &queue.bindings,
        (None, Some((_, bindings))) => bindings,
        (None, None) => return Ok(()),
    };
    if bindings.is_empty() || bindings.iter().any(|binding| lets_through(binding, key)) {
        return Ok(());
    }
    let all: Vec<String> = bindings.iter().map(|binding| format!("`{binding}`")).collect();
    Err(unfit(at, format!("no message with the key `{key}` comes to `{source}`"))
        .why("none of its bindings lets it through")
        .help(format!("it is bound by {}", all.join(", "))))
}

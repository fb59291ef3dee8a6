//! What a manifest says: its entries become domain types, and every contradiction is found.
//!
//! Entries are read one by one from what has the right form; one that has not is passed over, its name still
//! known, so that nothing else is blamed for it.

mod collection;
mod contract;
mod duration;
mod embed;
mod feed;
mod fetch;
mod field;
mod keep;
mod listing;
mod name;
mod overlap;
mod path;
mod protect;
mod reaction;
mod read_model;
mod reads;
mod replica;
mod size;
mod source;
mod split;
mod suite;
mod url;
mod version;

use std::sync::Arc;

use prost_reflect::DescriptorPool;
use serde::de::DeserializeOwned;

use super::place::Place;
use super::{Code, Diagnostic};
use crate::replication::{Declaration, SourceSpec, Subscription};
pub(super) use suite::read_suite;

/// Reads the whole; the declaration counts only if nothing was found. `protos` is what its `.proto` files declare.
pub(super) fn read(
    root: Place<'_>,
    protos: Option<&DescriptorPool>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Declaration> {
    let service = root.get("service").and_then(Place::text);
    if let Some(service) = service {
        name::service(service, root.at("service")).noted(findings);
    }
    let sources = source::read_all(root, findings);
    collection::check(root, findings);
    let replicas = replica::read_all(root, &sources, findings);
    let embeds = embed::read_all(root, findings);
    let read_models = read_model::read_all(root, &sources, findings);
    let readable: Vec<Arc<Subscription>> =
        replicas.iter().cloned().chain(read_models.iter().map(|model| model.view.clone())).collect();
    let contract = contract::read(root, protos, &readable, findings);
    if root.names("replicas").is_empty() && root.names("read_models").is_empty() && !in_doubt(root) {
        let at = root.at("replicas").key;
        findings.push(
            Diagnostic::new(Code::NoEffect, at, "the manifest declares neither a replica nor a read model")
                .why("there is nothing to do")
                .help("declare under `replicas` what is kept of another service's entities")
                .help("or under `read_models` what is folded from a stream of events"),
        );
    }
    let streams = sources.values().filter_map(|known| known.stream.clone()).collect();
    let feeds = sources.values().filter_map(|known| known.feed.clone()).collect();
    let (mut sources, mut replicas): (Vec<_>, _) =
        (sources.into_values().filter_map(|known| known.spec).collect(), replicas);
    join(&mut sources, &mut replicas);
    Some(Declaration {
        service: service?.to_owned(),
        sources,
        streams,
        feeds,
        replicas,
        embeds,
        read_models,
        contract,
        generation: 1,
        leftovers: Vec::new(),
    })
}

/// Has every source find what its replicas want of an event while it opens it.
fn join(sources: &mut [Arc<SourceSpec>], replicas: &mut [Arc<Subscription>]) {
    for source in sources.iter_mut().map(Arc::make_mut) {
        for replica in replicas.iter_mut().filter(|replica| replica.source == source.name) {
            source.envelope.join(&mut Arc::make_mut(replica).selection);
        }
    }
}

/// Whether names may be missing only because a section of the manifest is mistyped or malformed.
fn in_doubt(root: Place<'_>) -> bool {
    let known = ["service", "sources", "replicas", "embeds", "read_models", "grpc"];
    root.entries().any(|(key, section)| section.is_broken() || !known.contains(&key))
}

/// Reads an entry as its raw type. One of another form has been reported by the comparison with the schema.
fn entry<T: DeserializeOwned>(place: Place<'_>, findings: &mut Vec<Diagnostic>) -> Option<T> {
    match serde_json::from_value(place.node.to_json()) {
        Ok(raw) => Some(raw),
        Err(_) if !findings.is_empty() => None,
        Err(error) => {
            findings.push(
                Diagnostic::new(Code::WrongType, place.key, "this entry cannot be read")
                    .why(error.to_string()),
            );
            None
        }
    }
}

/// Keeps what could be read, and notes what is wrong with the rest.
trait Noted<T> {
    fn noted(self, findings: &mut Vec<Diagnostic>) -> Option<T>;
}

impl<T> Noted<T> for Result<T, Diagnostic> {
    fn noted(self, findings: &mut Vec<Diagnostic>) -> Option<T> {
        self.map_err(|found| findings.push(found)).ok()
    }
}

/// An empty text, list or mapping where something must be.
fn empty(place: Place<'_>, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::EmptyValue, place.mark(), message).why("this is empty").help(help)
}

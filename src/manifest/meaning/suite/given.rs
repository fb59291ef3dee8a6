//! What is given: the consumer's documents, and what owners answer.

use std::collections::BTreeMap;

use bson::{Bson, Document};

use super::super::super::place::Place;
use super::super::super::suite::Owners;
use super::super::super::{Code, Diagnostic, suggest};
use super::{Noted, collections, replica, unfit};
use crate::event::EntityId;
use crate::replication::{Declaration, FetchSpec, Subscription};

/// Reads the consumer's documents, each with its collection.
pub(super) fn documents(
    given: Place<'_>,
    of: &Declaration,
    findings: &mut Vec<Diagnostic>,
) -> Vec<(String, Document)> {
    let mut documents: Vec<(String, Document)> = Vec::new();
    for (collection, at) in given.get("documents").into_iter().flat_map(Place::entries) {
        consumers(collection, at, of).noted(findings);
        for item in at.items().filter(|item| !item.is_broken()) {
            let Some(document) = document(item).noted(findings) else { continue };
            let id = document.get("_id");
            if documents.iter().any(|(known, other)| known == collection && other.get("_id") == id) {
                let found = unfit(item.at("_id"), "two documents of a collection have the same `_id`");
                findings.push(found.why("again here").help("give each an `_id` of its own"));
            }
            documents.push((collection.to_owned(), document));
        }
    }
    documents
}

/// Whether a collection is the consumer's, and anything is shown there.
fn consumers(name: &str, at: Place<'_>, of: &Declaration) -> Result<(), Diagnostic> {
    if collections(of).contains(name) {
        return Ok(());
    }
    if of.readable().any(|readable| readable.name.as_str() == name) {
        let message = format!("`{name}` is kept by nearcopy, and nobody else writes there");
        return Err(Diagnostic::new(Code::Unfit, at.key, message)
            .why("a replica or a read model of the manifest")
            .help("what it holds comes from `events`, and from what `owners` answer"));
    }
    Err(Diagnostic::new(Code::UnknownName, at.key, format!("nothing is shown in a collection `{name}`"))
        .why("no embed of the manifest is `in` it")
        .help(suggest::advice(name, collections(of))))
}

/// A document as the consumer wrote it, with MongoDB's Extended JSON for what JSON has no values for.
fn document(at: Place<'_>) -> Result<Document, Diagnostic> {
    if at.get("_id").is_none() {
        return Err(Diagnostic::new(Code::MissingKey, at.key, "a document needs the key `_id`")
            .why("`_id` is missing here")
            .help("`_id`: by what it is named under `then`"));
    }
    match Bson::try_from(at.node.to_json()) {
        Ok(Bson::Document(document)) => Ok(document),
        _ => Err(unfit(at, "this is no document")
            .why("a value in it is not written as it must be")
            .help("what JSON has no value for is written as in `{ $date: \"2026-01-01T00:00:00Z\" }`")),
    }
}

/// Reads what owners answer. Each answer must be one that the manifest can read.
pub(super) fn owners(given: Place<'_>, of: &Declaration, findings: &mut Vec<Diagnostic>) -> Owners {
    let mut owners = Owners::new();
    for (name, at) in given.get("owners").into_iter().flat_map(Place::entries) {
        let Some((replica, spec)) = asked(name, at, of).noted(findings) else { continue };
        let mut answers = BTreeMap::new();
        for (id, at) in at.entries().filter(|(_, at)| !at.is_broken()) {
            answers.extend(answer(id, at, replica, spec).noted(findings));
        }
        owners.insert(replica.name.clone(), answers);
    }
    for at in given.get("down").into_iter().flat_map(Place::items) {
        let Some(name) = at.text() else { continue };
        let Some((replica, _)) = asked(name, at, of).noted(findings) else { continue };
        if owners.contains_key(&replica.name) {
            let found = Diagnostic::new(Code::NoEffect, at.mark(), format!("`{name}` is down, and answers"))
                .why("its answers are given under `owners`")
                .help("keep one of the two");
            findings.push(found);
        }
    }
    owners
}

/// The replica of that name, and how its owner is asked.
fn asked<'d>(
    name: &str,
    at: Place<'_>,
    of: &'d Declaration,
) -> Result<(&'d Subscription, &'d FetchSpec), Diagnostic> {
    let replica = replica(name, at, of)?;
    let spec = replica.fetch.as_ref().ok_or_else(|| {
        Diagnostic::new(Code::NoEffect, at.key, format!("nobody asks the owner of `{name}`"))
            .why("the replica has no `fetch`")
            .help("leave it out; what it holds comes from `events`")
    })?;
    Ok((replica, spec))
}

fn answer(
    id: &str,
    at: Place<'_>,
    of: &Subscription,
    spec: &FetchSpec,
) -> Result<(EntityId, String), Diagnostic> {
    let id = EntityId::parse(id, of.selection.id_kind()).map_err(|error| {
        Diagnostic::new(Code::Unfit, at.key, format!("`{}` has no entity of this id", of.name))
            .why(error.detail)
            .help("the id is written as the replica's `id` declares it")
    })?;
    let body = at.node.to_json().to_string();
    match spec.answers.read_one(body.as_bytes(), &id, of, i64::MAX) {
        Ok(_) => Ok((id, body)),
        Err(error) => Err(Diagnostic::new(Code::Unfit, at.key, "the owner's answer cannot be read")
            .why(error.detail)
            .help("it is the whole body of an answer, as `fetch.from` of the manifest reads it")),
    }
}

//! What must be there in the end.

use super::super::super::place::{Place, Value};
use super::super::super::suite::{Emitted, Expected, ExpectedDocument};
use super::super::super::{Code, Diagnostic, raw, suggest};
use super::{Noted, collections, entry};
use crate::event::EntityId;
use crate::replication::{Declaration, Subscription};

/// Reads it.
pub(super) fn read(then: Place<'_>, of: &Declaration, findings: &mut Vec<Diagnostic>) -> Expected {
    let mut documents = Vec::new();
    for (name, at) in then.get("documents").into_iter().flat_map(Place::entries) {
        let Some(readable) = shown(name, at, of).noted(findings) else { continue };
        for (id, at) in at.entries().filter(|(_, at)| !at.is_broken()) {
            if let Some(readable) = readable {
                is_an_id(id, at, readable).noted(findings);
                known_fields(at, readable, of, findings);
            }
            let fields = (!matches!(at.node.value, Value::Null)).then(|| at.node.to_json());
            documents.push(ExpectedDocument { of: name.to_owned(), id: id.to_owned(), fields });
        }
    }
    let parked = then.get("parked").and_then(|at| at.node.to_json().as_u64()).unwrap_or_default();
    let emitted = then.get("emitted").map(|at| emitted(at, of, findings));
    Expected { documents, parked: usize::try_from(parked).unwrap_or(usize::MAX), emitted }
}

/// What is read under a name: a replica or a read model, or one of the consumer's collections.
fn shown<'d>(name: &str, at: Place<'_>, of: &'d Declaration) -> Result<Option<&'d Subscription>, Diagnostic> {
    let readable = of.readable().find(|readable| readable.name.as_str() == name);
    if readable.is_some() || collections(of).contains(name) {
        return Ok(readable.map(|readable| &**readable));
    }
    let names = of.readable().map(|readable| readable.name.as_str()).chain(collections(of));
    let names: Vec<&str> = names.collect();
    Err(Diagnostic::new(Code::UnknownName, at.key, format!("nearcopy knows no `{name}`"))
        .why("neither a replica, nor a read model, nor the collection of an embed")
        .help(suggest::advice(name, names)))
}

fn is_an_id(id: &str, at: Place<'_>, of: &Subscription) -> Result<(), Diagnostic> {
    match EntityId::parse(id, of.selection.id_kind()) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Diagnostic::new(Code::Unfit, at.key, format!("nothing in `{}` has this id", of.name))
                .why(error.detail)
                .help("the id is written as the manifest declares it"))
        }
    }
}

/// A record has declared fields and no others; a document of a read model may have any.
fn known_fields(at: Place<'_>, of: &Subscription, all: &Declaration, findings: &mut Vec<Diagnostic>) {
    if all.replica(of.name.as_str()).is_err() {
        return;
    }
    let names: Vec<&str> = of.selection.fields().map(|field| field.name.as_str()).collect();
    for (name, at) in at.entries().filter(|(name, _)| !names.contains(name)) {
        let message = format!("the replica `{}` has no field `{name}`", of.name);
        findings.push(
            Diagnostic::new(Code::UnknownName, at.key, message)
                .why("not declared under the replica's `fields`")
                .help(suggest::advice(name, names.iter().copied())),
        );
    }
}

fn emitted(at: Place<'_>, of: &Declaration, findings: &mut Vec<Diagnostic>) -> Vec<Emitted> {
    if of.read_models.iter().all(|model| model.rules.is_empty()) {
        findings.push(
            Diagnostic::new(Code::NoEffect, at.key, "nothing is ever emitted here")
                .why("no read model of the manifest has `rules`")
                .help("leave it out"),
        );
    }
    let items = at.items().filter(|item| !item.is_broken());
    let read = items.filter_map(|item| entry::<raw::Emitted>(item, findings));
    read.map(|raw| Emitted { exchange: raw.exchange, key: raw.key, kind: raw.kind, data: raw.data }).collect()
}

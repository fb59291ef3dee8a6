//! Just enough of MongoDB's language to run the product's own statements against one document.

use bson::{Bson, Document};
use nearcopy::replication::EmbedWrite;

/// Runs a statement against a document; what it does not match stays as it is.
pub(crate) fn run(write: &EmbedWrite, matched: &Document, document: &mut Document) {
    if !matches(&write.filter, matched) {
        return;
    }
    for (operator, paths) in &write.update {
        for (path, value) in paths.as_document().unwrap() {
            match operator.as_str() {
                "$set" => set(document, path, value),
                "$unset" => unset(document, path),
                other => panic!("the model does not know `{other}`"),
            }
        }
    }
}

/// Whether a document meets a filter.
pub(crate) fn matches(filter: &Document, document: &Document) -> bool {
    filter.iter().all(|(name, wanted)| match name.as_str() {
        "$or" => any(wanted, |part| matches(part, document)),
        "$and" => !any(wanted, |part| !matches(part, document)),
        path => meets(wanted, lookup(document, path)),
    })
}

fn any(parts: &Bson, mut holds: impl FnMut(&Document) -> bool) -> bool {
    parts.as_array().unwrap().iter().any(|part| holds(part.as_document().unwrap()))
}

fn meets(wanted: &Bson, found: Option<&Bson>) -> bool {
    let Some(conditions) = wanted.as_document().filter(|document| is_condition(document)) else {
        return equals(wanted, found);
    };
    conditions.iter().all(|(operator, operand)| match operator.as_str() {
        "$eq" => equals(operand, found),
        "$ne" => !equals(operand, found),
        "$exists" => operand.as_bool() == Some(found.is_some()),
        "$not" => !meets(operand, found),
        "$in" => operand.as_array().unwrap().iter().any(|one| equals(one, found)),
        "$gte" => {
            matches!((found, operand), (Some(Bson::Int64(found)), Bson::Int64(least)) if found >= least)
        }
        "$type" => operand.as_str() == Some("array") && matches!(found, Some(Bson::Array(_))),
        other => panic!("the model does not know `{other}`"),
    })
}

fn is_condition(document: &Document) -> bool {
    document.keys().next().is_some_and(|name| name.starts_with('$'))
}

/// To MongoDB, what is missing equals null.
fn equals(wanted: &Bson, found: Option<&Bson>) -> bool {
    found.unwrap_or(&Bson::Null) == wanted
}

fn lookup<'d>(document: &'d Document, path: &str) -> Option<&'d Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((head, tail)) => lookup(document.get(head)?.as_document()?, tail),
    }
}

fn set(document: &mut Document, path: &str, value: &Bson) {
    match path.split_once('.') {
        None => {
            document.insert(path, value.clone());
        }
        Some((head, tail)) => {
            let inner = document.entry(head.to_owned()).or_insert_with(|| Document::new().into());
            set(inner.as_document_mut().unwrap(), tail, value);
        }
    }
}

fn unset(document: &mut Document, path: &str) {
    match path.split_once('.') {
        None => {
            document.remove(path);
        }
        Some((head, tail)) => {
            if let Some(Bson::Document(inner)) = document.get_mut(head) {
                unset(inner, tail);
            }
        }
    }
}

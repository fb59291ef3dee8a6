//! How a revision of a record is said to MongoDB: a compare-and-set on the revision that was read.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};

use super::record_statement::{choose, left, literal, next_rev, replace, stamped};
use crate::event::Version;
use crate::replication::{RecordWrite, Revision, State, Subscription};

/// The statement for a [`RecordWrite::Revise`], as it stands in an `update` command.
pub fn statement(of: &Subscription, write: &RecordWrite, batch: i64) -> Document {
    let RecordWrite::Revise { id, rev, revision, stamp, ask, owes } = write else { return Document::new() };
    let id = id.to_bson();
    let mut meta = described(revision);
    meta.extend(doc! {
        "rev": next_rev(),
        "need": need(revision),
        "origin": stamp.origin(),
        "batch": batch,
    });
    meta.extend(left(of, *ask));
    meta.extend(stamped(stamp, *owes));
    let mut shown = doc! { "_id": &id };
    shown.extend(revision.fields.clone());
    let next = doc! { "$mergeObjects": [literal(shown), { "_nearcopy": meta }] };
    match rev {
        Some(rev) => doc! { "q": { "_id": id, "_nearcopy.rev": rev }, "u": replace(next) },
        None => {
            let absent = doc! { "$eq": [{ "$type": "$_nearcopy" }, "missing"] };
            doc! { "q": { "_id": id }, "u": replace(choose(absent, next, "$$ROOT")), "upsert": true }
        }
    }
}

/// Versions of fields, as they are stored.
pub fn versions(patched: &BTreeMap<String, Version>) -> Document {
    let stored: Document =
        patched.iter().map(|(name, version)| (name.clone(), version.get().into())).collect();
    literal(stored)
}

/// State, reason, key, and versions of fields.
fn described(revision: &Revision) -> Document {
    let mut meta = doc! { "state": revision.state.as_str() };
    if let State::Gone(why) = revision.state {
        meta.insert("why", why.as_str());
    }
    if let Some(key) = &revision.key {
        meta.insert("key", literal(key.to_document()));
    }
    meta.insert("s", revision.shape);
    if revision.lacks {
        meta.insert("lacks", true);
    }
    if !revision.patched.is_empty() {
        meta.insert("fv", versions(&revision.patched));
    }
    meta
}

/// The higher of what is needed here and what the record needs by now, unless a full state meets it: a need moves no
/// revision, so there may be a new one.
fn need(revision: &Revision) -> Document {
    let here = revision.need.map_or(Bson::Null, |need| need.get().into());
    let highest = doc! { "$max": ["$_nearcopy.need", here] };
    let met = revision.key.as_ref().map_or(Bson::Null, |key| key.version.get().into());
    choose(doc! { "$gt": [&highest, met] }, highest, "$$REMOVE")
}

//! What the types of events mean to a replica, and what each meaning needs beside it.

use std::collections::BTreeMap;

use super::super::place::Place;
use super::super::raw;
use super::super::{Code, Diagnostic};
use super::empty;
use crate::replication::Reaction;

/// Reads what is under `on`.
pub(super) fn read_all(
    raw: &raw::Replica,
    replica: Place<'_>,
    findings: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Reaction> {
    let at = replica.at("on");
    if at.entries().next().is_none() {
        let help = "say what each type of event means: `user.updated: upsert`";
        findings.push(empty(at, "no event means anything to this replica", help));
    }
    for (kind, at) in at.entries() {
        match raw.on.get(kind) {
            Some(raw::Reaction::Refresh) if !replica.has("fetch") => findings.push(
                Diagnostic::new(Code::NeedsFetch, at.mark(), "`refresh` needs `fetch`")
                    .why("the owner cannot be asked what changed")
                    .help("add `fetch` to this replica, or use `upsert` if the event carries the full state"),
            ),
            Some(raw::Reaction::Patch) => findings.extend(patch(raw, replica, at)),
            _ => {}
        }
    }
    raw.on.iter().map(|(kind, meaning)| (kind.clone(), reaction(*meaning))).collect()
}

/// What a patch lacks beside it. It may be the first that is heard of an entity, of which it says only a part; the
/// rest comes from the owner, whose answer must be comparable with what patches say.
fn patch(raw: &raw::Replica, replica: Place<'_>, at: Place<'_>) -> Option<Diagnostic> {
    if !replica.has("version") {
        let found = Diagnostic::new(Code::UnversionedPatch, at.mark(), "`patch` needs `version`");
        return Some(
            found
                .why("nothing tells an older patch from a newer one")
                .help("say where the version is: `version: data.version`, or use `refresh` with `fetch`"),
        );
    }
    if !replica.has("fetch") && !matches!(raw.keep, raw::Keep::All) {
        let found = Diagnostic::new(Code::NeedsFetch, at.mark(), "`patch` needs `fetch`");
        return Some(
            found
                .why("the owner cannot be asked for the rest of an entity")
                .help("add `fetch` to this replica, or use `upsert` if the event carries the full state"),
        );
    }
    if replica.has("fetch") && !replica.at("fetch").at("from").has("version") {
        let found = Diagnostic::new(Code::UnversionedPatch, at.mark(), "patches need versioned answers");
        return Some(
            found
                .why("an answer without a version is neither older nor newer than this")
                .help("say where the version is in an answer: `fetch: { from: { version: version } }`"),
        );
    }
    None
}

fn reaction(raw: raw::Reaction) -> Reaction {
    match raw {
        raw::Reaction::Upsert => Reaction::Upsert,
        raw::Reaction::Patch => Reaction::Patch,
        raw::Reaction::Delete => Reaction::Delete,
        raw::Reaction::Refresh => Reaction::Refresh,
    }
}

//! Collections of the service's own as sources.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::place::Place;
use super::super::raw;
use super::super::{Code, Diagnostic};
use super::{Noted, name};
use crate::event::{Envelope, WireFormat};
use crate::replication::{CollectionSpec, FeedSpec, Teller};

/// Reads which collection is followed.
pub(super) fn read(
    name: &str,
    raw: &raw::Collection,
    envelope: Option<Envelope>,
    at: Place<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<FeedSpec> {
    name::followed(&raw.name, at.at("name")).noted(findings)?;
    Some(FeedSpec {
        name: name.to_owned(),
        teller: Teller::Collection(CollectionSpec { name: raw.name.clone() }),
        // To be asked is to wait for something.
        every: Duration::ZERO,
        envelope: envelope?,
    })
}

/// Its changes are written in one way.
pub(super) fn format(at: Place<'_>, findings: &mut Vec<Diagnostic>) -> Option<WireFormat> {
    let before = findings.len();
    for key in ["format", "event"].into_iter().filter(|key| at.has(key)) {
        let message = format!("`{key}` has no effect with `collection`");
        findings.push(
            Diagnostic::new(Code::NoEffect, at.at(key).key, message)
                .why("changes of a collection are told in one way")
                .help("remove it: they have `id`, `type`, `time`, `key`, `version`, `data` and `before`"),
        );
    }
    (findings.len() == before).then_some(WireFormat::Change)
}

/// Finds collections that are not the service's own, and those that would be changed by what follows from their changes.
pub(super) fn check(root: Place<'_>, findings: &mut Vec<Diagnostic>) {
    for (source, at) in root.get("sources").into_iter().flat_map(Place::entries) {
        let Some((name, at)) = followed(at).and_then(|at| Some((at.text()?, at))) else { continue };
        findings.extend(not_own(root, name, at).or_else(|| circle(root, source, name, at)));
    }
}

fn not_own(root: Place<'_>, name: &str, at: Place<'_>) -> Option<Diagnostic> {
    let whose = [".live", ".next", ".before"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let kinds = [("replicas", "replica"), ("read_models", "read model")];
    let (kind, own) = kinds.iter().find_map(|(key, kind)| Some((*kind, root.get(key)?.get(whose)?)))?;
    let found = Diagnostic::new(Code::Forbidden, at.mark(), format!("`{name}` is no collection of your own"))
        .why(format!("it is kept here, for the {kind} `{whose}`"))
        .also(own.key, "declared here")
        .help("read the source of that instead, or name a collection that your service writes itself");
    Some(found)
}

/// A change of the collection changes records, these change what embeds show, and that is a change of a collection.
fn circle(root: Place<'_>, source: &str, name: &str, at: Place<'_>) -> Option<Diagnostic> {
    let (mut seen, mut sources) = (BTreeSet::from([source]), vec![source]);
    while let Some(source) = sources.pop() {
        for (replica, _) in those(root, "replicas", "source", source) {
            for (embed, of) in those(root, "embeds", "from", replica) {
                let Some(into) = of.get("in").and_then(Place::text) else { continue };
                if into == name {
                    let found = Diagnostic::new(
                        Code::Circle,
                        at.mark(),
                        format!("changes of `{name}` would never end"),
                    );
                    let why = format!(
                        "they change the replica `{replica}`, and what the embed `{embed}` shows of it changes `{name}`"
                    );
                    let help = "have the embed show it in another collection, or feed the replica by events";
                    return Some(found.why(why).also(of.key, "shown here").help(help));
                }
                let others = root.get("sources").into_iter().flat_map(Place::entries);
                let follow = others.filter(|(_, other)| followed(*other).and_then(Place::text) == Some(into));
                sources.extend(follow.map(|(other, _)| other).filter(|other| seen.insert(other)));
            }
        }
    }
    None
}

/// Where a source names the collection that it follows.
fn followed(source: Place<'_>) -> Option<Place<'_>> {
    source.get("collection")?.get("name")
}

/// The entries of a section that have this text under that key.
fn those<'t>(
    root: Place<'t>,
    section: &str,
    key: &str,
    text: &str,
) -> impl Iterator<Item = (&'t str, Place<'t>)> {
    let entries = root.get(section).into_iter().flat_map(Place::entries);
    entries.filter(move |(_, of)| of.get(key).and_then(Place::text) == Some(text))
}

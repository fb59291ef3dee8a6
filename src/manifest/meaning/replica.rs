//! Replicas: which entities, which of their fields, from where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::place::Place;
use super::super::raw::{self, Format, Short};
use super::super::{Code, Diagnostic, suggest};
use super::source::{Kind, Known};
use super::{Noted, empty, entry, fetch, field, keep, name, path, protect, reaction, reads, version};
use crate::event::{EntityType, FieldPath, IdKind, Selection, VersionRule};
use crate::replication::{Gaps, Lineage, Subscription};

/// The generation of a declaration that has never changed.
const FIRST_SHAPE: i32 = 1;

/// Reads every replica.
pub(super) fn read_all(
    root: Place<'_>,
    sources: &BTreeMap<&str, Known>,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Arc<Subscription>> {
    let embedded = Embedded::of(root);
    let replicas = root.get("replicas").into_iter().flat_map(Place::entries);
    replicas
        .filter_map(|(name, at)| {
            name::own_collection(name, "replica", at).noted(findings);
            let raw = entry::<raw::Replica>(at, findings);
            let mut reading = Reading { root, name, at, embedded: &embedded, sources, findings };
            raw.and_then(|raw| reading.read(&raw)).map(Arc::new)
        })
        .collect()
}

/// Which replicas the embeds show.
struct Embedded<'t> {
    names: BTreeSet<&'t str>,
    /// Whether there may be more, since an embed names none that exists.
    in_doubt: bool,
}

impl<'t> Embedded<'t> {
    fn of(root: Place<'t>) -> Self {
        let declared = root.names("replicas");
        let embeds = root.get("embeds").into_iter().flat_map(Place::entries);
        let shown: Vec<_> = embeds.map(|(_, embed)| embed.get("from").and_then(Place::text)).collect();
        let lost = |name: Option<&str>| name.is_none_or(|name| !declared.contains(&name));
        Self {
            in_doubt: super::in_doubt(root) || shown.iter().copied().any(lost),
            names: shown.into_iter().flatten().collect(),
        }
    }
}

struct Reading<'t, 'f> {
    root: Place<'t>,
    name: &'t str,
    at: Place<'t>,
    embedded: &'f Embedded<'t>,
    sources: &'f BTreeMap<&'f str, Known>,
    findings: &'f mut Vec<Diagnostic>,
}

impl Reading<'_, '_> {
    fn read(&mut self, raw: &raw::Replica) -> Option<Subscription> {
        let at = self.at;
        if raw.owner.is_empty() {
            self.findings.push(empty(
                at.at("owner"),
                "the owner has no name",
                "name the service that owns the entities",
            ));
        }
        let format = self.source(raw);
        let embedded = self.embedded.names.contains(self.name);
        let referred = embedded || self.embedded.in_doubt;
        let keep = keep::read(&raw.keep, at.at("keep"), referred).noted(self.findings);
        let id = id(&raw.id, at.at("id"), format).noted(self.findings);
        let version = self.version(raw, format);
        let fields = field::read_all(raw, at, format, self.findings);
        let reactions = reaction::read_all(raw, at, self.findings);
        if let Some(fields) = &fields {
            let id = id.as_ref().map(|(path, _)| path);
            protect::check(fields, id, version.as_ref(), keep.as_ref(), at, self.findings);
        }
        let gaps = self.gaps(raw, version.as_ref(), format);
        let told = || {
            let ((_, id_kind), fields) = (id.as_ref()?, fields.clone()?.kept);
            Some(fetch::Told { id_kind: *id_kind, version: version.clone()?, fields })
        };
        let fetch = match &raw.fetch {
            None => None,
            Some(fetch) => {
                Some(fetch::read(fetch, at.at("fetch"), told(), &raw.reads.unique, self.findings)?)
            }
        };
        let reads = reads::read(&raw.reads, at.at("reads"), fields.as_ref(), self.findings);
        let ((id, id_kind), field::Fields { kept, dropped }) = (id?, fields?);
        Some(Subscription {
            name: EntityType::new(self.name),
            owner: raw.owner.clone(),
            source: raw.source.clone(),
            keep: keep?,
            selection: Selection::new(&id, id_kind, version?, kept),
            reactions,
            fetch,
            embedded,
            shape: FIRST_SHAPE,
            gaps,
            lineage: Lineage::default(),
            reads: reads?,
            dropped,
        })
    }

    /// Looks up the source, and says how its events are written, if that is known.
    fn source(&mut self, raw: &raw::Replica) -> Option<Format> {
        if let Some(known) = self.sources.get(raw.source.as_str()) {
            if known.kind == Kind::Stream {
                let at = self.at.at("source").mark();
                let found = Diagnostic::new(
                    Code::UnknownName,
                    at,
                    format!("the source `{}` is a stream", raw.source),
                )
                .why("replicas are fed by a queue, which every pod of the service reads")
                .help("name a source with `rabbitmq`; a queue can be bound to the same exchange");
                self.findings.push(found);
            }
            return known.format;
        }
        if self.sources.is_empty() && super::in_doubt(self.root) {
            return None;
        }
        let at = self.at.at("source").mark();
        let found = Diagnostic::new(Code::UnknownName, at, format!("there is no source `{}`", raw.source))
            .why("not declared under `sources`")
            .help(suggest::advice(&raw.source, self.sources.keys().copied()));
        self.findings.push(found);
        None
    }

    fn gaps(&mut self, raw: &raw::Replica, version: Option<&VersionRule>, format: Option<Format>) -> Gaps {
        if raw.gaps == raw::Gaps::Ignore {
            return Gaps::Ignore;
        }
        let at = self.at.at("gaps").mark();
        if !self.at.has("fetch") {
            self.findings.push(
                Diagnostic::new(Code::NeedsFetch, at, "`gaps: ask` needs `fetch`")
                    .why("the owner cannot be asked for what is missing")
                    .help("add `fetch` to this replica, or leave `gaps` out"),
            );
        }
        if matches!(version, Some(VersionRule::Time { .. } | VersionRule::None)) {
            self.findings.push(
                Diagnostic::new(Code::NoEffect, at, "`gaps: ask` has no effect here")
                    .why("only in a sequence can a version be missing")
                    .help("say where the sequence is: `version: data.version`, or leave `gaps` out"),
            );
        }
        if format == Some(Format::Change) {
            self.findings.push(
                Diagnostic::new(Code::NoEffect, at, "`gaps: ask` has no effect here")
                    .why("versions of a collection's changes are times, and none is ever left out")
                    .help("leave `gaps` out"),
            );
        }
        Gaps::Ask
    }

    fn version(&mut self, raw: &raw::Replica, format: Option<Format>) -> Option<VersionRule> {
        if let Some(raw) = &raw.version {
            let at = self.at.at("version");
            if at.text() == Some("arrival") {
                self.findings.push(arrival(at));
                return None;
            }
            let read = |text: &str, at: Place<'_>| path::in_event(text, at, format);
            return version::read(raw, at, read, self.findings);
        }
        if !self.at.has("version") && !self.at.has("fetch") {
            let found = Diagnostic::new(
                Code::NeedsFetch,
                self.at.key,
                "a replica without `version` needs `fetch`",
            )
            .why("nothing tells older events from newer ones")
            .help("say where the version is: `version: data.version`, or `version: { time: data.updatedAt }`")
            .help("or add `fetch`: every event is then taken as a refresh, and the owner is asked");
            self.findings.push(found);
        }
        Some(VersionRule::None)
    }
}

/// Why the order of arrival is no version.
fn arrival(at: Place<'_>) -> Diagnostic {
    Diagnostic::new(Code::Reserved, at.mark(), "`version: arrival` is reserved")
        .why("events are delivered again, and by several pods: what arrives last need not be the newest")
        .help("leave `version` out and declare `fetch`: every event is then taken as a refresh")
        .help("or let the owner publish a sequence, or the time of its change: `version: { time: data.updatedAt }`")
}

fn id(
    raw: &Short<raw::Id>,
    at: Place<'_>,
    format: Option<Format>,
) -> Result<(FieldPath, IdKind), Diagnostic> {
    match raw {
        Short::Path(text) => Ok((path::in_event(text, at, format)?, IdKind::String)),
        Short::Full(raw) => Ok((path::in_event(&raw.from, at.at("from"), format)?, id_kind(raw.kind))),
    }
}

/// The type that ids are stored as.
pub(super) fn id_kind(raw: raw::IdType) -> IdKind {
    match raw {
        raw::IdType::String => IdKind::String,
        raw::IdType::Int => IdKind::Int,
        raw::IdType::ObjectId => IdKind::ObjectId,
        raw::IdType::Uuid => IdKind::Uuid,
    }
}

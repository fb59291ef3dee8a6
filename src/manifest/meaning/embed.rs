//! Embeds: which documents show which fields, and where.

use std::sync::Arc;

use super::super::place::Place;
use super::super::raw;
use super::super::{Code, Diagnostic, suggest};
use super::{Noted, empty, entry, name, overlap};
use crate::event::EntityType;
use crate::replication::{Embed, RefPath, Shows, WhenDeleted};

/// Reads every embed, and compares those of one collection with each other.
pub(super) fn read_all(root: Place<'_>, findings: &mut Vec<Diagnostic>) -> Vec<Arc<Embed>> {
    let mut read = Vec::new();
    for (name, at) in root.get("embeds").into_iter().flat_map(Place::entries) {
        name::embed(name, at).noted(findings);
        let Some(raw) = entry::<raw::Embed>(at, findings) else { continue };
        let embed = Reading { root, at, raw: &raw, findings }.read(name);
        read.extend(embed.map(|embed| (Arc::new(embed), at)));
    }
    overlap::check(&read, findings);
    read.into_iter().map(|(embed, _)| embed).collect()
}

struct Reading<'t, 'f> {
    root: Place<'t>,
    at: Place<'t>,
    raw: &'f raw::Embed,
    findings: &'f mut Vec<Diagnostic>,
}

impl<'t> Reading<'t, '_> {
    fn read(&mut self, name: &str) -> Option<Embed> {
        self.collection();
        let declared = self.replica();
        let reference = self.reference();
        let shows = self.shows(declared.as_deref());
        self.when_deleted(reference.as_ref(), shows.as_ref());
        Some(Embed {
            name: name.to_owned(),
            collection: self.raw.collection.clone(),
            reference: reference?,
            from: EntityType::new(&self.raw.from),
            shows: shows?,
            when_deleted: when_deleted(self.raw.when_deleted),
            shape: 1,
            former: None,
        })
    }

    fn collection(&mut self) {
        let (collection, at) = (&self.raw.collection, self.at.at("in"));
        name::collection(collection, at).noted(self.findings);
        let replica = collection.strip_suffix(".live").unwrap_or(collection);
        if self.root.names("replicas").contains(&replica) {
            self.findings.push(
                Diagnostic::new(Code::Forbidden, at.mark(), "an embed cannot change a replica's records")
                    .why(format!("`{collection}` is the collection of the replica `{replica}`"))
                    .help("`in` names a collection of your own; a replica shows only its owner's fields"),
            );
        }
    }

    /// Looks up the replica; the names of its fields, if they can be seen, however wrong the rest of it is.
    fn replica(&mut self) -> Option<Vec<&'t str>> {
        let from = self.raw.from.as_str();
        if let Some(replica) = self.root.at("replicas").get(from) {
            return Some(replica.names("fields")).filter(|names| !names.is_empty());
        }
        let declared = self.root.names("replicas");
        if !declared.is_empty() || !super::in_doubt(self.root) {
            let at = self.at.at("from").mark();
            let found = Diagnostic::new(Code::UnknownName, at, format!("there is no replica `{from}`"))
                .why("not declared under `replicas`")
                .help(suggest::advice(from, declared));
            self.findings.push(found);
        }
        None
    }

    fn reference(&mut self) -> Option<RefPath> {
        let at = self.at.at("ref");
        let path = RefPath::parse(&self.raw.reference).map_err(|why| {
            Diagnostic::new(Code::BadTarget, at.mark(), "this is no path of a reference")
                .why(why)
                .help("write `userId`, `owner.id`, or `contributors[].userId` for objects in an array")
        });
        let path = path.noted(self.findings)?;
        if first_name(&path.dotted()) == "_nearcopy" {
            self.findings.push(own_place(at, "_nearcopy"));
        }
        Some(path)
    }

    fn shows(&mut self, declared: Option<&[&str]>) -> Option<Shows> {
        match (&self.raw.into, &self.raw.set) {
            (Some(path), None) => self.into(path, declared),
            (None, Some(_)) => self.set(declared),
            _ if ["into", "set"].iter().any(|key| self.at.get(key).is_some_and(Place::is_broken)) => None,
            (into, _) => {
                let why = if into.is_none() { "neither is here" } else { "both are here" };
                let found = Diagnostic::new(
                    Code::OneOf,
                    self.at.key,
                    "an embed wants either `into` or `set`",
                )
                .why(why)
                .help("`into: user` makes one object; `set: { client_name: username }` makes single values");
                self.findings.push(found);
                None
            }
        }
    }

    fn into(&mut self, path: &str, declared: Option<&[&str]>) -> Option<Shows> {
        let before = self.findings.len();
        self.target(path, self.at.at("into"), self.at.at("into").mark());
        let at = self.at.at("fields");
        let fields = match &self.raw.fields {
            None => declared?.iter().map(|name| (*name).to_owned()).collect(),
            Some(_) if at.items().next().is_none() => {
                let help = "name some, or leave `fields` out to show all of them";
                self.findings.push(empty(at, "the object would have no fields", help));
                return None;
            }
            Some(fields) => {
                self.each_once(at);
                for at in at.items().filter(|at| at.text().is_some()) {
                    self.known(at.text().unwrap_or_default(), declared, at);
                }
                fields.clone()
            }
        };
        (self.findings.len() == before).then(|| Shows::Into { path: path.to_owned(), fields })
    }

    fn each_once(&mut self, fields: Place<'_>) {
        let mut seen: Vec<(&str, Place<'_>)> = Vec::new();
        for (name, at) in fields.items().filter_map(|at| Some((at.text()?, at))) {
            if let Some((_, first)) = seen.iter().find(|(other, _)| *other == name) {
                let found = Diagnostic::new(Code::DuplicateKey, at.mark(), format!("`{name}` stands twice"))
                    .why("again here")
                    .also(first.mark(), "first here")
                    .help("keep one of the two");
                self.findings.push(found);
            }
            seen.push((name, at));
        }
    }

    fn set(&mut self, declared: Option<&[&str]>) -> Option<Shows> {
        let before = self.findings.len();
        let at = self.at.at("set");
        if self.raw.fields.is_some() {
            self.findings.push(
                Diagnostic::new(
                    Code::NoEffect,
                    self.at.at("fields").key,
                    "`fields` has no effect with `set`",
                )
                .why("`set` itself names every field that is shown")
                .help("remove `fields`, or use `into`"),
            );
        }
        let mut pairs = Vec::new();
        for (target, at) in at.entries() {
            self.target(target, at, at.key);
            let Some(field) = at.text() else { continue };
            self.known(field, declared, at);
            pairs.push((target.to_owned(), field.to_owned()));
        }
        if pairs.is_empty() {
            let help = "name what is shown, and as what: `client_name: username`";
            self.findings.push(empty(at, "nothing would be shown", help));
        }
        (self.findings.len() == before).then_some(Shows::Set(pairs))
    }

    /// Checks a place in the document that the embed is to own.
    fn target(&mut self, path: &str, at: Place<'_>, mark: super::super::place::Span) {
        let why = match path {
            "" => {
                let help = "name a place in the document, such as `user`";
                self.findings.push(empty(Place { key: mark, ..at }, "this path leads nowhere", help));
                return;
            }
            _ if path.contains(['[', ']']) => {
                Some("it stands beside the reference already, in the same element")
            }
            _ if path.split('.').any(str::is_empty) => Some("a name in it is empty"),
            _ if path.split('.').any(|name| name.starts_with('$')) => Some("a name in it begins with `$`"),
            _ if path.contains('\0') => Some("it contains NUL"),
            _ => None,
        };
        if let Some(why) = why {
            self.findings.push(
                Diagnostic::new(Code::BadTarget, mark, format!("`{path}` is no place in a document"))
                    .why(why)
                    .help("write dotted names, such as `user`; only `ref` has `[]` after arrays"),
            );
        } else if let first @ ("_id" | "_nearcopy") = first_name(path) {
            self.findings.push(own_place(Place { key: mark, ..at }, first));
        }
    }

    fn known(&mut self, field: &str, declared: Option<&[&str]>, at: Place<'_>) {
        let Some(declared) = declared.filter(|declared| !declared.contains(&field)) else {
            return;
        };
        let message = format!("the replica `{}` has no field `{field}`", self.raw.from);
        self.findings.push(
            Diagnostic::new(Code::UnknownName, at.mark(), message)
                .why("not declared under the replica's `fields`")
                .help(suggest::advice(field, declared.iter().copied())),
        );
    }

    fn when_deleted(&mut self, reference: Option<&RefPath>, shows: Option<&Shows>) {
        let at = self.at.at("when_deleted");
        let found = match (self.raw.when_deleted, reference, shows) {
            (raw::WhenDeleted::Delete, Some(reference), _) if !reference.arrays().is_empty() => {
                Diagnostic::new(
                    Code::DeleteInArray,
                    at.mark(),
                    "a whole document cannot go because of one element of an array",
                )
                .why("the reference stands in an array, and the document may refer to others")
                .also(self.at.at("ref").mark(), "an array")
                .help("use `clear` or `mark`, or a reference that stands outside arrays")
            }
            (raw::WhenDeleted::Mark, _, Some(Shows::Into { fields, .. }))
                if fields.iter().any(|name| name == "deleted") =>
            {
                Diagnostic::new(Code::Overlap, at.mark(), "the mark would overwrite a field")
                    .why("a deletion is marked as `deleted` in the object, which has a field of that name")
                    .help("give the replica's field another name, or use `keep` or `clear`")
            }
            _ => return,
        };
        self.findings.push(found);
    }
}

fn first_name(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

fn own_place(at: Place<'_>, whose: &str) -> Diagnostic {
    let why = if whose == "_id" { "`_id` never changes" } else { "`_nearcopy` holds nearcopy's own stamps" };
    Diagnostic::new(Code::Forbidden, at.mark(), format!("nothing can be put at `{whose}`"))
        .why(why)
        .help("choose another name in the document")
}

fn when_deleted(raw: raw::WhenDeleted) -> WhenDeleted {
    match raw {
        raw::WhenDeleted::Keep => WhenDeleted::Keep,
        raw::WhenDeleted::Clear => WhenDeleted::Clear,
        raw::WhenDeleted::Mark => WhenDeleted::Mark,
        raw::WhenDeleted::Delete => WhenDeleted::Delete,
    }
}

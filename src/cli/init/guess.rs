//! What a replica would be, guessed from the events about its entities.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::leaf::{at, leaves, written};
use super::sample::{Envelope, Sample, is_time};
use super::word::{entity, folded, is_gone, is_personal, is_secret, plural, words};

/// Names of versions.
const VERSIONS: [&str; 14] = [
    "version",
    "revision",
    "rev",
    "seq",
    "sequence",
    "sequencenumber",
    "v",
    "ver",
    "lockversion",
    "rowversion",
    "aggregateversion",
    "entityversion",
    "optlock",
    "generation",
];
/// Names of times of changes.
const CHANGED: [&str; 10] = [
    "updatedat",
    "modifiedat",
    "changedat",
    "lastmodified",
    "lastmodifiedat",
    "lastupdated",
    "lastupdatedat",
    "updated",
    "modified",
    "updatedon",
];

/// A replica as it would be declared.
pub(super) struct Replica {
    /// The entity's name, where types say it.
    pub(super) entity: Option<String>,
    /// Its collection's.
    pub(super) name: String,
    /// From how many events it was guessed.
    pub(super) events: usize,
    pub(super) id: Id,
    pub(super) version: Option<Version>,
    pub(super) fields: Vec<Field>,
    /// The types, in the order in which they came.
    pub(super) on: Vec<(String, Reaction)>,
}

pub(super) struct Id {
    pub(super) path: String,
    /// The last name of the path.
    pub(super) name: String,
    pub(super) is_int: bool,
    /// What else may be it.
    pub(super) others: Vec<String>,
    /// Whether anything looks like an id at all.
    pub(super) is_found: bool,
}

pub(super) struct Version {
    pub(super) path: String,
    pub(super) name: String,
    pub(super) is_time: bool,
    /// Whether it was seen to rise, or only looks like it.
    pub(super) rises: bool,
    pub(super) others: Vec<String>,
}

pub(super) struct Field {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) kind: Kind,
}

/// What is to be done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Personal,
    Secret,
    /// A list, or an object that lies deep.
    Large,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Upsert,
    /// It lacks what others of the same entity have.
    Patch,
    Delete,
}

/// The samples by what they are about, in the order in which they came.
pub(super) fn replicas(envelope: &Envelope, samples: &[Sample], unnamed: &str) -> Vec<Replica> {
    let mut groups: Vec<(Option<String>, Vec<&Sample>)> = Vec::new();
    for sample in samples {
        let about = envelope.kind(sample).as_deref().and_then(entity);
        match groups.iter_mut().find(|(known, _)| *known == about) {
            Some((_, group)) => group.push(sample),
            None => groups.push((about, vec![sample])),
        }
    }
    let replica = |(entity, samples): (Option<String>, Vec<&Sample>)| {
        let name = entity.as_deref().map_or_else(|| unnamed.to_owned(), plural);
        Group { envelope, samples: &samples, entity: entity.as_deref() }.replica(name)
    };
    groups.into_iter().map(replica).collect()
}

struct Group<'g> {
    envelope: &'g Envelope,
    samples: &'g [&'g Sample],
    entity: Option<&'g str>,
}

impl Group<'_> {
    fn replica(&self, name: String) -> Replica {
        let (id, id_path) = self.id();
        let version = self.version(id_path.as_deref());
        let fields = self.fields(&id, version.as_ref());
        let on = self.reactions(version.as_ref(), &id.path);
        let entity = self.entity.map(str::to_owned);
        Replica { entity, name, events: self.samples.len(), id, version, fields, on }
    }

    fn data(&self) -> impl Iterator<Item = &Value> {
        self.samples.iter().filter_map(|sample| self.envelope.data(sample)).filter(|data| data.is_object())
    }

    /// Every path of plain values, with those values, by how deep they lie.
    fn paths(&self) -> Vec<(Vec<String>, Vec<&Value>)> {
        let mut found: BTreeMap<Vec<String>, Vec<&Value>> = BTreeMap::new();
        for data in self.data() {
            for (path, value) in leaves(data) {
                if !(path.len() == 1 && self.envelope.has(&path[0])) {
                    found.entry(path).or_default().push(value);
                }
            }
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_key(|(path, _)| path.len());
        found
    }

    /// The id, and where in the data it is, if it is there.
    fn id(&self) -> (Id, Option<Vec<String>>) {
        let all = self.data().count();
        let paths = self.paths();
        let mut candidates: Vec<(usize, &Vec<String>, bool)> = Vec::new();
        for (path, values) in &paths {
            let is_int = values.iter().all(|value| value.is_i64());
            if values.len() < all || !(is_int || values.iter().all(|value| value.is_string())) {
                continue;
            }
            let looks = path.last().map_or(0, |name| self.looks_like_id(name));
            if looks > 0 {
                candidates.push(((looks).saturating_sub(10 * (path.len() - 1)), path, is_int));
            }
        }
        candidates.sort_by_key(|(looks, ..)| std::cmp::Reverse(*looks));
        let written_at = |path: &Vec<String>| written("data", path);
        let mut candidates = candidates.into_iter();
        if let Some((_, path, is_int)) = candidates.next() {
            let others = candidates.map(|(_, path, _)| written_at(path)).take(3).collect();
            let name = path.last().cloned().unwrap_or_default();
            let id = Id { path: written_at(path), name, is_int, others, is_found: true };
            return (id, Some(path.clone()));
        }
        let is_subject = *self.envelope == Envelope::CloudEvents
            && self.samples.iter().all(|sample| sample.event.get("subject").is_some_and(Value::is_string));
        let path = if is_subject { "subject" } else { "data.id" };
        let id = Id {
            path: path.into(),
            name: "id".into(),
            is_int: false,
            others: Vec::new(),
            is_found: is_subject,
        };
        (id, None)
    }

    fn looks_like_id(&self, name: &str) -> usize {
        let (name, last) = (folded(name), words(name).pop().unwrap_or_default());
        let entity = self.entity.map(folded).unwrap_or_default();
        let own = |end: &str| !entity.is_empty() && name == format!("{entity}{end}");
        match name.as_str() {
            "id" => 100,
            _ if own("id") => 95,
            "uuid" | "guid" => 80,
            _ if ["uuid", "key", "code", "number", "no"].into_iter().any(own) => 70,
            _ if last == "id" || last == "uuid" => 50,
            "key" | "code" | "number" | "sku" | "slug" => 40,
            _ => 0,
        }
    }

    fn version(&self, id: Option<&[String]>) -> Option<Version> {
        let mut candidates: Vec<(usize, String, String, bool, bool)> = Vec::new();
        let mut consider = |path: String, name: &str, values: &[(String, &Value)], must_rise: bool| {
            let Some((is_time, looks)) = looks_like_version(name, values) else { return };
            let Some(rises) = order(values, is_time) else { return };
            if (must_rise || looks == 0) && !rises {
                return;
            }
            let score = looks + if rises { 50 } else { 0 } + if is_time { 0 } else { 10 };
            candidates.push((score, path, name.to_owned(), is_time, rises));
        };
        for (path, _) in self.paths().iter().filter(|(path, _)| Some(path.as_slice()) != id) {
            let name = path.last().map(String::as_str).unwrap_or_default();
            consider(written("data", path), name, &self.history(id, |_, data| at(data, path)), false);
        }
        // What stands beside the data may be the version of the envelope: it must be seen to rise.
        let beside = self.samples.iter().filter_map(|sample| sample.event.as_object());
        let beside: BTreeSet<&String> = beside.flat_map(|event| event.keys()).collect();
        let is_named = |name: &&String| !self.is_bare() && VERSIONS.contains(&folded(name).as_str());
        for name in beside.into_iter().filter(is_named) {
            let root = if *self.envelope == Envelope::CloudEvents { "" } else { "body" };
            let path = written(root, std::slice::from_ref(name));
            consider(path, name, &self.history(id, |sample, _| sample.event.get(name)), true);
        }
        candidates.sort_by_key(|(score, ..)| std::cmp::Reverse(*score));
        let mut candidates = candidates.into_iter();
        let (_, path, name, is_time, rises) = candidates.next()?;
        let others = candidates.map(|(_, path, ..)| path).take(3).collect();
        Some(Version { path, name, is_time, rises, others })
    }

    fn is_bare(&self) -> bool {
        matches!(self.envelope, Envelope::Json { data, .. } if data.is_empty())
    }

    /// A value of each event, with whom it is about, in the order in which they came.
    fn history<'s>(
        &'s self,
        id: Option<&[String]>,
        value: impl Fn(&'s Sample, &'s Value) -> Option<&'s Value>,
    ) -> Vec<(String, &'s Value)> {
        let of = |sample: &&'s Sample| {
            let data = self.envelope.data(sample)?;
            let subject = || sample.event.get("subject");
            let id = id.and_then(|path| at(data, path)).or_else(subject);
            Some((id.map(ToString::to_string).unwrap_or_default(), value(sample, data)?))
        };
        self.samples.iter().filter_map(of).collect()
    }

    fn fields(&self, id: &Id, version: Option<&Version>) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        for (names, values) in self.paths() {
            let path = written("data", &names);
            if path == id.path || version.is_some_and(|version| version.path == path) {
                continue;
            }
            let is_large = |value: &&Value| value.is_array() || value.is_object();
            let kind = if is_secret(&names) {
                Kind::Secret
            } else if is_personal(&names) {
                Kind::Personal
            } else if values.iter().any(is_large) {
                Kind::Large
            } else {
                Kind::Plain
            };
            let short = names.last().map(String::as_str).unwrap_or_default();
            // A part's own id or version is not that of the whole.
            let is_taken = |name: &str| {
                let is_key = name == id.name || version.is_some_and(|version| version.name == name);
                (is_key && names.len() > 1) || fields.iter().any(|field| field.name == name)
            };
            let name = plain(short);
            let name = if is_taken(&name) { plain(&names.join("_")) } else { name };
            if !is_taken(&name) {
                fields.push(Field { name, path, kind });
            }
        }
        fields
    }

    fn reactions(&self, version: Option<&Version>, id: &str) -> Vec<(String, Reaction)> {
        let mut kinds: Vec<(String, BTreeSet<Vec<String>>)> = Vec::new();
        for sample in self.samples {
            let kind = self.envelope.kind(sample).unwrap_or_else(|| "changed".to_owned());
            let paths = self.envelope.data(sample).map(leaves).unwrap_or_default();
            let paths: BTreeSet<_> = paths.into_iter().map(|(path, _)| path).collect();
            match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, known)) => known.extend(paths),
                None => kinds.push((kind, paths)),
            }
        }
        let states = kinds.iter().filter(|(kind, _)| !is_gone(kind)).map(|(_, paths)| paths);
        let whole = states.max_by_key(|paths| paths.len()).cloned().unwrap_or_default();
        let reaction = |(kind, paths): (String, BTreeSet<Vec<String>>)| {
            let carries = paths.iter().filter(|path| written("data", path) != id).count();
            let is_part = paths.len() < whole.len() && paths.is_subset(&whole) && carries > 0;
            let reaction = if is_gone(&kind) {
                Reaction::Delete
            } else if is_part && version.is_some() {
                Reaction::Patch
            } else {
                Reaction::Upsert
            };
            (kind, reaction)
        };
        kinds.into_iter().map(reaction).collect()
    }
}

/// Whether values may be versions: as a time or not, and how much their name says so.
fn looks_like_version(name: &str, values: &[(String, &Value)]) -> Option<(bool, usize)> {
    let name = folded(name);
    let is_count = |value: &Value| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        value.as_i64().is_some_and(|number| number >= 0) || value.as_str().is_some_and(digits)
    };
    let all = |is: &dyn Fn(&Value) -> bool| !values.is_empty() && values.iter().all(|(_, value)| is(value));
    if all(&is_count) {
        return Some((false, if VERSIONS.contains(&name.as_str()) { 100 } else { 0 }));
    }
    let is_change = CHANGED.contains(&name.as_str()) || VERSIONS.contains(&name.as_str());
    let timed = |value: &Value| value.as_str().is_some_and(is_time);
    (is_change && all(&timed)).then_some((true, 80))
}

/// Whether values rise for one and the same entity; nothing, where they fall.
fn order(values: &[(String, &Value)], is_time: bool) -> Option<bool> {
    let number = |value: &Value| {
        let text = value.as_str();
        if is_time {
            return text?
                .parse::<jiff::Timestamp>()
                .ok()
                .map(|time| i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX));
        }
        value.as_i64().or_else(|| text?.parse().ok())
    };
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    let mut rises = false;
    for (id, value) in values {
        let now = number(value)?;
        if let Some(before) = last.insert(id, now) {
            if now < before {
                return None;
            }
            rises |= now > before;
        }
    }
    Some(rises)
}

/// A name that a field can have.
fn plain(name: &str) -> String {
    let letters =
        name.chars().map(|letter| if letter.is_alphanumeric() || letter == '_' { letter } else { '_' });
    match letters.collect::<String>().as_str() {
        "" | "_id" | "_nearcopy" => "field".to_owned(),
        plain => plain.to_owned(),
    }
}

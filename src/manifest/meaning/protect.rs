//! Fields that are not kept in clear: nothing else of their replica may keep what they say.

use super::super::place::Place;
use super::super::raw::{self, Protect, Short};
use super::super::{Code, Diagnostic};
use super::field::Fields;
use crate::event::{Field, FieldPath, Protection, VersionRule};
use crate::replication::Keep;

/// Whether a field is declared and dropped.
pub(super) fn is_dropped(raw: &Short<raw::Field>) -> bool {
    matches!(raw, Short::Full(raw::Field { protect: Some(Protect::Drop), .. }))
}

/// Reads how a field is protected; of what is dropped, nothing is left to be.
pub(super) fn read(raw: &raw::Field, at: Place<'_>) -> Result<Option<Protection>, Diagnostic> {
    let how = match raw.protect {
        None | Some(Protect::Drop) => return Ok(None),
        Some(Protect::Hash) => Protection::Hash,
        Some(Protect::Mask) => Protection::Mask,
        Some(Protect::Encrypt) => Protection::Encrypt,
    };
    match &raw.default {
        None | Some(serde_json::Value::Null) => Ok(Some(how)),
        Some(_) => {
            let mark = at.at("default").mark();
            Err(Diagnostic::new(
                Code::BadDefault,
                mark,
                "the default of a protected field can only be `null`",
            )
            .why("everybody can read it here")
            .help("write `default: null`, or leave it out"))
        }
    }
}

/// What a replica reads of an event, and keeps in clear.
struct Reading<'t> {
    path: FieldPath,
    at: Place<'t>,
    what: String,
}

/// Finds what would be kept in clear of protected fields, in records or in events that are put aside.
pub(super) fn check(
    fields: &Fields,
    id: Option<&FieldPath>,
    version: Option<&VersionRule>,
    keep: Option<&Keep>,
    at: Place<'_>,
    findings: &mut Vec<Diagnostic>,
) {
    let protected = fields.kept.iter().filter(|field| field.protect.is_some()).chain(&fields.dropped);
    let readings = readings(fields, id, version, keep, at);
    for field in protected {
        let here = at.at("fields").at(&field.name);
        if field.from.names().first().is_none_or(|first| first != "data") {
            let message = format!("`{}` cannot be protected", field.name);
            let found = Diagnostic::new(Code::InClear, here.at("from").mark(), message)
                .why("what an event says of itself is kept and logged, and `body` is all of it")
                .help("protect what is under `data`");
            findings.push(found);
            continue;
        }
        for reading in readings.iter().filter(|reading| overlap(&reading.path, &field.from)) {
            let message = format!("`{}` is protected, and would be kept in clear all the same", field.name);
            let found = Diagnostic::new(Code::InClear, here.at("protect").mark(), message)
                .why(format!("{} reads `{}`", reading.what, reading.path))
                .also(reading.at.mark(), "here it is read in clear")
                .help("have only one of them read it, or protect both");
            findings.push(found);
        }
    }
}

fn readings<'t>(
    fields: &Fields,
    id: Option<&FieldPath>,
    version: Option<&VersionRule>,
    keep: Option<&Keep>,
    at: Place<'t>,
) -> Vec<Reading<'t>> {
    let version = match version {
        Some(VersionRule::Sequence(path) | VersionRule::Time { path, .. }) => Some(path),
        Some(VersionRule::None) | None => None,
    };
    let single = [(id, "id", "the id"), (version, "version", "the version")].into_iter();
    let single = single.filter_map(|(path, key, what)| Some((path?.clone(), at.at(key), what.to_owned())));
    let condition = keep.map(Keep::paths).unwrap_or_default().iter();
    let condition =
        condition.map(|path| (path.clone(), at.at("keep").at("where"), "the condition".to_owned()));
    let in_clear = fields.kept.iter().filter(|field| field.protect.is_none()).map(|field| {
        (field.from.clone(), at.at("fields").at(&field.name), format!("the field `{}`", field.name))
    });
    single.chain(condition).chain(in_clear).map(|(path, at, what)| Reading { path, at, what }).collect()
}

/// Whether a path leads to something of what is protected at another, which begins with `data`. Where the data is in the
/// body is not known here, so anything in it may be that; and a document before its change is much like it is afterwards.
fn overlap(path: &FieldPath, protected: &FieldPath) -> bool {
    let (Some((root, path)), Some((_, protected))) = (path.split_first(), protected.split_first()) else {
        return true;
    };
    let same = path.names().iter().zip(protected.names()).all(|(one, other)| one == other);
    root == "body" || (same && matches!(root, "data" | "before"))
}

/// Why nobody can look for a value of this field, if that is so.
pub(super) fn hides(field: &Field) -> Option<&'static str> {
    match field.protect? {
        Protection::Hash => None,
        Protection::Mask => Some("it is masked, and many values leave the same"),
        Protection::Encrypt => Some("it is encrypted, and one value is another text for each entity"),
    }
}

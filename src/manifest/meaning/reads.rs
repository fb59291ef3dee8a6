//! How a replica may be read.

use std::time::Duration;

use super::super::place::Place;
use super::super::{Code, Diagnostic, raw, suggest};
use super::field::Fields;
use super::{Noted, duration, protect};
use crate::event::FieldType;
use crate::replication::ReadSpec;

/// How long what was read stays wanted.
const WANTED: duration::Range = duration::Range {
    least: Duration::from_secs(1),
    most: Duration::from_secs(720 * 60 * 60),
    words: "from 1s to 720h",
};

/// Reads the fields that may be asked for; `None` for `fields` where those could not be read.
pub(super) fn read(
    raw: &raw::Reads,
    at: Place<'_>,
    fields: Option<&Fields>,
    findings: &mut Vec<Diagnostic>,
) -> Option<ReadSpec> {
    let wanted = duration::read(&raw.wanted, at.at("wanted"), &WANTED).noted(findings);
    for (key, names) in [("filters", &raw.filters), ("unique", &raw.unique)] {
        let items = at.get(key).into_iter().flat_map(Place::items);
        for (name, at) in names.iter().zip(items) {
            let Some(fields) = fields else { continue };
            comparable(name, at, fields).noted(findings);
        }
    }
    Some(ReadSpec { filters: raw.filters.clone(), unique: raw.unique.clone(), wanted: wanted? })
}

fn comparable(name: &str, at: Place<'_>, fields: &Fields) -> Result<(), Diagnostic> {
    let nobody = || Diagnostic::new(Code::NoEffect, at.mark(), format!("nobody can ask for `{name}`"));
    if fields.dropped.iter().any(|field| field.name == name) {
        return Err(nobody().why("it is dropped").help("remove it here, or protect it by `hash`"));
    }
    let Some(field) = fields.kept.iter().find(|field| field.name == name) else {
        let names = fields.kept.iter().map(|field| field.name.as_str());
        return Err(Diagnostic::new(Code::UnknownName, at.mark(), format!("there is no field `{name}`"))
            .why("not declared under `fields`")
            .help(suggest::advice(name, names)));
    };
    if matches!(field.kind, FieldType::Object | FieldType::Array) {
        return Err(nobody()
            .why(format!("it is an {}, which has no order", field.kind))
            .help("declare the part that is asked for as a field of its own"));
    }
    if let Some(why) = protect::hides(field) {
        return Err(nobody().why(why).help("one can ask for what is protected by `hash`"));
    }
    Ok(())
}

//! The fields that are kept.

use serde_json::value::to_raw_value;

use super::super::place::Place;
use super::super::raw::{self, Format, Short};
use super::super::{Code, Diagnostic};
use super::{Noted, empty, name, path, protect};
use crate::event::{Field, FieldType};

/// The fields of a replica.
#[derive(Clone)]
pub(super) struct Fields {
    /// Those that are kept, in the order in which they are written.
    pub(super) kept: Vec<Field>,
    /// Those that are dropped.
    pub(super) dropped: Vec<Field>,
}

/// Reads the fields of a replica.
pub(super) fn read_all(
    raw: &raw::Replica,
    replica: Place<'_>,
    format: Option<Format>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Fields> {
    let at = replica.at("fields");
    if at.entries().next().is_none() {
        let help = "name at least one: `username: data.username`";
        findings.push(empty(at, "a replica keeps at least one field", help));
    }
    let before = findings.len();
    let asked = replica.has("fetch");
    let mut fields = Fields { kept: Vec::new(), dropped: Vec::new() };
    for (name, at) in at.entries() {
        name::field(name, at).noted(findings);
        let Some(raw_field) = raw.fields.get(name) else { continue };
        let read_path = |text: &str, at: Place<'_>| {
            if asked { path::in_data(text, at) } else { path::in_event(text, at, format) }
        };
        let list = if protect::is_dropped(raw_field) { &mut fields.dropped } else { &mut fields.kept };
        list.extend(read(name, raw_field, at, read_path).noted(findings));
    }
    (findings.len() == before).then_some(fields)
}

fn read(
    name: &str,
    raw: &Short<raw::Field>,
    at: Place<'_>,
    path: impl Fn(&str, Place<'_>) -> Result<crate::event::FieldPath, Diagnostic>,
) -> Result<Field, Diagnostic> {
    let name = name.to_owned();
    match raw {
        Short::Path(text) => {
            let from = path(text, at)?;
            Ok(Field { name, from, kind: FieldType::Any, default: None, protect: None })
        }
        Short::Full(raw) => {
            let kind = kind(raw.kind);
            let default = raw.default.as_ref().map(|value| default(value, kind, at)).transpose()?;
            let (from, protect) = (path(&raw.from, at.at("from"))?, protect::read(raw, at)?);
            Ok(Field { name, from, kind, default, protect })
        }
    }
}

pub(super) fn default(
    value: &serde_json::Value,
    kind: FieldType,
    at: Place<'_>,
) -> Result<bson::Bson, Diagnostic> {
    let bad = |why: String| {
        Diagnostic::new(Code::BadDefault, at.at("default").mark(), format!("the default is no {kind}"))
            .why(why)
            .help(format!("give a value that can be stored as {kind}, or `null`"))
    };
    let json = to_raw_value(value).map_err(|error| bad(error.to_string()))?;
    kind.read(&json, 16).map_err(|error| bad(error.detail))
}

pub(super) fn kind(raw: raw::FieldType) -> FieldType {
    match raw {
        raw::FieldType::Any => FieldType::Any,
        raw::FieldType::String => FieldType::String,
        raw::FieldType::Int => FieldType::Int,
        raw::FieldType::Double => FieldType::Double,
        raw::FieldType::Decimal => FieldType::Decimal,
        raw::FieldType::Bool => FieldType::Bool,
        raw::FieldType::Date => FieldType::Date,
        raw::FieldType::ObjectId => FieldType::ObjectId,
        raw::FieldType::Uuid => FieldType::Uuid,
        raw::FieldType::Object => FieldType::Object,
        raw::FieldType::Array => FieldType::Array,
    }
}

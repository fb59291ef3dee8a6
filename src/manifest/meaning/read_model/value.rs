//! Values of a read model: expressions, constants, objects of these.

use bson::Bson;
use serde_json::Value as Json;
use serde_json::value::to_raw_value;

use super::super::super::place::Place;
use super::super::super::{Code, Diagnostic, raw};
use super::super::{field, keep};
use crate::event::{FieldPath, FieldType, Lookup};
use crate::replication::Template;

/// How deep constants may be nested.
const DEPTH: usize = 16;

/// Reads an expression.
pub(super) fn expression(text: &str, at: Place<'_>, lookup: &mut Lookup) -> Result<Template, Diagnostic> {
    expression_with(text, &[], at, lookup)
}

/// Reads an expression that may read more than the event.
pub(super) fn expression_with(
    text: &str,
    more: &[&str],
    at: Place<'_>,
    lookup: &mut Lookup,
) -> Result<Template, Diagnostic> {
    Template::compile_with(text, more, lookup).map_err(|error| {
        let (mark, why) = match keep::syntax_error(&error) {
            Some((column, why)) => (at.part(column, 1), why),
            None => (at.mark(), error.as_str()),
        };
        Diagnostic::new(Code::BadExpression, mark, "this expression cannot be evaluated")
            .why(why)
            .help("write a CEL expression over `data` and `event`, such as `data.name`; text stands in quotes: `\"'open'\"`")
    })
}

/// Reads whatever may stand for a value.
pub(super) fn read(value: &Json, at: Place<'_>, lookup: &mut Lookup) -> Result<Template, Diagnostic> {
    read_with(value, &[], at, lookup)
}

/// Reads a value that may be made of more than the event.
pub(super) fn read_with(
    value: &Json,
    more: &[&str],
    at: Place<'_>,
    lookup: &mut Lookup,
) -> Result<Template, Diagnostic> {
    match value {
        Json::String(text) => expression_with(text, more, at, lookup),
        Json::Object(members) if members.contains_key("from") => typed(value, at, lookup),
        Json::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| Ok((name.clone(), read_with(value, more, at.at(name), lookup)?)));
            members.collect::<Result<_, _>>().map(Template::Object)
        }
        Json::Array(items) => {
            let items = items.iter().zip(at.items()).map(|(item, at)| read_with(item, more, at, lookup));
            items.collect::<Result<_, _>>().map(Template::List)
        }
        other => constant(other, at).map(Template::Constant),
    }
}

/// `{ from: data.due, type: date, default: null }`
fn typed(value: &Json, at: Place<'_>, lookup: &mut Lookup) -> Result<Template, Diagnostic> {
    let bad = |why: String| {
        Diagnostic::new(Code::BadExpression, at.mark(), "this value cannot be read").why(why).help(
            "write `{ from: data.due, type: date, default: null }`; `type` and `default` may be left out",
        )
    };
    let known = ["from", "type", "default"];
    let unknown = at.entries().find(|(key, _)| !known.contains(key));
    if let Some(at) = at.get("protect") {
        return Err(Diagnostic::new(
            Code::BadExpression,
            at.key,
            "a value of a read model cannot be protected",
        )
        .why("`protect` is for the fields of replicas")
        .help("have the read model not read it, or a replica keep it"));
    }
    if let Some((key, _)) = unknown {
        return Err(bad(format!("beside `from` there are `type` and `default`, and no `{key}`")));
    }
    let raw: raw::Field = serde_json::from_value(value.clone()).map_err(|error| bad(error.to_string()))?;
    let kind = field::kind(raw.kind);
    let default = raw.default.as_ref().map(|value| field::default(value, kind, at)).transpose()?;
    let at = at.at("from");
    let path = FieldPath::parse(&raw.from).map_err(|error| bad(error.to_string()))?;
    match path.names() {
        [head, ..] if head == "data" || head == "event" => {}
        _ => return Err(bad(format!("`{}` begins neither with `data` nor with `event`", raw.from))),
    }
    Template::part(&path, kind, default, lookup).map_err(|why| {
        Diagnostic::new(Code::BadRoot, at.mark(), format!("the path `{}` leads nowhere", raw.from)).why(why)
    })
}

fn constant(value: &Json, at: Place<'_>) -> Result<Bson, Diagnostic> {
    let bad =
        |why: String| Diagnostic::new(Code::BadExpression, at.mark(), "this value cannot be stored").why(why);
    let json = to_raw_value(value).map_err(|error| bad(error.to_string()))?;
    FieldType::Any.read(&json, DEPTH).map_err(|error| bad(error.detail))
}

//! What is told, in fields of the answer.

use prost_reflect::{FieldDescriptor, MessageDescriptor};

use super::super::super::place::Place;
use super::super::super::raw::{self, Short};
use super::super::super::{Code, Diagnostic, suggest};
use super::super::{Noted, path};
use super::fit::{self, Holds, unfit};
use crate::event::FieldType;
use crate::replication::{Origin, Says, Subscription};

/// What says how fresh an entity is, and as what it is told.
const FRESHNESS: [(&str, FieldType); 7] = [
    ("version", FieldType::Int),
    ("epoch", FieldType::Int),
    ("origin", FieldType::String),
    ("event", FieldType::String),
    ("changed_at", FieldType::Date),
    ("age_ms", FieldType::Int),
    ("stale", FieldType::Bool),
];

/// The field that holds the one entity.
pub(super) fn into_one(
    answer: &MessageDescriptor,
    name: &str,
    at: Place<'_>,
) -> Result<FieldDescriptor, Diagnostic> {
    let field = fit::field(answer, name, at.mark())?;
    if fit::message(&field).is_some() && fit::is_single(&field) {
        return Ok(field);
    }
    Err(unfit(at, format!("`{name}` cannot hold an entity"), format!("this is {}", fit::in_words(&field)))
        .help("name a field that holds one message, or leave `into` out where the answer is the entity"))
}

/// The field that holds the entities: the one that is named, or the only one that can.
pub(super) fn into_many(
    answer: &MessageDescriptor,
    named: Option<&str>,
    list: Place<'_>,
) -> Result<FieldDescriptor, Diagnostic> {
    let can = |field: &FieldDescriptor| field.is_list() && fit::message(field).is_some();
    let at = list.at("into");
    if let Some(name) = named {
        let field = fit::field(answer, name, at.mark())?;
        return if can(&field) {
            Ok(field)
        } else {
            let why = format!("this is {}", fit::in_words(&field));
            Err(unfit(at, format!("`{name}` cannot hold entities"), why)
                .help("name a field that holds a repeated message"))
        };
    }
    let all: Vec<FieldDescriptor> = answer.fields().filter(can).collect();
    match all.as_slice() {
        [only] => Ok(only.clone()),
        several => {
            let why = format!("`{}` has {} repeated messages", answer.full_name(), several.len());
            let found =
                Diagnostic::new(Code::BadFit, list.key, "nothing says which field holds the entities");
            Err(found.why(why).help("name it: `into: foos`; it is a repeated message"))
        }
    }
}

/// What each field of an entity's message says: as it is mapped, or the field of the same name.
pub(super) fn says(
    entity: &MessageDescriptor,
    of: &Subscription,
    raw: &raw::Method,
    method: Place<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Says> {
    let before = findings.len();
    let mapped = method.names("fields");
    let mut says = Vec::new();
    for (name, at) in method.get("fields").into_iter().flat_map(Place::entries) {
        let Some(raw) = raw.fields.get(name) else { continue };
        says.extend(as_mapped(entity, of, name, raw, at).noted(findings));
    }
    let unmapped =
        |field: &FieldDescriptor| !mapped.contains(&field.name()) && !mapped.contains(&field.json_name());
    for field in entity.fields().filter(unmapped) {
        let Some((from, stored)) = of_same_name(of, &field) else { continue };
        says.extend(fitting(field, from, stored, None, Place { key: method.key, ..method }).noted(findings));
    }
    if says.is_empty() && findings.len() == before {
        findings.push(
            Diagnostic::new(Code::NoEffect, method.key, "the answer would always be empty")
                .why(format!("no field of `{}` has the name of a field of `{}`", entity.full_name(), of.name))
                .help("say under `fields` what its fields say: `fields: { title: name }`"),
        );
    }
    says
}

fn as_mapped(
    entity: &MessageDescriptor,
    of: &Subscription,
    name: &str,
    raw: &Short<raw::Mapped>,
    at: Place<'_>,
) -> Result<Says, Diagnostic> {
    let field = fit::field(entity, name, at.key)?;
    let (text, from_at, any) = match raw {
        Short::Path(text) => (text, at, None),
        Short::Full(raw) => (&raw.from, at.at("from"), raw.any.as_deref()),
    };
    let (from, stored) = origin(text, of, from_at)?;
    let any = any.map(|name| packed(&field, name, at.at("any"))).transpose()?;
    fitting(field, from, stored, any, from_at)
}

fn fitting(
    field: FieldDescriptor,
    from: Origin,
    stored: FieldType,
    any: Option<MessageDescriptor>,
    at: Place<'_>,
) -> Result<Says, Diagnostic> {
    if fit::is_sayable(stored, &field) {
        return Ok(Says { field, from, any });
    }
    let why = format!("`{}` is {}, and `{from}` is {stored}", field.name(), fit::in_words(&field));
    Err(unfit(at, format!("`{}` cannot say `{from}`", field.full_name()), why)
        .help(format!("say something else there: `fields: {{ {}: … }}`", field.name())))
}

/// The message that a field of any type holds.
fn packed(field: &FieldDescriptor, name: &str, at: Place<'_>) -> Result<MessageDescriptor, Diagnostic> {
    if fit::holds(field) != Holds::AnyMessage || field.is_map() {
        let message = format!("`{}` holds no message of another type", field.name());
        return Err(unfit(at, message, format!("it is {}", fit::in_words(field)))
            .help("`any` belongs to a field of the type `google.protobuf.Any`"));
    }
    let pool = field.parent_pool();
    pool.get_message_by_name(name).ok_or_else(|| {
        let own = |name: &str| !name.starts_with("google.protobuf.");
        let names = pool.all_messages().filter(|message| !message.is_map_entry());
        let names: Vec<String> = names.map(|message| message.full_name().to_owned()).collect();
        Diagnostic::new(Code::UnknownName, at.mark(), format!("there is no message `{name}`"))
            .why("not declared in the files of `protos`")
            .help(suggest::advice(name, names.iter().map(String::as_str).filter(|name| own(name))))
    })
}

/// Where a value comes from, and as what it is told.
fn origin(text: &str, of: &Subscription, at: Place<'_>) -> Result<(Origin, FieldType), Diagnostic> {
    let path = path::not_empty(text, at)?;
    let (head, inside) = path.names().split_first().map_or(("", &[][..]), |(head, rest)| (head, rest));
    if let Some(field) = of.selection.fields().chain(&of.dropped).find(|field| field.name == head) {
        let stored = field.told_as();
        let kind = if inside.is_empty() { stored } else { FieldType::Any };
        if !inside.is_empty() && !matches!(stored, FieldType::Any | FieldType::Object) {
            let why = format!("`{head}` is stored as {stored}, and nothing leads into it");
            return Err(unfit(at, format!("`{text}` leads nowhere"), why).help("name the field itself"));
        }
        return Ok((Origin::Field(head.to_owned(), inside.to_vec()), kind));
    }
    let of_its_own = FRESHNESS.iter().find(|(name, _)| head.strip_prefix('_') == Some(name));
    match (head, of_its_own) {
        ("id" | "_id", _) if inside.is_empty() => Ok((Origin::Id, fit::of_id(of.selection.id_kind()))),
        (_, Some((name, kind))) if inside.is_empty() => Ok((Origin::Freshness(name), *kind)),
        _ => {
            let names: Vec<&str> = of.selection.fields().map(|field| field.name.as_str()).collect();
            let message = format!("the replica `{}` has no field `{head}`", of.name);
            Err(Diagnostic::new(Code::UnknownName, at.mark(), message)
                .why("not declared under the replica's `fields`")
                .help(suggest::advice(head, names.iter().copied().chain(["_id", "_version", "_changed_at"]))))
        }
    }
}

/// The field of the replica that a field of a message is named after, or the entity's id.
fn of_same_name(of: &Subscription, field: &FieldDescriptor) -> Option<(Origin, FieldType)> {
    let same = |name: &str| name == field.name() || name == field.json_name();
    let stored = of.selection.fields().find(|stored| same(&stored.name));
    let stored = stored.map(|stored| (Origin::Field(stored.name.clone(), Vec::new()), stored.told_as()));
    stored.or_else(|| (field.name() == "id").then(|| (Origin::Id, fit::of_id(of.selection.id_kind()))))
}

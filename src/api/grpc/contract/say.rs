//! Stored values in the fields of messages, by their descriptors.
//!
//! A message says less than JSON can: what has no place in it is left out, what does not fit into its place is refused.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde_json::{Map, Value as Json, json};

use super::spelling;

/// The field of a message that cannot say what it is to say.
pub(super) struct Unsayable(pub(super) String);

/// The same with its type beside it, where it has none of its own.
pub(super) fn typed(stored: &Json, message: &MessageDescriptor) -> Json {
    match stored {
        Json::Object(fields) if !fields.contains_key("@type") => {
            let mut fields = fields.clone();
            fields.insert("@type".to_owned(), message.full_name().into());
            fields.into()
        }
        Json::Array(items) => items.iter().map(|item| typed(item, message)).collect(),
        other => other.clone(),
    }
}

/// A value as a field says it; nothing, where there is none.
pub(super) fn value(field: &FieldDescriptor, stored: &Json) -> Result<Option<Value>, Unsayable> {
    match stored {
        Json::Null if holds(field, "google.protobuf.Value") && !field.is_list() => {
            single(field, stored).map(Some)
        }
        Json::Null => Ok(None),
        Json::Array(items) if field.is_list() => {
            let all: Result<Vec<_>, _> = items.iter().map(|item| single(field, item)).collect();
            Ok(Some(Value::List(all?)))
        }
        Json::Object(entries) if field.is_map() => map(field, entries).map(Some),
        _ if field.is_list() || field.is_map() => Err(unsayable(field)),
        single_value => single(field, single_value).map(Some),
    }
}

/// One value of a field, be it one of several.
fn single(field: &FieldDescriptor, stored: &Json) -> Result<Value, Unsayable> {
    match (field.kind(), stored) {
        (Kind::Enum(words), Json::String(text)) if words.full_name() != "google.protobuf.NullValue" => {
            let word = spelling::of_text(&words, text).ok_or_else(|| unsayable(field))?;
            Ok(Value::EnumNumber(word.number()))
        }
        (Kind::Enum(words), Json::Number(number)) => {
            let number = number.as_i64().and_then(|number| i32::try_from(number).ok());
            let word = number.and_then(|number| words.get_value(number)).ok_or_else(|| unsayable(field))?;
            Ok(Value::EnumNumber(word.number()))
        }
        (Kind::String, Json::Number(number)) => Ok(Value::String(number.to_string())),
        (Kind::Message(_), _) if holds(field, "google.protobuf.Any") => any(field, stored),
        (Kind::Message(inner), _) if !inner.full_name().starts_with("google.protobuf.") => {
            let Json::Object(fields) = stored else { return Err(unsayable(field)) };
            inside(&inner, fields).map(Value::Message)
        }
        _ => by_json(field, stored),
    }
}

/// A message of the fields that an object has for it, by their names or those they have in JSON.
fn inside(message: &MessageDescriptor, fields: &Map<String, Json>) -> Result<DynamicMessage, Unsayable> {
    let mut told = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let stored = fields.get(field.name()).or_else(|| fields.get(field.json_name()));
        if let Some(said) = stored.map(|stored| value(&field, stored)).transpose()?.flatten() {
            told.set_field(&field, said);
        }
    }
    Ok(told)
}

fn map(field: &FieldDescriptor, entries: &Map<String, Json>) -> Result<Value, Unsayable> {
    let Kind::Message(entry) = field.kind() else { return Err(unsayable(field)) };
    let (keys, values) = (entry.map_entry_key_field(), entry.map_entry_value_field());
    let mut told = HashMap::new();
    for (name, stored) in entries {
        if let Some(said) = value(&values, stored)? {
            told.insert(key(&keys, name).ok_or_else(|| unsayable(field))?, said);
        }
    }
    Ok(Value::Map(told))
}

fn key(field: &FieldDescriptor, name: &str) -> Option<MapKey> {
    Some(match field.kind() {
        Kind::String => MapKey::String(name.to_owned()),
        Kind::Bool => MapKey::Bool(name.parse().ok()?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32(name.parse().ok()?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => MapKey::I64(name.parse().ok()?),
        Kind::Uint32 | Kind::Fixed32 => MapKey::U32(name.parse().ok()?),
        Kind::Uint64 | Kind::Fixed64 => MapKey::U64(name.parse().ok()?),
        _ => return None,
    })
}

/// A message of the type that stands beside it, packed.
fn any(field: &FieldDescriptor, stored: &Json) -> Result<Value, Unsayable> {
    let kind = stored.get("@type").and_then(Json::as_str).ok_or_else(|| unsayable(field))?;
    let name = kind.rsplit('/').next().unwrap_or(kind);
    let url = if kind.contains('/') { kind.to_owned() } else { format!("type.googleapis.com/{name}") };
    let message = field.parent_pool().get_message_by_name(name).ok_or_else(|| unsayable(field))?;
    if message.full_name().starts_with("google.protobuf.") {
        let mut stored = stored.clone();
        stored["@type"] = url.into();
        return by_json(field, &stored);
    }
    let Json::Object(fields) = stored else { return Err(unsayable(field)) };
    let packed = prost::Message::encode_to_vec(&inside(&message, fields)?);
    let Kind::Message(any) = field.kind() else { return Err(unsayable(field)) };
    let mut told = DynamicMessage::new(any);
    told.set_field_by_name("type_url", Value::String(url));
    told.set_field_by_name("value", Value::Bytes(packed.into()));
    Ok(Value::Message(told))
}

/// Everything else as it stands in JSON: numbers, bytes, and the messages of Google's that have a form of their own there.
fn by_json(field: &FieldDescriptor, stored: &Json) -> Result<Value, Unsayable> {
    let stored = if field.is_list() { json!([stored]) } else { stored.clone() };
    let alone = json!({ field.json_name(): stored });
    let read = DynamicMessage::deserialize(field.parent_message().clone(), alone);
    match read.map(|message| message.get_field(field).into_owned()) {
        Ok(Value::List(mut values)) => values.pop().ok_or_else(|| unsayable(field)),
        Ok(value) => Ok(value),
        Err(_) => Err(unsayable(field)),
    }
}

/// Whether a field holds this message.
fn holds(field: &FieldDescriptor, name: &str) -> bool {
    matches!(field.kind(), Kind::Message(message) if message.full_name() == name)
}

fn unsayable(field: &FieldDescriptor) -> Unsayable {
    Unsayable(field.full_name().to_owned())
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::super::testing::pool;
    use super::*;

    /// What a field says, as JSON; nothing where it cannot.
    fn said(pool: &DescriptorPool, name: &str, stored: &Json) -> Option<Json> {
        let all = pool.get_message_by_name("All").unwrap();
        let field = all.get_field_by_name(name).unwrap();
        let mut message = DynamicMessage::new(all);
        if let Some(said) = value(&field, stored).ok()? {
            message.set_field(&field, said);
        }
        let told = serde_json::to_value(&message).unwrap();
        Some(told.get(field.json_name()).cloned().unwrap_or(Json::Null))
    }

    type Case = (&'static str, Json, Option<Json>);

    fn same(name: &'static str, stored: Json) -> Case {
        (name, stored.clone(), Some(stored))
    }

    fn says(name: &'static str, stored: Json, told: Json) -> Case {
        (name, stored, Some(told))
    }

    fn refused(name: &'static str, stored: Json) -> Case {
        (name, stored, None)
    }

    fn check(cases: &[Case]) {
        let pool = pool();
        for (name, stored, told) in cases {
            assert_eq!(said(&pool, name, stored), *told, "{name} from {stored}");
        }
    }

    #[test]
    fn each_kind_of_field_says_what_fits_and_nothing_else() {
        let part = json!({ "partId": "p", "parts": [{ "partId": "q" }], "box": 3 });
        check(&[
            same("truth", json!(true)),
            refused("truth", json!("true")),
            same("small", json!(-7)),
            refused("small", json!(2_147_483_648_i64)),
            refused("small", json!(1.5)),
            says("large", json!(i64::MAX), json!(i64::MAX.to_string())),
            says("natural", json!(7), json!("7")),
            refused("natural", json!(-1)),
            same("real", json!(1.5)),
            says("real", json!("12.50"), json!(12.5)),
            same("single", json!(0.5)),
            same("text", json!("x")),
            says("text", json!(42), json!("42")),
            refused("text", json!({})),
            same("raw", json!("AAEC")),
            refused("raw", json!("?")),
            says("size", json!("veryLarge"), json!("SIZE_VERY_LARGE")),
            says("size", json!(1), json!("SIZE_VERY_LARGE")),
            refused("size", json!("huge")),
            refused("size", json!(9)),
            says("sizes", json!(["very_large", 1]), json!(["SIZE_VERY_LARGE", "SIZE_VERY_LARGE"])),
            refused("sizes", json!("very_large")),
            refused("sizes", json!(["very_large", "huge"])),
            same("part", part.clone()),
            says("part", json!({ "part_id": "p", "other": { "x": 1 } }), json!({ "partId": "p" })),
            refused("part", json!({ "box": "?" })),
            refused("part", json!("p")),
            same("by_name", json!({ "a": part })),
            same("by_number", json!({ "1": "one" })),
            refused("by_number", json!({ "one": "one" })),
        ]);
    }

    #[test]
    fn messages_of_googles_have_their_own_form() {
        let typed = |url: &str| json!({ "@type": url, "partId": "p" });
        check(&[
            says("any", typed("Part"), typed("type.googleapis.com/Part")),
            same("any", typed("type.example.org/Part")),
            refused("any", typed("Nobody")),
            refused("any", json!({ "partId": "p" })),
            same("any", json!({ "@type": "type.googleapis.com/google.protobuf.Int64Value", "value": "7" })),
            same("anys", json!([typed("type.googleapis.com/Part")])),
            same("span", json!("1.500s")),
            refused("span", json!("soon")),
            same("object", json!({ "a": [1.0, null, { "b": "c" }] })),
            refused("object", json!([])),
            same("value", json!([true, "x"])),
            same("value", Json::Null),
            same("list", json!([1.0])),
            same("time", json!("2026-01-01T00:00:00.123Z")),
            refused("time", json!("yesterday")),
            refused("time", json!(1_767_225_600_000_i64)),
            says("maybe", json!(5), json!("5")),
            same("maybe_text", json!("")),
            same("maybe", Json::Null),
            same("texts", json!(["a", "b"])),
            refused("texts", json!(["a", null])),
        ]);
    }

    #[test]
    fn a_declared_type_is_put_beside_what_has_none() {
        let part = pool().get_message_by_name("Part").unwrap();
        assert_eq!(typed(&json!({ "a": 1 }), &part), json!({ "a": 1, "@type": "Part" }));
        let own = json!([{ "@type": "All" }, 1]);
        assert_eq!(typed(&own, &part), own);
    }

    /// What is told as a word is found by it.
    #[test]
    fn every_spelling_of_a_word_is_asked_for() {
        use crate::event::FieldType;
        let sizes = pool().get_enum_by_name("Size").unwrap();
        let large = sizes.get_value(1).unwrap();
        let asked = spelling::asked(&large, FieldType::String);
        for text in
            ["SIZE_VERY_LARGE", "size_very_large", "VERY_LARGE", "very_large", "veryLarge", "VeryLarge"]
        {
            assert!(asked.contains(&text.to_owned()), "{text}");
        }
        assert!(asked.iter().all(|text| spelling::of_text(&sizes, text).as_ref() == Some(&large)));
        assert_eq!(spelling::asked(&large, FieldType::Int), ["1"]);
        assert_eq!(spelling::asked(&large, FieldType::Any).len(), asked.len() + 1);
        assert!(spelling::says_nothing(&sizes.get_value(0).unwrap()) && !spelling::says_nothing(&large));
    }
}

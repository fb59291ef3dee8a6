//! What a request asks for, as the parameters that say so in a URL.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};
use tonic::{Code, Status};

use super::super::{message, method};
use super::spelling;
use crate::event::FieldType;
use crate::replication::{Comparison, ConditionAsked, RequestPath};

/// A field that holds one value, as text; nothing where it is not set.
pub(super) fn text(request: &DynamicMessage, path: &RequestPath) -> Result<Option<String>, Status> {
    match found(request, path) {
        Some((field, value)) => spelt(&field, &value, FieldType::String, path).map(|mut all| all.pop()),
        None => Ok(None),
    }
}

/// The conditions of a list. What is not set is no condition.
pub(super) fn conditions(
    request: &DynamicMessage,
    conditions: &[ConditionAsked],
) -> Result<Vec<(String, String)>, Status> {
    let mut parameters = Vec::new();
    for condition in conditions {
        let Some((field, value)) = found(request, &condition.value) else { continue };
        let values = match &value {
            Value::List(values) => values.as_slice(),
            single => std::slice::from_ref(single),
        };
        let mut texts = Vec::new();
        for value in values {
            texts.extend(spelt(&field, value, condition.kind, &condition.value)?);
        }
        if let Some(parameter) = parameter(condition, &texts)? {
            parameters.push(parameter);
        }
    }
    Ok(parameters)
}

/// A condition that may be met by any of these texts.
fn parameter(condition: &ConditionAsked, texts: &[String]) -> Result<Option<(String, String)>, Status> {
    let (name, comparison) = Comparison::of(&condition.on);
    match texts {
        [] => Ok(None),
        [one] if comparison != Comparison::In => Ok(Some((condition.on.clone(), one.clone()))),
        several if several.iter().any(|text| text.contains(',')) => {
            Err(bad(&condition.value, "a value with a comma can be asked for only alone"))
        }
        several => Ok(Some((format!("{name}.in"), several.join(",")))),
    }
}

/// The value at the end of a path; nothing where it, or what leads to it, is not set.
fn found(request: &DynamicMessage, path: &RequestPath) -> Option<(FieldDescriptor, Value)> {
    let (last, outer) = path.0.split_last()?;
    let mut message = request.clone();
    for field in outer {
        let inner = message.has_field(field).then(|| message.get_field(field).into_owned())?;
        message = match inner {
            Value::Message(inner) => inner,
            _ => return None,
        };
    }
    message.has_field(last).then(|| (last.clone(), message.get_field(last).into_owned()))
}

/// The texts that one value is asked for by: for a word of an enum each of its spellings, none where it says that there
/// is none.
fn spelt(
    field: &FieldDescriptor,
    value: &Value,
    stored: FieldType,
    path: &RequestPath,
) -> Result<Vec<String>, Status> {
    let json = match value {
        Value::EnumNumber(number) => {
            let Kind::Enum(words) = field.kind() else { return Ok(Vec::new()) };
            let Some(word) = words.get_value(*number) else {
                return Err(bad(path, format!("`{}` has no value {number}", words.full_name())));
            };
            return Ok(if spelling::says_nothing(&word) {
                Vec::new()
            } else {
                spelling::asked(&word, stored)
            });
        }
        Value::Message(inner) => message::json(inner)?,
        Value::Bool(truth) => (*truth).into(),
        Value::I32(number) => (*number).into(),
        Value::I64(number) => (*number).into(),
        Value::U32(number) => (*number).into(),
        Value::U64(number) => (*number).into(),
        Value::F32(number) => (*number).into(),
        Value::F64(number) => (*number).into(),
        Value::String(text) => return Ok(vec![text.clone()]),
        Value::Bytes(_) | Value::List(_) | Value::Map(_) => {
            return Err(bad(path, "it is nothing that can be asked for"));
        }
    };
    Ok(vec![message::as_text(&json)])
}

/// There is no more to know.
const NOTHING: [(&str, String); 0] = [];

fn bad(path: &RequestPath, why: impl std::fmt::Display) -> Status {
    method::refused(Code::InvalidArgument, "bad-request", NOTHING, format!("`{path}`: {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::testing::pool;
    use super::*;

    /// The parameters that a condition on a field comes to; the code where it is refused.
    fn asks(on: &str, kind: FieldType, path: &[&str], request: &Json) -> Result<Vec<(String, String)>, Code> {
        let all = pool().get_message_by_name("All").unwrap();
        let (mut inside, mut fields) = (all.clone(), Vec::new());
        for name in path {
            let field = inside.get_field_by_name(name).unwrap();
            if let Kind::Message(message) = field.kind() {
                inside = message;
            }
            fields.push(field);
        }
        let request = DynamicMessage::deserialize(all, request.clone()).unwrap();
        let condition = ConditionAsked { on: on.to_owned(), kind, value: RequestPath(fields) };
        conditions(&request, &[condition]).map_err(|status| status.code())
    }

    #[test]
    fn what_is_set_is_a_condition_and_what_is_not_is_none() {
        use FieldType::{Any, Bool, Date, Int, String};
        let one = |name: &str, value: &str| Ok(vec![(name.to_owned(), value.to_owned())]);
        let large = "SIZE_VERY_LARGE,VERY_LARGE,size_very_large,very_large,veryLarge,VeryLarge";
        for (on, kind, path, request, expected) in [
            ("age", Int, &["small"][..], json!({}), Ok(vec![])),
            ("age", Int, &["small"], json!({ "small": 0 }), Ok(vec![])),
            ("age.gte", Int, &["least"], json!({ "least": 0 }), one("age.gte", "0")),
            ("age", Int, &["maybe"], json!({ "maybe": "7" }), one("age", "7")),
            ("on", Bool, &["truth"], json!({ "truth": true }), one("on", "true")),
            (
                "at.lt",
                Date,
                &["time"],
                json!({ "time": "2026-01-01T00:00:00Z" }),
                one("at.lt", "2026-01-01T00:00:00Z"),
            ),
            ("name", String, &["text"], json!({ "text": "a,b" }), one("name", "a,b")),
            ("name", String, &["texts"], json!({ "texts": ["a", "b"] }), one("name.in", "a,b")),
            ("name", String, &["texts"], json!({ "texts": ["a,b", "c"] }), Err(Code::InvalidArgument)),
            ("name.in", String, &["text"], json!({ "text": "a" }), one("name.in", "a")),
            ("name", String, &["part", "part_id"], json!({ "part": { "partId": "p" } }), one("name", "p")),
            ("name", String, &["part", "part_id"], json!({}), Ok(vec![])),
            ("size", String, &["size"], json!({ "size": 1 }), one("size.in", large)),
            ("size", Any, &["size"], json!({ "size": 1 }), one("size.in", &format!("{large},1"))),
            ("size", Int, &["size"], json!({ "size": 1 }), one("size", "1")),
            ("size", Int, &["sizes"], json!({ "sizes": [0, 1] }), one("size", "1")),
            ("size", String, &["maybe_size"], json!({ "maybeSize": 0 }), Ok(vec![])),
            ("size", String, &["size"], json!({ "size": 9 }), Err(Code::InvalidArgument)),
        ] {
            assert_eq!(asks(on, kind, path, &request), expected, "{on} by {path:?} of {request}");
        }
    }
}

//! Between messages and JSON: what is asked for becomes parameters, what is answered becomes a message.

use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Map, Value};
use tonic::Status;

/// A request as JSON, its fields under the names they are declared by.
pub(super) fn asked(message: &DynamicMessage) -> Result<Map<String, Value>, Status> {
    match json(message)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(Status::internal("a request is an object")),
    }
}

/// A message as JSON.
pub(super) fn json(message: &DynamicMessage) -> Result<Value, Status> {
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    json.map_err(|error| Status::invalid_argument(error.to_string()))
}

/// An answer as a message.
pub(super) fn told(mut answer: Value, output: &MessageDescriptor) -> Result<DynamicMessage, Status> {
    name_by_text(&mut answer);
    DynamicMessage::deserialize_with_options(output.clone(), answer, &DeserializeOptions::new())
        .map_err(|error| Status::internal(error.to_string()))
}

/// Ids are text in messages, whatever the replica declares.
fn name_by_text(answer: &mut Value) {
    let Value::Object(fields) = answer else { return };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("id", id @ Value::Number(_)) => *id = id.to_string().into(),
            ("ids", Value::Array(ids)) => {
                ids.iter_mut().filter(|id| id.is_number()).for_each(|id| *id = id.to_string().into());
            }
            ("found" | "items" | "missing" | "changed" | "gone", Value::Array(entities)) => {
                entities.iter_mut().for_each(name_by_text);
            }
            _ => {}
        }
    }
}

/// A text among the fields of a request.
pub(super) fn text(fields: &Map<String, Value>, name: &str) -> String {
    fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Several texts among the fields of a request.
pub(super) fn texts(fields: &Map<String, Value>, name: &str) -> Vec<String> {
    let texts = fields.get(name).and_then(Value::as_array).into_iter().flatten();
    texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// The entries of a map, or the fields of a message, as parameters.
pub(super) fn parameters(fields: &Map<String, Value>, name: &str) -> Vec<(String, String)> {
    let entries = fields.get(name).and_then(Value::as_object).into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), as_text(value))).collect()
}

/// A value as it would stand in a URL.
pub(super) fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

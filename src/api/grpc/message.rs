//! Between messages that are known by their descriptors only and JSON.

use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;
use tonic::Status;

/// A message as JSON.
pub(super) fn json(message: &DynamicMessage) -> Result<Value, Status> {
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    json.map_err(|error| Status::invalid_argument(error.to_string()))
}

/// A value as it would stand in a URL.
pub(super) fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

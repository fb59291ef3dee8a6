//! References inside a description: `#/components/schemas/User`.

use serde_json::Value;

/// So many references may follow upon each other.
const MOST: usize = 16;

/// What a value stands for; itself, where it refers to nothing that is there.
pub(super) fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let mut value = value;
    for _ in 0..MOST {
        let target = value.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
        match target.and_then(|pointer| document.pointer(pointer)) {
            Some(found) => value = found,
            None => break,
        }
    }
    value
}

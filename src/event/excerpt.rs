//! What is kept of an event that is put aside: its declared parts, and nothing else of it.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{FieldPath, Notice};

/// Builds the excerpt of a notice: the attributes that identify it, and under `data` and `body` the values at
/// the declared paths. It is itself an event that [`super::Envelope::excerpt`] opens.
pub fn excerpt<'p>(notice: &Notice<'_>, paths: impl Iterator<Item = &'p FieldPath>) -> String {
    let mut kept = Map::new();
    for name in ["id", "type", "time"] {
        insert(&mut kept, &[name.to_owned()], notice.attribute(name));
    }
    for path in paths {
        let Some((head, tail)) = path.split_first() else { continue };
        let part = match head {
            "data" => notice.data(),
            "body" => notice.body(),
            attribute => {
                insert(&mut kept, &[attribute.to_owned()], notice.attribute(attribute));
                continue;
            }
        };
        let value = part.and_then(|part| super::find_at(part, &tail).ok().flatten());
        insert(&mut kept, path.names(), value);
    }
    Value::Object(kept).to_string()
}

/// Puts a value at a path, making the objects on the way. A number that JSON cannot carry exactly stays as text.
fn insert(into: &mut Map<String, Value>, path: &[String], value: Option<&RawValue>) {
    let (Some((name, rest)), Some(value)) = (path.split_first(), value) else { return };
    if rest.is_empty() {
        let kept =
            serde_json::from_str(value.get()).unwrap_or_else(|_| Value::String(value.get().to_owned()));
        into.insert(name.clone(), kept);
        return;
    }
    if let Value::Object(inner) = into.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())) {
        insert(inner, rest, Some(value));
    }
}

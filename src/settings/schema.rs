//! What a setting can be, as JSON Schema, for tools that check settings before anything runs.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::layer::DEFAULT;

/// An address and a port.
const ADDRESS: &str = r"(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}";

/// What values of a key look like.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Number(RangeInclusive<u64>),
    Duration,
    Words(Vec<String>),
    Address,
    AddressOrNone,
    Text,
    Paths,
    Secret,
}

impl Form {
    fn schema(&self) -> Value {
        match self {
            Self::Number(range) => {
                json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
            }
            Self::Duration => json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" }),
            Self::Words(words) => json!({ "type": "string", "enum": words }),
            Self::Address => json!({ "type": "string", "pattern": format!("^{ADDRESS}$") }),
            Self::AddressOrNone => json!({ "type": "string", "pattern": format!("^({ADDRESS})?$") }),
            Self::Text => json!({ "type": "string" }),
            Self::Paths => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Secret => json!({ "type": "string", "writeOnly": true }),
        }
    }
}

/// All keys by their sections, with what the defaults say of them. Whatever else is given is wrong.
pub(super) fn of(forms: &[(&'static str, Form)]) -> Value {
    let said = comments();
    let mut sections = BTreeMap::<&str, Map<String, Value>>::new();
    for (key, form) in forms {
        let Some((section, name)) = key.split_once('.') else { continue };
        let mut schema = form.schema();
        schema["description"] = said.get(*key).cloned().unwrap_or_default().into();
        sections.entry(section).or_default().insert(name.to_owned(), schema);
    }
    let closed = |properties: Value| json!({ "type": "object", "additionalProperties": false, "properties": properties });
    let sections = sections.into_iter().map(|(name, keys)| (name.to_owned(), closed(keys.into())));
    closed(sections.collect::<Map<String, Value>>().into())
}

/// What stands above each key, or above the keys that it follows at once.
fn comments() -> BTreeMap<String, String> {
    let (mut section, mut above, mut used) = ("", Vec::new(), false);
    let mut found = BTreeMap::new();
    for line in DEFAULT.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            if std::mem::take(&mut used) {
                above.clear();
            }
            above.push(comment.trim());
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            (section, used) = (name, false);
            above.clear();
        } else if let Some((key, _)) = line.split_once(" = ") {
            found.insert(format!("{section}.{key}"), above.join(" "));
            used = true;
        } else {
            above.clear();
        }
    }
    found
}

//! A record as JSON, with what makes a reader trust it: version, age, origin.

use bson::Bson;
use serde_json::{Map, Value, json};

use crate::event::{EntityId, Field, Plain, Protection, Version, plain_time};
use crate::replication::{Reading, State, Subscription};

/// An entity as a reader sees it: its id, its declared fields, and how fresh they are. What is encrypted is seen by those
/// who see it in clear; others see that it is not there.
pub(super) fn entity(of: &Subscription, reading: &Reading, clear: bool) -> Value {
    let fields: Map<String, Value> = of
        .selection
        .fields()
        .filter_map(|field| Some((field.name.clone(), told(of, field, reading, clear)?)))
        .collect();
    let mut shown = Map::new();
    shown.insert("id".into(), id(&reading.record.id));
    shown.insert("fields".into(), fields.into());
    if let Value::Object(freshness) = freshness(reading) {
        shown.extend(freshness);
    }
    shown.into()
}

/// What is told of a field. A record of an earlier generation may still hold in clear what is protected now.
fn told(of: &Subscription, field: &Field, reading: &Reading, clear: bool) -> Option<Value> {
    let (id, stored) = (&reading.record.id, reading.record.fields.get(&field.name)?);
    match field.protect {
        None => Some(value(stored)),
        Some(Protection::Hash | Protection::Mask) => {
            of.selection.kept_by_now(field, id, stored.clone()).ok().map(|kept| value(&kept))
        }
        Some(Protection::Encrypt) if !clear => None,
        Some(Protection::Encrypt) if *stored == Bson::Null => Some(Value::Null),
        Some(Protection::Encrypt) => {
            let told = of.selection.guard()?.reveal(&field.name, id, stored);
            if told.is_none() {
                tracing::warn!(
                    event = "field.sealed",
                    entity.r#type = %of.name,
                    field = field.name,
                    "what is encrypted cannot be read: its key is not among `protect.encrypt_keys`"
                );
            }
            told
        }
    }
}

/// Whether readers are told different things of the same record.
pub(super) fn differs(of: &Subscription) -> bool {
    of.selection.fields().any(|field| field.protect == Some(Protection::Encrypt))
}

/// How fresh what is held is, whatever that is.
pub(super) fn freshness(reading: &Reading) -> Value {
    let mut shown = json!({
        "version": reading.record.version().map(Version::get),
        "origin": &*reading.origin,
        "age_ms": u64::try_from(reading.age().as_millis()).unwrap_or(u64::MAX),
        "stale": reading.is_stale(),
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let (Some(shown), Some(value)) = (shown.as_object_mut(), value) {
            shown.insert(name.into(), value);
        }
    };
    add("epoch", Some(reading.record.epoch()).filter(|epoch| *epoch > 0).map(Value::from));
    add("event", reading.event.as_deref().map(Value::from));
    add("changed_at", reading.at.and_then(plain_time).map(Value::from));
    shown
}

/// What is known of an entity that is not live, in a word or two.
pub(super) fn state(reading: Option<&Reading>) -> Value {
    match reading.map(|reading| reading.record.state) {
        None => json!({ "state": "absent" }),
        Some(State::Gone(why)) => json!({ "state": "gone", "why": why.as_str() }),
        Some(state) => json!({ "state": state.as_str() }),
    }
}

/// What tells one state of a record, as it is seen, from any other.
pub(super) fn tag(reading: &Reading, clear: bool) -> String {
    let version = reading.record.version().map_or("-".into(), |version| version.to_string());
    let seen = if clear { ".clear" } else { "" };
    format!("\"{}.{version}.{}{seen}\"", reading.record.epoch(), reading.record.rev)
}

/// An id as JSON: a number where the replica declares numbers, else text.
pub(super) fn id(id: &EntityId) -> Value {
    match id {
        EntityId::Int(number) => (*number).into(),
        other => other.to_string().into(),
    }
}

/// A stored value as JSON, as [`Plain`] has it.
pub fn value(stored: &Bson) -> Value {
    serde_json::to_value(Plain(stored)).unwrap_or_default()
}

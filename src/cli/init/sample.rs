//! Sample events, and where in them things are.

use serde_json::{Map, Value};

use super::word::folded;

/// Under which names types of events stand, the surest first.
const TYPES: [&str; 9] =
    ["type", "eventtype", "eventname", "messagetype", "event", "action", "kind", "subject", "name"];
/// Under which names events have ids of their own, beside `id`.
const IDS: [&str; 4] = ["eventid", "messageid", "uuid", "guid"];
const TIMES: [&str; 11] = [
    "time",
    "timestamp",
    "occurredat",
    "occurredon",
    "eventtime",
    "publishedat",
    "emittedat",
    "date",
    "at",
    "ts",
    "createdat",
];
const DATA: [&str; 9] =
    ["data", "payload", "body", "detail", "content", "entity", "object", "resource", "after"];
/// What lies beside the data, and is none.
const BESIDE: [&str; 8] = ["meta", "metadata", "header", "headers", "context", "trace", "source", "before"];

/// One event that was seen, or that a description promises.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// The whole.
    pub(super) event: Value,
    /// What it is called where it was described, which may be its type.
    pub(super) name: Option<String>,
}

/// How events are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Envelope {
    CloudEvents,
    /// The names of id, type and time where there are such, and the path of the data, empty for the whole.
    Json {
        id: Option<String>,
        kind: Option<String>,
        time: Option<String>,
        data: Vec<String>,
    },
}

impl Envelope {
    /// Guesses it from all samples together.
    pub(super) fn guess(samples: &[Sample]) -> Self {
        let events: Vec<&Map<String, Value>> =
            samples.iter().filter_map(|sample| sample.event.as_object()).collect();
        if events.iter().all(|event| event.contains_key("specversion")) {
            return Self::CloudEvents;
        }
        let data = data(&events);
        let is_bare = data.is_empty();
        let kind = named(&events, &TYPES, Value::is_string);
        let mut id = named(&events, &IDS, Value::is_string);
        if !is_bare {
            id = named(&events, &["id"], Value::is_string).or(id);
        }
        let is_time = |value: &Value| value.is_number() || value.as_str().is_some_and(is_time);
        let time = named(&events, &TIMES, is_time);
        Self::Json { id, kind, time, data }
    }

    /// An event's type.
    pub(super) fn kind(&self, sample: &Sample) -> Option<String> {
        let kind = match self {
            Self::CloudEvents => Some("type"),
            Self::Json { kind, .. } => kind.as_deref(),
        };
        let told = kind.and_then(|name| sample.event.get(name)).and_then(Value::as_str);
        told.map(str::to_owned).or_else(|| sample.name.clone())
    }

    /// What an event is about.
    pub(super) fn data<'s>(&self, sample: &'s Sample) -> Option<&'s Value> {
        match self {
            Self::CloudEvents => sample.event.get("data"),
            Self::Json { data, .. } => data.iter().try_fold(&sample.event, |value, name| value.get(name)),
        }
    }

    /// Whether a name at the top of what an event is about belongs to the envelope.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Json { id, kind, time, data } if data.is_empty() => {
                [id, kind, time].into_iter().flatten().any(|known| known == name)
            }
            Self::CloudEvents | Self::Json { .. } => false,
        }
    }
}

/// The path of the data: an object under a name that says so, or the only one there is; and on, as long as there is
/// nothing beside it.
fn data(events: &[&Map<String, Value>]) -> Vec<String> {
    let objects =
        |name: &str| events.iter().filter(|event| event.get(name).is_some_and(Value::is_object)).count();
    let known = named_in(events, &DATA, |name| objects(name) * 2 > events.len());
    let others = || {
        let names = events.first().into_iter().flat_map(|event| event.keys());
        let is_data =
            |name: &&String| objects(name) == events.len() && !BESIDE.contains(&folded(name).as_str());
        let mut found = names.filter(is_data);
        let (first, second) = (found.next()?, found.next());
        // Where anything else stands beside it, it is a part of the entity.
        let beside = events.iter().flat_map(|event| event.keys()).filter(|name| *name != first);
        (second.is_none() && beside.into_iter().all(|name| is_of_envelope(name))).then(|| first.clone())
    };
    let mut path: Vec<String> = known.or_else(others).into_iter().collect();
    while !path.is_empty() && path.len() < 4 {
        let inner = events.iter().filter_map(|event| {
            let first = event.get(&path[0])?;
            path[1..].iter().try_fold(first, |value, name| value.get(name))?.as_object()
        });
        let mut only = inner.map(|data| {
            let mut entries = data.iter();
            match (entries.next(), entries.next()) {
                (Some((name, Value::Object(_))), None) => Some(name.clone()),
                _ => None,
            }
        });
        match only.next().flatten() {
            Some(name) if only.all(|other| other.as_deref() == Some(name.as_str())) => path.push(name),
            _ => break,
        }
    }
    path
}

/// Whether a name is one that envelopes use.
fn is_of_envelope(name: &str) -> bool {
    let name = folded(name);
    let names = TYPES.iter().chain(&IDS).chain(&TIMES).chain(&BESIDE);
    name == "id" || names.filter(|known| **known != "name").any(|known| *known == name)
}

/// The first of these names under which most events have such a value.
fn named(events: &[&Map<String, Value>], names: &[&str], is_one: impl Fn(&Value) -> bool) -> Option<String> {
    let have = |name: &str| events.iter().filter(|event| event.get(name).is_some_and(&is_one)).count();
    named_in(events, names, |name| have(name) * 2 > events.len())
}

fn named_in(events: &[&Map<String, Value>], names: &[&str], fits: impl Fn(&str) -> bool) -> Option<String> {
    let written = |wanted: &&str| {
        let all = events.iter().flat_map(|event| event.keys());
        all.filter(|name| folded(name) == **wanted).find(|name| fits(name)).cloned()
    };
    names.iter().find_map(written)
}

/// Whether a text is a time, as RFC 3339 writes it.
pub(super) fn is_time(text: &str) -> bool {
    text.len() >= 20 && text.parse::<jiff::Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn guess(events: impl IntoIterator<Item = Value>) -> Envelope {
        let sample = |event| Sample { event, name: None };
        Envelope::guess(&events.into_iter().map(sample).collect::<Vec<_>>())
    }

    fn json_of(id: Option<&str>, kind: Option<&str>, time: Option<&str>, data: &[&str]) -> Envelope {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let data = data.iter().map(|name| (*name).to_owned()).collect();
        Envelope::Json { id: owned(id), kind: owned(kind), time: owned(time), data }
    }

    #[test]
    fn an_envelope_is_guessed_from_what_is_there() {
        let cloud = json!({ "specversion": "1.0", "id": "1", "type": "t", "source": "s", "data": {} });
        assert_eq!(guess([cloud]), Envelope::CloudEvents);
        let plain = json!({ "id": "1", "type": "t", "occurredAt": "2026-01-01T00:00:00Z", "data": { "id": 1, "a": 2 } });
        assert_eq!(guess([plain]), json_of(Some("id"), Some("type"), Some("occurredAt"), &["data"]));
        let named = json!({ "event_id": "1", "eventType": "t", "ts": 1, "payload": { "user": { "id": 1 } } });
        assert_eq!(
            guess([named]),
            json_of(Some("event_id"), Some("eventType"), Some("ts"), &["payload", "user"])
        );
        let bare = json!({ "id": "u1", "type": "user.updated", "version": 1, "address": { "city": "x" } });
        assert_eq!(guess([bare]), json_of(None, Some("type"), None, &[]));
        let other = json!({ "type": "t", "user": { "id": 1, "a": 2 }, "metadata": { "x": 1 } });
        assert_eq!(guess([other]), json_of(None, Some("type"), None, &["user"]));
    }
}

//! What is held of an entity, as it is told: in rows for people, and as JSON.

use serde_json::{Map, Value, json};

use super::super::table::{time, time_or_none};
use super::shown;
use crate::event::Version;
use crate::replication::{Reading, State};

/// In rows.
pub(super) fn rows(reading: &Reading, values: bool) -> Vec<(&'static str, String)> {
    let record = &reading.record;
    let reason =
        if let State::Gone(why) = record.state { format!(" ({})", why.as_str()) } else { String::new() };
    let version = record.version().map(|version| format!(", version {version}")).unwrap_or_default();
    let held = format!("{}{reason}{version}, epoch {}", record.state.as_str(), record.epoch());
    let mut rows = vec![("held", held), ("written", time_or_none(Some(record.rev / 1000)))];
    let origin = match (&*reading.origin, &reading.event) {
        ("", _) => "nothing yet".to_owned(),
        ("event", Some(event)) => format!("event {event}, of {}", time_or_none(reading.at)),
        ("event", None) => format!("an event without an id, of {}", time_or_none(reading.at)),
        ("fetch", _) => "the owner's answer".to_owned(),
        (other, _) => other.to_owned(),
    };
    rows.push(("brought by", origin));
    if record.asked.is_some() {
        rows.push(("owner asked", time_or_none(record.asked.map(|asked| asked / 1000))));
    }
    rows.push(("fields", fields_row(reading, values)));
    rows
}

fn fields_row(reading: &Reading, values: bool) -> String {
    let fields = &reading.record.fields;
    let told = fields.iter().map(
        |(name, value)| {
            if values { format!("{name}: {}", shown(value)) } else { name.clone() }
        },
    );
    let told = told.collect::<Vec<_>>().join(", ");
    if told.is_empty() { "none".to_owned() } else { told }
}

/// As JSON.
pub(super) fn value(reading: &Reading, values: bool) -> Value {
    let record = &reading.record;
    let fields: Value = if values {
        record.fields.iter().map(|(name, value)| (name.clone(), shown(value))).collect::<Map<_, _>>().into()
    } else {
        record.fields.keys().map(String::as_str).collect()
    };
    let why = if let State::Gone(why) = record.state { Some(why.as_str()) } else { None };
    let micros = |micros: Option<i64>| micros.and_then(|micros| time(micros / 1000));
    let patched = record.patched.iter().map(|(name, version)| (name.clone(), version.get().into()));
    json!({
        "state": record.state.as_str(),
        "reason": why,
        "version": record.version().map(Version::get),
        "epoch": record.epoch(),
        "generation": record.shape,
        "rev": record.rev,
        "writtenAt": micros(Some(record.rev)),
        "origin": &*reading.origin,
        "event": reading.event.as_deref(),
        "changedAt": reading.at.and_then(time),
        "batch": record.batch,
        "owes": record.owes,
        "need": record.need.map(Version::get),
        "due": record.due.and_then(time),
        "claimed": record.claim.is_some(),
        "asked": micros(record.asked),
        "since": micros(record.since),
        "tries": record.tries,
        "retiring": record.marked,
        "lacks": record.lacks,
        "patched": patched.collect::<Map<String, Value>>(),
        "fields": fields,
    })
}

//! CloudEvents, good and broken, in both modes and with both prefixes.

use bson::doc;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::Expected::{self, Ignored, Parked, Stored};
use super::{Case, UNWANTED, VALUE, headers};

const STRUCTURED: &str = "application/cloudevents+json";

pub(super) fn cases() -> Vec<Case> {
    [structured_mode(), no_event(), binary_mode()].into_iter().flatten().collect()
}

fn stored(id: &str) -> Expected {
    Stored("partners", id.into(), doc! { "name": VALUE })
}

fn data(id: &str) -> String {
    format!(r#"{{"id":"{id}","version":1,"name":"{VALUE}","x":"{UNWANTED}"}}"#)
}

fn case(
    name: &str,
    content_type: &'static str,
    table: FieldTable,
    body: impl Into<Vec<u8>>,
    expected: Expected,
) -> Case {
    let properties = BasicProperties::default().with_content_type(content_type.into()).with_headers(table);
    Case {
        name: format!("CloudEvents: {name}"),
        exchange: "partners",
        body: body.into(),
        properties,
        expected,
    }
}

fn structured(name: &str, body: String, expected: Expected) -> Case {
    case(name, STRUCTURED, FieldTable::default(), body, expected)
}

/// A whole event, with this before its data.
fn event(id: &str, more: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"e","source":"/p","type":"partner.updated",{more}"data":{}}}"#,
        data(id)
    )
}

fn structured_mode() -> Vec<Case> {
    let many: String = (0..60_000).map(|at| format!("\"x{at}\":1,")).collect();
    vec![
        structured("structured", event("c1", ""), stored("c1")),
        structured(
            "structured, with extensions",
            event("c2", &format!("\"secret\":\"{UNWANTED}\",")),
            stored("c2"),
        ),
        structured("sixty thousand extensions", event("c3", &many), stored("c3")),
        structured(
            "an attribute twice",
            event("c4", "\"type\":\"partner.deleted\","),
            Parked("duplicate_key"),
        ),
        structured("data twice", event("c5", "\"data\":{},"), Parked("duplicate_key")),
        structured(
            "no specversion",
            format!(r#"{{"id":"e","type":"partner.updated","data":{}}}"#, data("c6")),
            Parked("no_type"),
        ),
        structured(
            "no type",
            format!(r#"{{"specversion":"1.0","id":"e","data":{}}}"#, data("c7")),
            Parked("no_type"),
        ),
        structured(
            "a type of null",
            format!(r#"{{"specversion":"1.0","type":null,"data":{}}}"#, data("c8")),
            Parked("no_type"),
        ),
        structured(
            "another type",
            format!(r#"{{"specversion":"1.0","type":"partner.sang","data":{}}}"#, data("c9")),
            Ignored,
        ),
        structured("no data", r#"{"specversion":"1.0","type":"partner.updated"}"#.into(), Parked("no_id")),
        structured(
            "binary data",
            r#"{"specversion":"1.0","type":"partner.updated","data_base64":"AA=="}"#.into(),
            Parked("not_json"),
        ),
    ]
}

fn no_event() -> Vec<Case> {
    vec![
        structured("a text as event", format!("\"{UNWANTED}\""), Parked("not_json")),
        structured("a number as event", "4711".into(), Parked("not_json")),
        structured("an array as event", format!("[{}]", event("c10", "")), Parked("not_json")),
        structured("an empty event", String::new(), Parked("not_json")),
        case(
            "a batch",
            "application/cloudevents-batch+json",
            FieldTable::default(),
            format!("[{}]", event("c11", "")),
            Parked("not_json"),
        ),
        case(
            "in capitals",
            "Application/CloudEvents+JSON; charset=utf-8",
            FieldTable::default(),
            event("c12", ""),
            stored("c12"),
        ),
        case(
            "structured, but not said so",
            "application/json",
            FieldTable::default(),
            event("c13", ""),
            Parked("no_type"),
        ),
    ]
}

fn binary_mode() -> Vec<Case> {
    let attributes = |prefix: &str, pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, &str)> =
            pairs.iter().map(|(name, value)| (format!("{prefix}{name}"), *value)).collect();
        headers(pairs.iter().map(|(name, value)| (name.as_str(), *value)))
    };
    let good = [("specversion", "1.0"), ("type", "partner.updated"), ("id", "e"), ("source", "/p")];
    let binary =
        |name: &str, table, body: String, expected| case(name, "application/json", table, body, expected);
    let mut both = attributes("cloudEvents_", &good);
    both.insert("cloudEvents:type".into(), AMQPValue::LongString("partner.sang".into()));
    let mut unreadable = attributes("cloudEvents_", &good);
    unreadable.insert("cloudEvents_type".into(), AMQPValue::LongString(b"\xFF".as_slice().into()));
    let mut secret = attributes("cloudEvents_", &good);
    secret.insert("cloudEvents_secret".into(), AMQPValue::LongString(UNWANTED.into()));
    vec![
        binary("binary, cloudEvents_", attributes("cloudEvents_", &good), data("d1"), stored("d1")),
        binary("binary, cloudEvents:", attributes("cloudEvents:", &good), data("d2"), stored("d2")),
        binary("binary, both prefixes at odds", both, data("d3"), Parked("duplicate_key")),
        binary(
            "binary, no specversion",
            attributes("cloudEvents_", &good[1..]),
            data("d4"),
            Parked("no_type"),
        ),
        binary("binary, no type", attributes("cloudEvents_", &good[..1]), data("d5"), Parked("no_type")),
        binary("binary, an unreadable type", unreadable, data("d6"), Parked("no_type")),
        binary("binary, another prefix", attributes("ce-", &good), data("d7"), Parked("no_type")),
        binary("binary, no body", attributes("cloudEvents_", &good), " ".into(), Parked("no_id")),
        binary(
            "binary, no JSON",
            attributes("cloudEvents_", &good),
            format!("{UNWANTED} d8"),
            Parked("not_json"),
        ),
        binary(
            "binary, with an extension, unreadable",
            secret,
            r#"{"id":9,"version":1}"#.into(),
            Parked("bad_id"),
        ),
        binary("binary, no headers", FieldTable::default(), data("d9"), Parked("no_type")),
    ]
}

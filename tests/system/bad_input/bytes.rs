//! Bodies that are no event, or one of a size and depth that nobody should send.

use bson::doc;
use lapin::types::{AMQPValue, FieldTable};

use super::Expected::{Ignored, Parked, Stored};
use super::{Case, UNWANTED, VALUE, headers, json, raw};

pub(super) fn cases() -> Vec<Case> {
    [no_json(), no_event(), sizes(), wrappings()].into_iter().flatten().collect()
}

fn no_json() -> Vec<Case> {
    let good =
        format!(r#"{{"id":"e","type":"user.updated","data":{{"id":"b","version":1,"name":"{UNWANTED}"}}}}"#);
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        raw("an empty body", "", Parked("not_json")),
        raw("blanks only", " \r\n\t ", Parked("not_json")),
        raw("plain words", format!("hello {UNWANTED}"), Parked("not_json")),
        raw("XML", format!("<user><name>{UNWANTED}</name></user>"), Parked("not_json")),
        raw("a form", format!("type=user.updated&name={UNWANTED}"), Parked("not_json")),
        raw("truncated in a name", &good.as_bytes()[..good.len() - 6], Parked("not_json")),
        raw("truncated by one byte", &good.as_bytes()[..good.len() - 1], Parked("not_json")),
        raw("two events in one body", format!("{good}{good}"), Parked("not_json")),
        raw("a byte order mark", [b"\xEF\xBB\xBF", good.as_bytes()].concat(), Parked("not_json")),
        raw("UTF-16", utf16, Parked("not_json")),
        raw(
            "Latin-1",
            b"{\"type\":\"user.updated\",\"data\":{\"id\":\"J\xE4rvi\"}}".as_slice(),
            Parked("not_json"),
        ),
        raw("an overlong encoding", b"{\"type\":\"\xC0\xAF\"}".as_slice(), Parked("not_json")),
        raw(
            "gzip",
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00".as_slice(),
            Parked("not_json"),
        ),
        raw("zeros", vec![0; 64], Parked("not_json")),
        raw("single quotes", format!("{{'type': 'user.updated', 'x': '{UNWANTED}'}}"), Parked("not_json")),
        raw(
            "a comma too much",
            format!(r#"{{"type":"user.updated","x":"{UNWANTED}",}}"#),
            Parked("not_json"),
        ),
        raw("a comment", format!("{good} // {UNWANTED}"), Parked("not_json")),
        raw(
            "a raw control character",
            format!("{{\"type\":\"user.updated\",\"x\":\"{UNWANTED}\n\"}}"),
            Parked("not_json"),
        ),
        json(
            "NaN where nobody looks",
            "user.updated",
            r#"{"id":"nan","version":1,"x":NaN}"#,
            Parked("not_json"),
        ),
        json(
            "Infinity in a field",
            "user.updated",
            r#"{"id":"inf","version":1,"amount":Infinity}"#,
            Parked("not_json"),
        ),
    ]
}

fn no_event() -> Vec<Case> {
    let kind = |kind: &str| {
        format!(r#"{{"id":"e","type":{kind},"data":{{"id":"t","version":1,"name":"{UNWANTED}"}}}}"#)
    };
    vec![
        raw("an array of events", format!("[{}]", kind("\"user.updated\"")), Parked("no_type")),
        raw("a text", format!("\"{UNWANTED}\""), Parked("no_type")),
        raw("a number", "42", Parked("no_type")),
        raw("null", "null", Parked("no_type")),
        raw("an empty object", "{}", Parked("no_type")),
        raw("no type", format!(r#"{{"id":"e","data":{{"id":"t","name":"{UNWANTED}"}}}}"#), Parked("no_type")),
        raw("a type of null", kind("null"), Parked("no_type")),
        raw("a type that is a number", kind("7"), Parked("no_type")),
        raw("a type that is an object", kind("{\"user.updated\": 1}"), Parked("no_type")),
        raw(
            "a type that stands twice",
            kind("\"user.updated\",\"type\":\"user.deleted\""),
            Parked("duplicate_key"),
        ),
        raw("data that stand twice", kind("\"user.updated\",\"data\":{}"), Parked("duplicate_key")),
        raw("a type that nobody knows", kind("\"user.exploded\""), Ignored),
        raw("an empty type", kind("\"\""), Ignored),
        raw("a type in capitals", kind("\"USER.UPDATED\""), Ignored),
        raw("a type with NUL", kind("\"user.updated\\u0000\""), Ignored),
        json("data that are text", "user.updated", &format!("\"{UNWANTED}\""), Parked("no_id")),
        json("data that are an array", "user.updated", r#"[{"id":"x","version":1}]"#, Parked("no_id")),
        json("data that are null", "user.updated", "null", Parked("no_id")),
        raw("no data", format!(r#"{{"id":"e","type":"user.updated","x":"{UNWANTED}"}}"#), Parked("no_id")),
    ]
}

fn sizes() -> Vec<Case> {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let user = |name: &str, id: &str, more: String, expected| {
        json(name, "user.updated", &format!(r#"{{"id":"{id}","version":1,{more}}}"#), expected)
    };
    let members: String = (0..100_000).map(|at| format!("\"k{at}\":0,")).collect();
    vec![
        user("20 MB", "huge", format!("\"x\":\"{}\"", "x".repeat(20 << 20)), Parked("too_large")),
        user(
            "ten thousand levels where nobody looks",
            "deep-1",
            format!("\"x\":{}", nested(10_000)),
            Stored("users", "deep-1".into(), doc! {}),
        ),
        user(
            "a million levels where nobody looks",
            "deep-2",
            format!("\"x\":{}", nested(1_000_000)),
            Stored("users", "deep-2".into(), doc! {}),
        ),
        user(
            "ten thousand arrays in a field",
            "deep-3",
            format!("\"name\":{}", nested(10_000)),
            Parked("too_deep"),
        ),
        user(
            "ten thousand objects in a field",
            "deep-4",
            format!("\"profile\":{}", objects(10_000)),
            Parked("too_deep"),
        ),
        user("one level too many", "deep-5", format!("\"name\":{}", nested(33)), Parked("too_deep")),
        user(
            "a field of 1 MB",
            "long",
            format!("\"name\":\"{}\"", "x".repeat(1 << 20)),
            Stored("users", "long".into(), doc! { "name": "x".repeat(1 << 20) }),
        ),
        user(
            "a hundred thousand keys where nobody looks",
            "keys",
            format!("{members}\"name\":\"n\""),
            Stored("users", "keys".into(), doc! { "name": "n" }),
        ),
        user(
            "a field that no document of MongoDB can hold",
            "fat-1",
            format!("\"tags\":[1{}]", ",1".repeat(1_080_000)),
            Parked("refused"),
        ),
        user(
            "a wish for another",
            "deep-6",
            format!("\"name\":{}", objects(20)),
            Stored("users", "deep-6".into(), doc! {}),
        ),
    ]
}

fn wrappings() -> Vec<Case> {
    let user = |name: &str, id: &str| {
        json(
            name,
            "user.updated",
            &format!(r#"{{"id":"{id}","version":1,"name":"{VALUE}"}}"#),
            Stored("users", id.into(), doc! { "name": VALUE }),
        )
    };
    let typed = |id: &str, content_type: &'static str| {
        let mut case = user(&format!("content type `{content_type}`"), id);
        case.properties = case.properties.with_content_type(content_type.into());
        case
    };
    let headed = |mut case: Case, table: FieldTable| {
        case.properties = case.properties.with_headers(table);
        case
    };
    let many: Vec<String> = (0..2_000).map(|at| format!("x-{at}")).collect();
    let long = UNWANTED.repeat(4_000);
    let mut nested = headers([("plain", UNWANTED)]);
    nested.insert("nested".into(), AMQPValue::FieldTable(headers([("inner", UNWANTED)])));
    nested.insert("broken".into(), AMQPValue::LongString(b"\xFF\xFE".as_slice().into()));
    let bad = |name: &str| json(name, "user.updated", r#"{"id":7,"version":1}"#, Parked("bad_id"));
    vec![
        typed("type-1", "text/plain"),
        typed("type-2", "application/x-protobuf"),
        typed("type-3", "application/cloudevents+json"),
        typed("type-4", ""),
        headed(
            user("two thousand headers", "head-1"),
            headers(many.iter().map(|name| (name.as_str(), UNWANTED))),
        ),
        headed(user("a header of 60 KB", "head-2"), headers([("x-long", long.as_str())])),
        headed(user("headers of every kind", "head-3"), nested.clone()),
        headed(bad("unreadable, with headers of every kind"), nested),
        headed(
            bad("unreadable, with two thousand headers"),
            headers(many.iter().map(|name| (name.as_str(), UNWANTED))),
        ),
        headed(
            bad("unreadable, with a header named like an operator"),
            headers([("$set", UNWANTED), ("a.b", UNWANTED), ("", UNWANTED), ("_id", UNWANTED)]),
        ),
        headed(bad("unreadable, with NUL in the name of a header"), headers([("a\0b", UNWANTED)])),
        headed(
            bad("unreadable, with a header that counts deaths"),
            headers([("x-death", "many"), ("traceparent", "00-zz")]),
        ),
    ]
}

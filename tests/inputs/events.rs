//! Ids, versions, times, types and conditions of events.

use nearcopy::event::{Change, Headers, Message};

use super::Case;
use super::declared::{DECLARED, TIME_OF_DAY, read};
use super::fields::shown;

/// A replica, and an event without its braces; what it means to it.
pub(crate) const CASES: &[Case] = &[
    // Ids that are text.
    ("users", r#""type":"delete","data":{"id":"a","version":1}"#, "a at 1: deleted"),
    ("users", r#""type":"delete","data":{"version":1}"#, "no_id"),
    ("users", r#""type":"delete","data":{"id":null,"version":1}"#, "bad_id"),
    ("users", r#""type":"delete","data":{"id":"","version":1}"#, "bad_id"),
    ("users", r#""type":"delete","data":{"id":1,"version":1}"#, "bad_id"),
    ("users", r#""type":"delete","data":{"id":{"$gt":""},"version":1}"#, "bad_id"),
    ("users", r#""type":"delete","data":{"id":"\u0000","version":1}"#, "bad_id"),
    ("users", r#""type":"delete","data":{"id":"\udfff","version":1}"#, "bad_id"),
    ("users", r#""type":"delete","data":{"ID":"a","version":1}"#, "no_id"),
    ("users", r#""type":"delete","data":{" id":"a","version":1}"#, "no_id"),
    ("users", r#""type":"delete","data":{"id":"a","id":"a","version":1}"#, "duplicate_key"),
    ("users", r#""type":"delete","data":{"id":" a ","version":1}"#, " a  at 1: deleted"),
    ("users", r#""type":"delete","data":{"id":"A\u030a","version":1}"#, "A\u{30a} at 1: deleted"),
    ("users", r#""type":"delete","data":[{"id":"a","version":1}]"#, "no_id"),
    ("users", r#""type":"delete","data":"{\"id\":\"a\",\"version\":1}""#, "no_id"),
    ("users", r#""type":"delete","Data":{"id":"a","version":1}"#, "no_id"),
    ("users", r#""type":"delete","id":"a","version":1"#, "no_id"),
    // Ids that are whole numbers.
    (
        "adults",
        r#""type":"delete","data":{"id":1,"at":"2026-01-01T00:00:00Z"}"#,
        "1 at 1767225600000000: deleted",
    ),
    ("adults", r#""type":"delete","data":{"id":"1","at":"2026-01-01T00:00:00Z"}"#, "bad_id"),
    ("adults", r#""type":"delete","data":{"id":1.0,"at":"2026-01-01T00:00:00Z"}"#, "bad_id"),
    ("adults", r#""type":"delete","data":{"id":1e0,"at":"2026-01-01T00:00:00Z"}"#, "bad_id"),
    ("adults", r#""type":"delete","data":{"id":-0,"at":"2026-01-01T00:00:00Z"}"#, "bad_id"),
    ("adults", r#""type":"delete","data":{"id":9223372036854775808,"at":"2026-01-01T00:00:00Z"}"#, "bad_id"),
    ("adults", r#""type":"delete","data":{"id":true,"at":"2026-01-01T00:00:00Z"}"#, "bad_id"),
    ("adults", r#""type":"delete","data":{"id":[1],"at":"2026-01-01T00:00:00Z"}"#, "bad_id"),
    // Versions that are numbers.
    ("users", r#""type":"upsert","data":{"id":"a"}"#, "no_version"),
    ("users", r#""type":"upsert","data":{"id":"a","version":null}"#, "no_version"),
    ("users", r#""type":"upsert","data":{"id":"a","Version":1}"#, "no_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":""}"#, "bad_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":"1e3"}"#, "bad_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":"1 "}"#, "bad_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":"1\u0000"}"#, "bad_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":"9223372036854775808"}"#, "bad_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":-1}"#, "bad_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":1.0}"#, "bad_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":false}"#, "bad_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":[1]}"#, "bad_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":{"$numberLong":"1"}}"#, "bad_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":"2026-01-01T00:00:00Z"}"#, "bad_version"),
    ("users", r#""type":"delete","data":{"id":"a","version":1,"version":1}"#, "duplicate_key"),
    (
        "users",
        r#""type":"delete","data":{"id":"a","version":"0000000000000000000000000000007"}"#,
        "a at 7: deleted",
    ),
    ("users", r#""type":"delete","data":{"id":"a"}"#, "a at none: to be asked"),
    ("users", r#""type":"refresh","data":{"id":"a","version":-1}"#, "bad_version"),
    // Versions that are times.
    (
        "adults",
        r#""type":"delete","data":{"id":1,"at":"2026-01-01T00:00:00.0000019Z"}"#,
        "1 at 1767225600000001: deleted",
    ),
    ("adults", r#""type":"delete","data":{"id":1,"at":"2026-01-01T00:00:00"}"#, "bad_version"),
    ("adults", r#""type":"delete","data":{"id":1,"at":"2026-01-01"}"#, "bad_version"),
    ("adults", r#""type":"delete","data":{"id":1,"at":"Thu, 01 Jan 2026 00:00:00 GMT"}"#, "bad_version"),
    ("adults", r#""type":"delete","data":{"id":1,"at":"2026-06-31T00:00:00Z"}"#, "bad_version"),
    ("adults", r#""type":"delete","data":{"id":1,"at":"2026-01-01T24:00:00Z"}"#, "bad_version"),
    ("adults", r#""type":"delete","data":{"id":1,"at":1767225600}"#, "bad_version"),
    ("adults", r#""type":"delete","data":{"id":1,"at":"1767225600"}"#, "bad_version"),
    ("adults", r#""type":"delete","data":{"id":1,"at":""}"#, "bad_version"),
    ("adults", r#""type":"delete","data":{"id":1,"at":{"$date":0}}"#, "bad_version"),
    ("adults", r#""type":"delete","data":{"id":1,"at":"9999-12-31T23:59:59Z+1"}"#, "bad_version"),
    // Conditions.
    (
        "adults",
        r#""type":"upsert","data":{"id":1,"at":"2026-01-01T00:00:00Z","age":18,"roles":["buyer"],"country":"DE"}"#,
        "1 at 1767225600000000: {}",
    ),
    (
        "adults",
        r#""type":"upsert","data":{"id":1,"at":"2026-01-01T00:00:00Z"}"#,
        "1 at 1767225600000000: out",
    ),
    (
        "adults",
        r#""type":"upsert","data":{"id":1,"at":"2026-01-01T00:00:00Z","age":17,"roles":["buyer"],"country":"DE"}"#,
        "1 at 1767225600000000: out",
    ),
    (
        "adults",
        r#""type":"upsert","data":{"id":1,"at":"2026-01-01T00:00:00Z","age":"18","roles":["buyer"],"country":"DE"}"#,
        "bad_condition",
    ),
    (
        "adults",
        r#""type":"upsert","data":{"id":1,"at":"2026-01-01T00:00:00Z","age":18,"roles":"buyer","country":"DE"}"#,
        "bad_condition",
    ),
    (
        "adults",
        r#""type":"upsert","data":{"id":1,"at":"2026-01-01T00:00:00Z","age":18,"roles":null,"country":"DE"}"#,
        "bad_condition",
    ),
    (
        "adults",
        r#""type":"upsert","data":{"id":1,"at":"2026-01-01T00:00:00Z","age":18,"age":1,"roles":["buyer"],"country":"DE"}"#,
        "duplicate_key",
    ),
    (
        "adults",
        r#""type":"upsert","data":{"id":1,"at":"2026-01-01T00:00:00Z","age":1e400,"roles":["buyer"],"country":"DE"}"#,
        "not_json",
    ),
    (
        "adults",
        r#""type":"upsert","data":{"id":1,"at":"2026-01-01T00:00:00Z","age":18,"roles":["buyer"],"country":{"$ne":"US"}}"#,
        "1 at 1767225600000000: out",
    ),
    // An id in the body.
    (
        "tenants",
        r#""type":"upsert","tenant":"t","data":{"version":1,"string":"x"}"#,
        r#"t at 1: {"name":"x"}"#,
    ),
    ("tenants", r#""type":"upsert","data":{"version":1,"tenant":"t"}"#, "no_id"),
    ("tenants", r#""type":"upsert","tenant":"t","tenant":"u","data":{"version":1}"#, "duplicate_key"),
    ("tenants", r#""type":"delete","tenant":"t","data":{}"#, "no_version"),
    ("tenants", r#""type":"delete","tenant":"t""#, "no_version"),
    // Types, and what is no event.
    ("users", r#""data":{"id":"a","version":1}"#, "no_type"),
    ("users", r#""type":"","data":{"id":"a","version":1}"#, "nothing"),
    ("users", r#""type":" upsert","data":{"id":"a","version":1}"#, "nothing"),
    ("users", r#""type":"upsert\n","data":{"id":"a","version":1}"#, "nothing"),
    ("users", r#""type":"Upsert","data":{"id":"a","version":1}"#, "nothing"),
    ("users", r#""type":["upsert"],"data":{"id":"a","version":1}"#, "no_type"),
    ("users", r#""type":"\ud800","data":{"id":"a","version":1}"#, "no_type"),
    ("users", r#""type":"\u0075psert","data":{"id":"a","version":1}"#, r#"a at 1: {"string":"none"}"#),
    ("users", r#""type":"upsert","type":"upsert","data":{"id":"a","version":1}"#, "duplicate_key"),
    ("users", r#""type":"upsert","data":{"id":"a","version":1},"data":{}"#, "duplicate_key"),
    ("users", r#""type":"upsert","data":{"id":"a","version":1},"#, "not_json"),
    ("users", r#""type":"upsert","data":{"id":"a","version":1}}"#, "not_json"),
    ("users", r#""type":"upsert","data":{"id":"a","version":1},"x":"#, "not_json"),
    ("users", r#""type":"upsert" "data":{"id":"a","version":1}"#, "not_json"),
    ("users", "\"type\":\"upsert\",\"x\":\"\t\"", "not_json"),
    (
        "users",
        "\"type\":\"upsert\",\"x\":\"\u{7f}\",\"data\":{\"id\":\"a\",\"version\":1}",
        r#"a at 1: {"string":"none"}"#,
    ),
    // Paths that lead through something else, and names with dots.
    (
        "users",
        r#""type":"upsert","data":{"id":"a","version":1,"address":"Espoo"}"#,
        r#"a at 1: {"string":"none"}"#,
    ),
    (
        "users",
        r#""type":"upsert","data":{"id":"a","version":1,"address":[{"city":"Espoo"}]}"#,
        r#"a at 1: {"string":"none"}"#,
    ),
    (
        "users",
        r#""type":"upsert","data":{"id":"a","version":1,"address":{"city":null}}"#,
        r#"a at 1: {"string":"none","city":null}"#,
    ),
    (
        "users",
        r#""type":"upsert","data":{"id":"a","version":1,"address":{"city":1},"address":{}}"#,
        "duplicate_key",
    ),
    (
        "users",
        r#""type":"upsert","data":{"id":"a","version":1,"address.city":"Espoo"}"#,
        r#"a at 1: {"string":"none"}"#,
    ),
    (
        "users",
        r#""type":"upsert","data":{"id":"a","version":1,"a":{"b":1},"a.b":2}"#,
        r#"a at 1: {"string":"none","odd":2}"#,
    ),
    (
        "users",
        r#""type":"upsert","data":{"id":"a","version":1,"_id":"b","_nearcopy":{},"$set":{}}"#,
        r#"a at 1: {"string":"none"}"#,
    ),
];

pub(crate) fn became(replica: &str, event: &str) -> String {
    let body = format!("{{{event}}}");
    let headers = Headers::new();
    let message = Message { body: body.as_bytes(), content_type: None, headers: &headers };
    meaning(replica, &message)
}

/// What a message means to a replica, which is what is kept of it means, too.
pub(crate) fn meaning(replica: &str, message: &Message<'_>) -> String {
    let of = DECLARED.replica(replica).unwrap();
    read(&of.source, message);
    let source = DECLARED.sources.iter().find(|source| source.name == of.source).unwrap();
    let notice = match source.envelope.open(message) {
        Err(error) => return error.reason.to_string(),
        Ok(notice) => notice,
    };
    let event = match of.interpret(&notice, TIME_OF_DAY) {
        Err(misread) => return misread.error.reason.to_string(),
        Ok(None) => return "nothing".to_owned(),
        Ok(Some(event)) => event,
    };
    let version = event.version.map_or_else(|| "none".to_owned(), |version| version.to_string());
    let change = match event.change {
        Change::Upsert(fields) => shown(&fields.to_document().into()),
        Change::Leave => "out".to_owned(),
        Change::Delete => "deleted".to_owned(),
        Change::Patch(fields) => format!("patch {}", shown(&fields.into())),
        Change::Refresh => "to be asked".to_owned(),
    };
    format!("{} at {version}: {change}", event.entity)
}

//! CloudEvents, in headers and as one text.

use nearcopy::event::{Headers, Message};

use super::Case;
use super::events::meaning;

/// Headers, one a line, without their prefix, or the content type alone; the body; what it means to `partners`.
pub(crate) const CASES: &[Case] = &[
    ("specversion=1.0\ntype=delete\nsubject=p\nsequence=1", "", "p at 1: deleted"),
    ("specversion=1.0\ntype=delete\nsubject=p\nsequence=0001", "null", "p at 1: deleted"),
    ("specversion=1.0\ntype=delete\nsubject=p\nsequence=-1", "", "bad_version"),
    ("specversion=1.0\ntype=delete\nsubject=p\nsequence=1.0", "", "bad_version"),
    ("specversion=1.0\ntype=delete\nsubject=p\nsequence=", "", "bad_version"),
    ("specversion=1.0\ntype=delete\nsubject=p\nsequence=9223372036854775808", "", "bad_version"),
    ("specversion=1.0\ntype=delete\nsubject=p", "", "no_version"),
    ("specversion=1.0\ntype=delete\nsubject=\nsequence=1", "", "bad_id"),
    ("specversion=1.0\ntype=delete\nsequence=1", "", "no_id"),
    ("specversion=1.0\ntype=delete\nSubject=p\nsequence=1", "", "no_id"),
    ("specversion=1.0\ntype=delete\nsubject=p\0\nsequence=1", "", "bad_id"),
    ("specversion=1.0\nsubject=p\nsequence=1", "", "no_type"),
    ("specversion=1.0\ntype=\nsubject=p\nsequence=1", "", "nothing"),
    ("specversion=1.0\ntype=DELETE\nsubject=p\nsequence=1", "", "nothing"),
    ("type=delete\nsubject=p\nsequence=1", "", "no_type"),
    ("SpecVersion=1.0\ntype=delete\nsubject=p\nsequence=1", "", "no_type"),
    (
        "specversion=1.0\ntype=upsert\nsubject=p\nsequence=1\nkind=shop",
        r#"{"name":"x"}"#,
        r#"p at 1: {"name":"x","kind":"shop"}"#,
    ),
    ("specversion=1.0\ntype=upsert\nsubject=p\nsequence=1", r#"{"name":"x","name":"y"}"#, "duplicate_key"),
    ("specversion=1.0\ntype=upsert\nsubject=p\nsequence=1", r#"{"name":1e400}"#, "bad_field"),
    ("specversion=1.0\ntype=upsert\nsubject=p\nsequence=1", "<p/>", "not_json"),
    ("specversion=1.0\ntype=upsert\nsubject=p\nsequence=1", "{} {}", "not_json"),
    ("specversion=1.0\ntype=upsert\nsubject=p\nsequence=1", "[1]", "p at 1: {}"),
    ("specversion=1.0\ntype=upsert\nsubject=p\nsequence=1", "\u{feff}{}", "not_json"),
    ("specversion=1.0\ntype=upsert\nsubject=p\nsequence=1\ndata={}\nbody={}", "", "p at 1: {}"),
    ("specversion=1.0\ntype=upsert\nsubject=p\nsequence=1\n=x", "{}", "p at 1: {}"),
    (
        "application/cloudevents+json",
        r#"{"specversion":"1.0","type":"delete","subject":"p","sequence":"1"}"#,
        "p at 1: deleted",
    ),
    (
        "application/cloudevents",
        r#"{"specversion":"1.0","type":"delete","subject":"p","sequence":1}"#,
        "p at 1: deleted",
    ),
    (
        "APPLICATION/CLOUDEVENTS+JSON;charset=utf-8",
        r#"{"specversion":"1.0","type":"delete","subject":"p","sequence":"1"}"#,
        "p at 1: deleted",
    ),
    (
        "application/cloudevents+json",
        r#"{"specversion":"1.0","type":"delete","subject":7,"sequence":"1"}"#,
        "bad_id",
    ),
    (
        "application/cloudevents+json",
        r#"{"specversion":"1.0","type":"delete","subject":null,"sequence":"1"}"#,
        "bad_id",
    ),
    (
        "application/cloudevents+json",
        r#"{"specversion":"1.0","type":"delete","subject":{"id":"p"},"sequence":"1"}"#,
        "bad_id",
    ),
    (
        "application/cloudevents+json",
        r#"{"specversion":"1.0","type":"delete","subject":"p","subject":"q","sequence":"1"}"#,
        "duplicate_key",
    ),
    ("application/cloudevents+json", r#"{"specversion":"1.0","type":"delete","x":1,"x":1}"#, "duplicate_key"),
    (
        "application/cloudevents+json",
        r#"{"specversion":"1.0","type":7,"subject":"p","sequence":"1"}"#,
        "no_type",
    ),
    ("application/cloudevents+json", r#"{"type":"delete","subject":"p","sequence":"1"}"#, "no_type"),
    (
        "application/cloudevents+json",
        r#"{"specversion":"1.0","type":"upsert","subject":"p","sequence":"1","data":"{\"name\":1}"}"#,
        "p at 1: {}",
    ),
    (
        "application/cloudevents+json",
        r#"{"specversion":"1.0","type":"upsert","subject":"p","sequence":"1","data_base64":"e30="}"#,
        "not_json",
    ),
    (
        "application/cloudevents+json",
        r#"{"specversion":"1.0","type":"upsert","subject":"p","sequence":"1","kind":{"a":1,"a":2}}"#,
        "duplicate_key",
    ),
    ("application/cloudevents+json", "", "not_json"),
    ("application/cloudevents+json", "[]", "not_json"),
    ("application/cloudevents-batch+json", "[]", "not_json"),
    ("application/cloudevents+xml", "<event/>", "not_json"),
    ("application/json", r#"{"specversion":"1.0","type":"delete","subject":"p","sequence":"1"}"#, "no_type"),
    ("text/plain", "", "no_type"),
];

pub(crate) fn became(head: &str, body: &str) -> String {
    let is_type = !head.contains('=') || head.contains("charset=");
    let pair = |line: &str| {
        line.split_once('=').map(|(name, value)| (format!("cloudEvents_{name}"), value.to_owned()))
    };
    let headers: Headers = if is_type { Headers::new() } else { head.split('\n').filter_map(pair).collect() };
    let content_type = is_type.then_some(head);
    meaning("partners", &Message { body: body.as_bytes(), content_type, headers: &headers })
}

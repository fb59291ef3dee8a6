//! Feeds: what a page says.

use nearcopy::manifest;
use nearcopy::replication::{Page, Teller};

const MANIFEST: &str = r#"
service: test
sources:
  s: { feed: { url: "http://owner/events?after={position}", items: data.events, position: data.next } }
read_models:
  things:
    source: s
    key: data.id
    on: { Grown: { inc: { size: 1 } } }
"#;

fn page(after: &str, body: &str) -> Result<(Vec<String>, String), String> {
    let declaration = manifest::parse("nearcopy.yaml", MANIFEST, &|_| None).unwrap();
    let Teller::Owner(list) = &declaration.feeds[0].teller else { panic!("it is asked for over HTTP") };
    let read = list.read(body.as_bytes(), after);
    read.map(|Page { items, next }| (items, next)).map_err(|error| error.detail)
}

#[test]
fn a_page_has_events_as_they_are_written_and_a_position() {
    let events =
        |items: &[&str], next: &str| Ok((items.iter().map(ToString::to_string).collect(), next.into()));
    for (after, body, expected) in [
        (
            "",
            r#"{ "data": { "events": [{"id": "1", "n": 1.50}, 2], "next": "b" } }"#,
            events(&[r#"{"id": "1", "n": 1.50}"#, "2"], "b"),
        ),
        (
            "7",
            r#"{ "data": { "events": [1], "next": 90071992547409931 } }"#,
            events(&["1"], "90071992547409931"),
        ),
        ("a", r#"{ "data": { "events": [], "next": "a" } }"#, events(&[], "a")),
        ("a", r#"{ "data": { "events": [], "next": null } }"#, events(&[], "a")),
        ("a", r#"{ "data": { "events": [] } }"#, events(&[], "a")),
        ("a", r#"{ "data": { "events": [], "next": "c" } }"#, events(&[], "c")),
    ] {
        assert_eq!(page(after, body), expected, "{body}");
    }
}

/// Events without a new position would come for ever, or be folded twice; so they are no page.
#[test]
fn what_does_not_lead_on_is_no_page() {
    for body in [
        "",
        "[1",
        r#"{ "data": { "next": "b" } }"#,
        r#"{ "data": { "events": {}, "next": "b" } }"#,
        r#"{ "data": { "events": [1], "next": "a" } }"#,
        r#"{ "data": { "events": [1], "next": null } }"#,
        r#"{ "data": { "events": [1] } }"#,
        r#"{ "data": { "events": [1], "next": { "a": 1 } } }"#,
        r#"{ "data": { "events": [1], "next": true } }"#,
    ] {
        assert!(page("a", body).is_err(), "{body}");
    }
    let long = "x".repeat(5_000);
    assert!(page("a", &format!(r#"{{ "data": {{ "events": [1], "next": "{long}" }} }}"#)).is_err());
}

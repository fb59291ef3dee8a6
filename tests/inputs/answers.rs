//! What owners answer to a question for entity 42, alone and as the one element of a list.

use nearcopy::event::{DecodeError, EntityId};
use nearcopy::replication::{Answer, Content};

use super::Case;
use super::declared::{DECLARED, TIME_OF_DAY};
use super::fields::shown;

/// A replica, the answer, and what it says; before the stroke alone, after it in a list.
pub(crate) const CASES: &[Case] = &[
    ("users", r#"{"id":"42","version":7}"#, r#"7: {"string":"none"} | the same"#),
    ("users", r#"{"id":"42","version":"007","int":1}"#, r#"7: {"string":"none","int":1} | the same"#),
    ("users", r#"{"id":"42"}"#, r#"none: {"string":"none"} | the same"#),
    ("users", r#"{"id":"42","version":null}"#, r#"none: {"string":"none"} | the same"#),
    ("users", r#"{"id":"43","version":7}"#, "other_entity | nothing"),
    ("users", r#"{"id":42,"version":7}"#, "bad_id | nothing"),
    ("users", r#"{"id":"42 ","version":7}"#, "other_entity | nothing"),
    ("users", r#"{"id":"","version":7}"#, "bad_id | nothing"),
    ("users", r#"{"version":7}"#, "no_id | nothing"),
    ("users", r#"{"id":"42","id":"42"}"#, "duplicate_key | nothing"),
    ("users", r#"{"id":"42","version":-1}"#, "bad_version | nothing"),
    ("users", r#"{"id":"42","version":"x"}"#, "bad_version | nothing"),
    ("users", r#"{"id":"42","version":1e3}"#, "bad_version | nothing"),
    ("users", r#"{"id":"42","version":7,"int":"1"}"#, "bad_field | nothing"),
    ("users", r#"{"id":"42","version":7,"int":1,"int":2}"#, "duplicate_key | nothing"),
    ("users", r#"{"id":"42","version":7,"any":1e400}"#, "bad_field | nothing"),
    ("users", r#"{"id":"42","version":7,"object":{"a":1,"a":2}}"#, "duplicate_key | nothing"),
    ("users", r#"{"data":{"id":"42","version":7}}"#, "no_id | nothing"),
    ("users", r#"[{"id":"42","version":7}]"#, "no_id | nothing"),
    ("users", "null", "no_id | nothing"),
    ("users", "\"42\"", "no_id | nothing"),
    ("users", "42", "no_id | nothing"),
    ("users", "", "not_json | nothing"),
    ("users", "<html></html>", "not_json | no list: not_json"),
    ("users", r#"{"id":"42","version":7"#, "not_json | no list: not_json"),
    ("users", r#"{"id":"42"}{"id":"42"}"#, "not_json | no list: not_json"),
    ("users", "\u{feff}{\"id\":\"42\"}", "not_json | no list: not_json"),
    (
        "adults",
        r#"{"user":{"id":42,"at":"2026-01-01T00:00:00Z","age":18,"roles":["buyer"],"country":"DE","name":"x"}}"#,
        r#"1767225600000000: {"name":"x"} | the same"#,
    ),
    (
        "adults",
        r#"{"user":{"id":42,"at":"2026-01-01T00:00:00Z","age":17}}"#,
        "1767225600000000: gone | the same",
    ),
    ("adults", r#"{"user":{"id":42}}"#, "none: gone | the same"),
    (
        "adults",
        r#"{"user":{"id":42,"age":"old","roles":["buyer"],"country":"DE"}}"#,
        "bad_condition | nothing",
    ),
    ("adults", r#"{"user":{"id":"42"}}"#, "bad_id | nothing"),
    ("adults", r#"{"user":null}"#, "no_id | nothing"),
    ("adults", r#"{"user":{"id":42},"user":{"id":42}}"#, "duplicate_key | nothing"),
    ("adults", r#"{"user":{"id":42,"at":7}}"#, "bad_version | nothing"),
    ("adults", r#"{"id":42}"#, "no_id | nothing"),
];

pub(crate) fn became(replica: &str, body: &str) -> String {
    let of = DECLARED.replica(replica).unwrap();
    let answers = &of.fetch.as_ref().unwrap().answers;
    let asked = EntityId::parse("42", of.selection.id_kind()).unwrap();
    let one = answers.read_one(body.as_bytes(), &asked, of, TIME_OF_DAY);
    let list =
        if replica == "users" { format!("[{body}]") } else { format!(r#"{{"page":{{"items":[{body}]}}}}"#) };
    let listed = match answers.read_batch(list.as_bytes(), std::slice::from_ref(&asked), of, TIME_OF_DAY) {
        Err(error) => format!("no list: {}", error.reason),
        Ok(listed) if listed.is_empty() => "nothing".to_owned(),
        Ok(listed) => match (&listed[..], &one) {
            ([(entity, answer)], Ok(alone)) if *entity == asked && answer == alone => "the same".to_owned(),
            _ => format!("{listed:?}"),
        },
    };
    format!("{} | {listed}", said(one))
}

fn said(answer: Result<Answer, DecodeError>) -> String {
    match answer {
        Err(error) => error.reason.to_string(),
        Ok(Answer::Found { version, content }) => {
            let version = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            let content = match content {
                Content::Live(fields) => shown(&fields.to_document().into()),
                Content::Gone(_) => "gone".to_owned(),
            };
            format!("{version}: {content}")
        }
        Ok(other) => format!("{other:?}"),
    }
}

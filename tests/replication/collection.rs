//! Collections as sources: what is told of them, and how far.

use bson::{Bson, DateTime, Document, Timestamp, doc};
use nearcopy::replication::{CollectionSpec, Position, whole};
use serde_json::{Value, json};

fn comments() -> CollectionSpec {
    CollectionSpec { name: "comments".into() }
}

/// A change as a change stream tells it, of the document of that number.
fn change(kind: &str, number: i32, ordinal: u32, more: Document) -> Document {
    let mut change = doc! {
        "_id": { "_data": format!("{ordinal:08x}{number}{}", more.len()) },
        "operationType": kind,
        "clusterTime": Timestamp { time: 1_767_225_600, increment: ordinal },
        "wallTime": DateTime::from_millis(1_767_225_600_123),
        "documentKey": { "_id": number },
    };
    change.extend(more);
    change
}

fn told(changes: &[Document]) -> Vec<Value> {
    comments().changed(changes).iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

#[test]
fn a_change_is_told_with_its_document_after_it_and_before() {
    let (after, before) =
        (doc! { "_id": 7, "text": "b", "_nearcopy": { "x": 1 } }, doc! { "_id": 7, "text": "a" });
    let both = doc! { "fullDocument": after, "fullDocumentBeforeChange": before };
    let events = told(&[change("update", 7, 1, both.clone()), change("delete", 7, 2, Document::new())]);
    assert_eq!(events[0]["data"], json!({ "_id": 7, "text": "b" }));
    assert_eq!(events[0]["before"], json!({ "_id": 7, "text": "a" }));
    assert_eq!((&events[0]["type"], &events[0]["key"]), (&json!("update"), &json!(7)));
    assert_eq!(events[0]["time"], "2026-01-01T00:00:00.123Z");
    assert_eq!(events[0]["id"], told(&[change("update", 7, 1, both)])[0]["id"]);
    assert_eq!((events[1].get("data"), events[1].get("before")), (None, None));
    // One that was gone before it could be looked up.
    assert_eq!(told(&[change("update", 7, 1, Document::new())]), [] as [Value; 0]);
}

#[test]
fn what_stood_there_is_told_as_inserted_before_all_that_comes_after() {
    let at = Timestamp { time: 1_767_225_600, increment: 9 };
    let found = comments().found(&doc! { "_id": "a", "n": 1_i64 << 60 }, at).unwrap();
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!((&found["type"], &found["key"]), (&json!("insert"), &json!("a")));
    assert_eq!((&found["data"]["n"], &found["time"]), (&json!(1_i64 << 60), &json!("2026-01-01T00:00:00Z")));
    let document = doc! { "fullDocument": { "_id": "a" } };
    let versions = [9, 10].map(|ordinal| {
        told(&[change("update", 1, ordinal, document.clone())])[0]["version"].as_i64().unwrap()
    });
    let scanned = found["version"].as_i64().unwrap();
    assert!(versions[0] < scanned && scanned < versions[1], "{versions:?} {scanned}");
}

#[test]
fn the_changes_that_a_transaction_makes_of_one_document_are_told_apart() {
    let of = |kind: &str, number: i32, ordinal: u32| {
        change(kind, number, ordinal, doc! { "txnNumber": 1_i64, "fullDocument": { "_id": number } })
    };
    let changes =
        [of("insert", 1, 5), of("insert", 2, 5), of("update", 1, 5), of("delete", 1, 5), of("update", 1, 6)];
    let events = told(&changes);
    let versions: Vec<i64> = events.iter().map(|event| event["version"].as_i64().unwrap()).collect();
    assert!(
        versions[0] < versions[2] && versions[2] < versions[3] && versions[3] < versions[4],
        "{versions:?}"
    );
    assert_eq!(versions[0], versions[1]);
    assert_eq!((whole(&changes[..4]), whole(&changes)), (0, 4));
    let plain = change("delete", 3, 7, Document::new());
    let more: Vec<Document> = changes.iter().cloned().chain([plain]).collect();
    assert_eq!((whole(&more), whole(&[])), (6, 0));
}

#[test]
fn a_position_comes_back_from_its_text() {
    let at = Timestamp { time: 1_767_225_600, increment: 7 };
    let ids: [Bson; 6] = [
        "a:b".into(),
        7_i32.into(),
        7_i64.into(),
        bson::oid::ObjectId::from_bytes([1; 12]).into(),
        doc! { "$date": "no date" }.into(),
        DateTime::from_millis(1).into(),
    ];
    let scans = ids.into_iter().map(|id| Position::Scan(at, id));
    let token = Position::Token(
        doc! { "_data": "8265", "_typeBits": bson::Binary { subtype: 0.into(), bytes: vec![1] } },
    );
    for position in scans.chain([Position::First, Position::Since(at), token]) {
        assert_eq!(Position::parse(&position.to_string()), Ok(position));
    }
    for bad in
        ["7", "scan:", "scan:1.2:", "scan:1.2:0", "scan:1:00", "since:1", "token:00", "token:zz", "after:x"]
    {
        assert!(Position::parse(bad).is_err(), "{bad}");
    }
}

//! Versions by time: what is from the future is believed of nobody, and one instant has one winner.

use std::sync::Arc;

use nearcopy::event::{ChangeEvent, Reason};
use nearcopy::replication::{Answer, Declaration, RecordWrite, Timeline, fold};
use serde_json::{Value, json};

use crate::declared::{NOW, declared, event, id, interpret, users};

fn timed(fetch: &str) -> Arc<Declaration> {
    declared(&format!(
        "service: shop
sources: {{ users: {{ rabbitmq: {{ exchange: users, queue: shop.users, bindings: [\"#\"] }} }} }}
replicas:
  users:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: {{ time: data.at }}
    fields: {{ username: data.username }}
    on: {{ user.saved: upsert, user.deleted: delete {fetch}
"
    ))
}

fn asked() -> Arc<Declaration> {
    timed(", user.changed: refresh }\n    fetch: { url: \"http://owner/users/{id}\", from: { version: at } }")
}

fn at(kind: &str, time: &str, name: &str) -> Value {
    event(kind, json!({ "id": "42", "at": time, "username": name }))
}

/// Two seconds before and after five minutes from now.
const SOON: &str = "2026-01-01T00:04:58Z";
const FUTURE: &str = "2026-01-01T00:05:02Z";

/// V4, A18: a time that has not come yet would keep all later states away. It is put aside with its reason, and without
/// its version, so that the owner's answer makes it good.
#[test]
fn an_event_from_the_future_is_put_aside() {
    let of = asked();
    for kind in ["user.saved", "user.deleted", "user.changed"] {
        assert!(interpret(&of, &at(kind, SOON, "ann")).is_ok(), "clocks differ");
        let misread = interpret(&of, &at(kind, FUTURE, "ann")).unwrap_err();
        assert_eq!((misread.entity, misread.version), (Some(id("42")), None));
        assert_eq!(misread.error.reason, Reason::FutureVersion);
        assert!(!misread.error.to_string().contains("2026"), "no values: {}", misread.error);
    }
}

/// V4, A18: what holds for events holds for answers, alone or among others.
#[test]
fn an_answer_from_the_future_is_no_answer() {
    let of = asked();
    let of = users(&of);
    let answers = &of.fetch.as_ref().unwrap().answers;
    let user = |id: &str, at: &str| json!({ "id": id, "at": at, "username": "ann" });
    let one = |at: &str| answers.read_one(user("42", at).to_string().as_bytes(), &id("42"), of, NOW);
    assert!(matches!(one(SOON), Ok(Answer::Found { version: Some(_), .. })));
    assert_eq!(one(FUTURE).unwrap_err().reason, Reason::FutureVersion);
    let many = json!([user("42", FUTURE), user("43", SOON)]).to_string();
    let read = answers.read_batch(many.as_bytes(), &[id("42"), id("43")], of, NOW).unwrap();
    assert_eq!(read.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [id("43")]);
}

/// V1, V4, A8: two states of one millisecond have the same winner in whatever order they come, where nobody can be
/// asked.
#[test]
fn of_two_states_of_one_instant_the_same_one_wins_in_any_order() {
    let of = timed("}");
    let instant = "2026-01-01T00:00:00.123Z";
    let read =
        |name: &str| -> ChangeEvent { interpret(&of, &at("user.saved", instant, name)).unwrap().unwrap() };
    let written = |events: &[ChangeEvent]| {
        let writes = fold(users(&of), events, &Timeline::default()).writes;
        let [RecordWrite::State { content, guard, .. }] = writes.as_slice() else { panic!("{writes:?}") };
        (content.clone(), guard.clone())
    };
    let (ann, bob) = (read("ann"), read("bob"));
    assert_eq!(ann.version, bob.version);
    let both = written(&[ann.clone(), bob.clone()]);
    assert_eq!(both, written(&[bob.clone(), ann.clone()]), "in one batch");
    let (alone_ann, alone_bob) = (written(std::slice::from_ref(&ann)), written(std::slice::from_ref(&bob)));
    assert_ne!(alone_ann.1, alone_bob.1, "in two batches, one guard is above the other");
    let winner = if alone_ann.1 > alone_bob.1 { alone_ann } else { alone_bob };
    assert_eq!(both, winner);
}

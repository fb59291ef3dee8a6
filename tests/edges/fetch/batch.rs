//! Asking for several entities at once.

use axum::response::{Html, IntoResponse};
use nearcopy::event::EntityId;
use nearcopy::fetch::FetchError;
use nearcopy::replication::{Answer, Content};
use serde_json::{Value, json};

use super::owner::{Asked, TestOwner, asking, batched, honest, id, ok, outcomes, replica, status, user};

/// What came of asking for these ids: the name found, `-` for not found, the error otherwise; and what was asked,
/// batches in brackets.
async fn ask(
    ids: &[&str],
    answer: impl Fn(Asked) -> axum::response::Response + Clone + Send + Sync + 'static,
) -> (Vec<String>, Vec<String>) {
    let owner = TestOwner::start(move |asked| {
        let response = answer(asked);
        async move { response }
    })
    .await;
    let replica = replica(owner.address, |spec| {
        spec.batch = Some(batched(owner.address));
        spec.batch_size = 3;
        spec.concurrency = 1;
    });
    let ids: Vec<EntityId> = ids.iter().map(|text| id(text)).collect();
    let outcomes = outcomes(&asking(&replica), &replica, &ids).await;
    let requests = owner.asked().into_iter().map(|asked| {
        let list = asked.ids.join(",");
        if asked.batch { format!("[{list}]") } else { list }
    });
    (outcomes.into_iter().map(word).collect(), requests.collect())
}

fn word(outcome: Result<Answer, FetchError>) -> String {
    match outcome {
        Ok(Answer::Found { content: Content::Live(fields), .. }) => {
            fields.as_raw().get_str("name").unwrap().to_owned()
        }
        Ok(Answer::Found { .. }) => "out".into(),
        Ok(Answer::NotFound) => "-".into(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn ids_are_asked_for_in_batches_and_answered_in_their_order() {
    let (outcomes, requests) = ask(&["1", "2", "3", "4", "5", "6", "7"], |asked| {
        let mut users: Vec<Value> = asked.ids.iter().map(|id| user(id)).collect();
        users.reverse();
        if asked.batch { ok(&Value::from(users)) } else { honest(&asked) }
    })
    .await;
    assert_eq!(outcomes, ["user 1", "user 2", "user 3", "user 4", "user 5", "user 6", "user 7"]);
    assert_eq!(requests, ["[1,2,3]", "[4,5,6]", "7"], "one that is alone is asked for singly");
}

/// F4: to be left out of a batch is no 404; only the single answer says so.
#[tokio::test]
async fn what_a_batch_leaves_out_is_asked_for_singly() {
    let (outcomes, requests) = ask(&["1", "2", "3"], |asked| match asked.ids[0].as_str() {
        _ if asked.batch => ok(&json!([user("2")])),
        "3" => status(404),
        _ => honest(&asked),
    })
    .await;
    assert_eq!(outcomes, ["user 1", "user 2", "-"]);
    assert_eq!(requests, ["[1,2,3]", "1", "3"]);
}

/// F5: what nobody asked for is not taken, and what cannot be read spoils nothing else.
#[tokio::test]
async fn foreign_and_unreadable_items_of_a_batch_are_passed_over() {
    let (outcomes, requests) = ask(&["1", "2"], |asked| {
        let list = json!([user("9"), {"id": "2", "version": 7, "name": 1}, user("1"), "x", null]);
        if asked.batch { ok(&list) } else { honest(&asked) }
    })
    .await;
    assert_eq!(outcomes, ["user 1", "user 2"]);
    assert_eq!(requests, ["[1,2]", "2"]);
}

/// F5: a batch address that does not work, or one bad id in a batch, holds back nobody.
#[tokio::test]
async fn a_batch_that_is_not_answered_as_one_is_asked_for_singly() {
    let refusals: [fn() -> axum::response::Response; 5] = [
        || ok(&json!({"users": []})),
        || Html("<h1>Sign in</h1>").into_response(),
        || status(404),
        || status(400),
        || status(414),
    ];
    for refusal in refusals {
        let (outcomes, requests) =
            ask(&["1", "2"], move |asked| if asked.batch { refusal() } else { honest(&asked) }).await;
        assert_eq!(outcomes, ["user 1", "user 2"]);
        assert_eq!(requests, ["[1,2]", "1", "2"]);
    }
}

/// One entity at which the owner stumbles holds back none of those it is asked for with.
#[tokio::test]
async fn an_entity_that_breaks_a_batch_fails_alone() {
    let (outcomes, requests) =
        ask(
            &["1", "2", "3"],
            |asked| {
                if asked.ids.contains(&"2".to_owned()) { status(500) } else { honest(&asked) }
            },
        )
        .await;
    assert_eq!(outcomes, ["user 1", "the owner answered with status 500", "user 3"]);
    assert_eq!(requests, ["[1,2,3]", "[1,2,3]", "[1,2,3]", "1", "2", "2", "2", "3"]);
}

/// F7: an owner in trouble is asked hardly more for having been asked for many: its breaker sees to that.
#[tokio::test]
async fn a_batch_that_fails_with_the_owner_becomes_no_flood() {
    let (outcomes, requests) = ask(&["1", "2", "3"], |_| status(500)).await;
    assert!(outcomes.iter().all(|outcome| outcome != "-"), "{outcomes:?}");
    assert_eq!(requests, ["[1,2,3]", "[1,2,3]", "[1,2,3]", "1", "1"]);
}

/// F7: an owner that is asked too much, or lets nobody in, is not asked singly instead.
#[tokio::test]
async fn a_batch_that_an_owner_is_too_busy_for_is_not_split() {
    for code in [503, 429] {
        let (outcomes, requests) = ask(&["1", "2"], move |_| status(code)).await;
        assert_eq!(
            outcomes,
            [
                format!("the owner answered with status {code}"),
                format!("the owner answered with status {code}")
            ]
        );
        assert_eq!(requests, ["[1,2]"; 3]);
    }
    let (outcomes, requests) = ask(&["1", "2"], |_| status(403)).await;
    assert_eq!(outcomes, ["the owner refused to answer with status 403"; 2]);
    assert_eq!(requests, ["[1,2]"]);
}

#[tokio::test]
async fn an_id_that_is_asked_for_twice_is_asked_for_once() {
    let (outcomes, requests) = ask(&["1", "2", "1"], |asked| honest(&asked)).await;
    assert_eq!(outcomes, ["user 1", "user 2", "user 1"]);
    assert_eq!(requests, ["[1,2]"]);
}

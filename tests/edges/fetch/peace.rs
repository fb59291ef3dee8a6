//! The owner's peace: how often it is asked, how many at once, and when not at all.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Response, header};
use futures::future::join_all;
use nearcopy::clock;
use nearcopy::event::EntityId;
use nearcopy::fetch::{Fetch, FetchError, HttpFetch};
use nearcopy::replication::{Answer, Subscription};

use super::owner::{TestOwner, asking, honest, id, outcomes, replica, status};

async fn ask_one(fetch: &HttpFetch, replica: &Subscription, text: &str) -> Result<Answer, FetchError> {
    outcomes(fetch, replica, &[id(text)]).await.remove(0)
}

/// Asks again and again until there is an answer, and says how long that took.
async fn until_answered(fetch: &HttpFetch, replica: &Subscription) -> Duration {
    let started = clock::now();
    while ask_one(fetch, replica, "42").await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(15), "it did not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    started.elapsed()
}

/// F6: any number of askers, one request.
#[tokio::test]
async fn all_who_ask_for_an_entity_at_once_share_one_request() {
    let owner = TestOwner::start(|asked| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        honest(&asked)
    })
    .await;
    let replica = replica(owner.address, |_| {});
    let fetch = asking(&replica);
    let outcomes = join_all((0..50).map(|_| ask_one(&fetch, &replica, "42"))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(owner.count(), 1);
    ask_one(&fetch, &replica, "42").await.unwrap();
    assert_eq!(owner.count(), 2, "an answer is shared, not kept");
}

/// F10: whoever asked first may go; those who wait with it still get their answer.
#[tokio::test]
async fn a_cancelled_leader_strands_nobody() {
    let owner = TestOwner::start(|asked| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        honest(&asked)
    })
    .await;
    let replica = replica(owner.address, |_| {});
    let fetch = asking(&replica);
    let leader = {
        let (fetch, replica) = (fetch.clone(), replica.clone());
        tokio::spawn(async move { ask_one(&fetch, &replica, "42").await })
    };
    owner.busy_with(1).await;
    let follower = ask_one(&fetch, &replica, "42");
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    follower.await.unwrap();
    assert_eq!(owner.count(), 1);
}

/// F6: never more requests at once than declared, whoever asks and for how many.
#[tokio::test]
async fn the_declared_number_of_requests_is_not_exceeded() {
    let owner = TestOwner::start(|asked| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        honest(&asked)
    })
    .await;
    let replica = replica(owner.address, |spec| spec.concurrency = 3);
    let fetch = asking(&replica);
    let asks = (0..4).map(|asker| {
        let ids: Vec<EntityId> = (0..10).map(|n| id(&format!("{asker}-{n}"))).collect();
        let (fetch, replica) = (fetch.clone(), replica.clone());
        async move { outcomes(&fetch, &replica, &ids).await }
    });
    let outcomes: Vec<_> = join_all(asks).await.into_iter().flatten().collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 40);
    assert_eq!((owner.count(), owner.most_at_once()), (40, 3));
}

/// F7: an owner that asks for peace gets it, to the second.
#[tokio::test]
async fn retry_after_is_honoured() {
    for code in [429, 503] {
        let owner = TestOwner::start(move |asked| async move {
            if asked.before > 0 {
                return honest(&asked);
            }
            let response = Response::builder().status(code).header(header::RETRY_AFTER, "1");
            response.body(axum::body::Body::empty()).unwrap()
        })
        .await;
        let replica = replica(owner.address, |_| {});
        let fetch = asking(&replica);
        let first = ask_one(&fetch, &replica, "42").await;
        assert!(matches!(first, Err(FetchError::Failed(status)) if status == code));
        assert!(fetch.is_resting(&replica.name));
        let waited = until_answered(&fetch, &replica).await;
        assert!((950..1500).contains(&waited.as_millis()), "{waited:?}");
        assert_eq!(owner.count(), 2, "meanwhile nothing was sent");
        assert!(!fetch.is_resting(&replica.name));
    }
}

/// F6: an owner that lets nobody in is not asked for ever.
#[tokio::test]
async fn an_owner_that_refuses_is_left_in_peace() {
    let owner = TestOwner::start(|_| async { status(401) }).await;
    let replica = replica(owner.address, |_| {});
    let fetch = asking(&replica);
    for n in 0..5 {
        let outcome = ask_one(&fetch, &replica, &n.to_string()).await;
        assert!(matches!(outcome, Err(FetchError::Refused(401))), "{n}");
    }
    assert!(matches!(ask_one(&fetch, &replica, "5").await, Err(FetchError::Resting)));
    assert_eq!(owner.count(), 5);
}

/// F6: a herd meets an owner in trouble with a few requests, and one probe at a time after that.
#[tokio::test]
async fn a_herd_on_a_failing_owner_becomes_single_probes() {
    let owner = TestOwner::start(|_| async { status(500) }).await;
    let replica = replica(owner.address, |spec| spec.concurrency = 4);
    let fetch = asking(&replica);
    let ids: Vec<EntityId> = (0..500).map(|n| id(&n.to_string())).collect();
    let outcomes = outcomes(&fetch, &replica, &ids).await;
    assert!(outcomes.iter().all(Result::is_err));
    let at_first = owner.count();
    assert!((5..=9).contains(&at_first), "{at_first} requests for 500 entities");

    while fetch.is_resting(&replica.name) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let outcomes = join_all((0..100).map(|n| {
        let (fetch, replica) = (fetch.clone(), replica.clone());
        async move { ask_one(&fetch, &replica, &format!("later-{n}")).await }
    }))
    .await;
    let resting = outcomes.iter().filter(|outcome| matches!(outcome, Err(FetchError::Resting))).count();
    assert_eq!(owner.count() - at_first, 1, "one probe");
    assert!(resting >= 99, "{resting}");
}

/// The owner dies and comes back: all goes on by itself, within the longest rest.
#[tokio::test]
async fn a_dead_owner_is_asked_again_soon_after_it_is_back() {
    let owner = TestOwner::start(|asked| async move { honest(&asked) }).await;
    let address = owner.address;
    let replica = replica(address, |_| {});
    let fetch: Arc<HttpFetch> = asking(&replica);
    ask_one(&fetch, &replica, "42").await.unwrap();
    drop(owner);

    let dead = clock::now();
    while dead.elapsed() < Duration::from_secs(3) {
        ask_one(&fetch, &replica, "42").await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(fetch.is_resting(&replica.name));
    let _back = TestOwner::start_at(address, |asked| async move { honest(&asked) }).await;
    let waited = until_answered(&fetch, &replica).await;
    assert!(waited < Duration::from_millis(5_500), "{waited:?}");
}

/// A connection that the owner has closed meanwhile costs a second try, not the answer.
#[tokio::test]
async fn an_owner_that_restarts_between_two_questions_is_not_missed() {
    let owner = TestOwner::start(|asked| async move { honest(&asked) }).await;
    let address = owner.address;
    let replica = replica(address, |_| {});
    let fetch = asking(&replica);
    ask_one(&fetch, &replica, "42").await.unwrap();
    drop(owner);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let _back = TestOwner::start_at(address, |asked| async move { honest(&asked) }).await;
    ask_one(&fetch, &replica, "42").await.unwrap();
}

//! What cannot be used is put aside with its reason, and leaves as soon as it is made good.

use std::time::Duration;

use bson::doc;
use nearcopy::event::{DecodeError, Reason};
use nearcopy::pipeline::Retry;
use nearcopy::replication::{Outcome, State};
use nearcopy::store::{Parked, ParkedStore};
use serde_json::json;

use crate::declared::{ASKED, PRODUCTS, changed, event, saved, shop};
use crate::mongodb::Database;
use crate::owner::Owner;
use crate::pod::{Pod, QUICK, RETIRING};
use crate::rabbitmq::eventually;

async fn kept() -> Database {
    Database::new(&shop("all", "", &[])).await
}

impl Database {
    async fn parked(&self) -> Vec<Parked> {
        self.store.parked(None, 100).await.unwrap()
    }

    /// No user may have this name.
    async fn forbid(&self, name: &str) {
        let rule = doc! { "collMod": "users", "validator": { "username": { "$ne": name } } };
        self.raw.run_command(rule).await.unwrap();
    }
}

fn broken(user: &str, version: i64) -> serde_json::Value {
    event(
        "user.saved",
        json!({ "id": user, "version": version, "username": { "a\0": 1 }, "email": "x@y", "password": "secret" }),
    )
}

/// D5, S8: an event that nobody can read is put aside once, with size and hash, and without its body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_is_put_aside_once_without_its_body() {
    let (database, owner) = (kept().await, Owner::new());
    let pod = Pod::start(&database, &owner).await;
    for _ in 0..3 {
        pod.send_bytes("{ secret").await;
    }
    pod.send_bytes(vec![0xff, 0xfe]).await;
    pod.deliver([saved("ann", 1, "Ann")]).await;
    pod.is_done().await;
    assert_eq!(database.record("ann").await.state, State::Live, "the rest flows on");
    let parked = database.parked().await;
    let mut sizes: Vec<(i64, &str)> =
        parked.iter().map(|parked| (parked.size, parked.reason.as_str())).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [(2, "not_json"), (8, "not_json")]);
    let stored = database.collection("nearcopy.parked").find_one(doc! { "size": 8 }).await.unwrap().unwrap();
    assert!(!stored.to_string().contains("secret"));
    assert!(stored.get_datetime("expires").is_ok());
    database.drop().await;
}

/// S8: of an event that is put aside, only what the manifest declares is kept; D5: and of nobody's, nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_declared_parts_of_wanted_entities_are_put_aside() {
    let database = Database::new(&shop("referenced", ASKED, &[PRODUCTS])).await;
    let owner = Owner::new();
    owner.has("ann", 1, "Ann");
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    let pod = Pod::start(&database, &owner).await;
    database.shows("p1", "Ann").await;
    owner.is_down(true);
    pod.deliver([broken("zoe", 7), broken("ann", 7)]).await;
    let parked = database.parked().await;
    let [parked] = parked.as_slice() else { panic!("{parked:?}") };
    assert_eq!((parked.reason.as_str(), parked.version), ("bad_field", Some(7)));
    let excerpt = parked.excerpt.as_ref().unwrap();
    assert!(excerpt.contains("x@y") && !excerpt.contains("secret"), "{excerpt}");

    // D5: the owner can say what the event could not.
    owner.has("ann", 7, "Anna");
    owner.is_down(false);
    database.shows("p1", "Anna").await;
    eventually("the parked event is closed", async || database.parked().await.is_empty()).await;
    database.drop().await;
}

/// D5: a state that the database refuses is put aside alone; what was folded behind it, and what stood beside it,
/// is judged for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_only_what_the_database_refuses_is_put_aside() {
    let database = Database::new(&shop("all", ASKED, &[])).await;
    database.forbid("forbidden").await;
    let owner = Owner::new();
    owner.has("ann", 2, "Anna");
    let events = [
        saved("ann", 1, "Ann"),
        saved("ann", 3, "forbidden"),
        saved("ann", 2, "Anna"),
        changed("ann", Some(2)),
        saved("bob", 1, "Bob"),
    ];
    let pod = Pod::on(&database, &owner, QUICK, &events).await;
    pod.is_done().await;
    let ann = database.record("ann").await;
    assert_eq!((ann.key.unwrap().version.get(), ann.state), (2, State::Live));
    assert_eq!(database.record("bob").await.state, State::Live);
    let parked = database.parked().await;
    let parked: Vec<_> = parked.iter().map(|parked| (parked.kind.as_deref(), parked.version)).collect();
    assert_eq!(parked, [(Some("user.saved"), Some(3))]);
    database.drop().await;
}

/// D5: a newer state makes a parked one good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_state_closes_what_is_parked_and_an_older_one_does_not() {
    let (database, owner) = (kept().await, Owner::new());
    let pod = Pod::start(&database, &owner).await;
    pod.deliver([broken("ann", 5), saved("ann", 4, "Ann")]).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(database.parked().await.len(), 1);
    pod.deliver([saved("ann", 6, "Anna")]).await;
    eventually("the parked event is closed", async || database.parked().await.is_empty()).await;
    database.drop().await;
}

/// D5, G3: with a record that nobody wants any more goes what is parked of its entity: no newer state would ever make it
/// good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_parked_goes_with_the_record_that_nobody_wants() {
    let database = Database::new(&shop("referenced", ASKED, &[PRODUCTS])).await;
    let owner = Owner::new();
    owner.has("ann", 1, "Ann");
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    let pod = Pod::with(&database, &owner, RETIRING).await;
    database.shows("p1", "Ann").await;
    owner.is_down(true);
    pod.deliver([broken("ann", 7)]).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(database.parked().await.len(), 1, "while she is wanted it stays");
    database.collection("products").delete_one(doc! { "_id": "p1" }).await.unwrap();
    eventually("Ann is gone", async || database.held("ann").await.is_none()).await;
    eventually("and what is parked of her", async || database.parked().await.is_empty()).await;
    database.drop().await;
}

/// A parked event that can be used now is used and leaves; one that cannot stays, and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_event_is_taken_up_again_once_its_trouble_is_gone() {
    let (database, owner) = (kept().await, Owner::new());
    database.forbid("forbidden").await;
    let pod = Pod::start(&database, &owner).await;
    pod.deliver([saved("ann", 5, "forbidden"), broken("bob", 5)]).await;
    let parked = database.parked().await;
    let by_reason = |reason: &str| parked.iter().find(|parked| parked.reason == reason).unwrap();
    let (refused, unreadable) = (by_reason("refused"), by_reason("bad_field"));
    assert!(!refused.detail.contains("forbidden"), "no values in reasons: {}", refused.detail);

    assert!(matches!(
        pod.retry(refused).await,
        Ok(Retry::Still(DecodeError { reason: Reason::Refused, .. }))
    ));
    assert!(matches!(
        pod.retry(unreadable).await,
        Ok(Retry::Still(DecodeError { reason: Reason::BadField, .. }))
    ));
    assert_eq!(database.parked().await.len(), 2);
    database.forbid("another").await;
    assert_eq!(pod.retry(refused).await, Ok(Retry::Done(Outcome::Applied)));
    assert_eq!(database.record("ann").await.key.unwrap().version.get(), 5);
    assert_eq!(database.parked().await, std::slice::from_ref(unreadable));
    database.drop().await;
}

/// Times are the database's, and the first one counts.
#[tokio::test]
async fn what_is_parked_twice_is_one_and_keeps_its_first_time() {
    let database = kept().await;
    let parked = Parked {
        id: uuid::Uuid::from_u128(7),
        source: "users".into(),
        replica: None,
        entity: None,
        version: None,
        kind: None,
        event: None,
        reason: "not_json".into(),
        detail: "$$ROOT".into(),
        headers: [("$where".to_owned(), "$$NOW".to_owned())].into(),
        excerpt: Some("{\"$set\": 1}".into()),
        size: 3,
        hash: "0".into(),
        at: None,
    };
    database.store.park(std::slice::from_ref(&parked)).await.unwrap();
    let first = database.parked().await.remove(0);
    assert!(first.at.is_some());
    assert_eq!(Parked { at: None, ..first.clone() }, parked, "S5: and nothing of it is evaluated");
    database.store.park(std::slice::from_ref(&parked)).await.unwrap();
    assert_eq!(database.parked().await, std::slice::from_ref(&first));
    assert_eq!(database.store.parked_one(first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(database.store.count_parked().await.unwrap(), [(String::new(), 1)].into());
    assert_eq!(database.store.unpark(&[first.id]).await.unwrap(), 1);
    assert_eq!(database.store.parked_one(first.id).await.unwrap(), None);
    database.drop().await;
}

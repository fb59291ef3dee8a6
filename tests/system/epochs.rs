//! An owner is restored from a backup, its versions go back, and everything follows it.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::doc;
use nearcopy::event::Version;
use nearcopy::pipeline::{Pace, RebaseError, Retry};
use nearcopy::replication::{Key, Outcome, State};
use nearcopy::store::{ChangeStore, EpochStore, Epochs, ParkedStore};
use serde_json::{Value, json};

use crate::declared::{ASKED, ASKED_UNVERSIONED, PRODUCTS, changed, id, saved, shop};
use crate::mongodb::Database;
use crate::owner::Owner;
use crate::pod::Pod;
use crate::rabbitmq::eventually;
use crate::stage::{Stage, event};
use crate::writes::of_events;

/// When the owner was restored, in the events' words and in microseconds.
const AFTER: &str = "2026-03-01T12:00:00.001Z";
const RESTORED_AT: &str = "2026-03-01T12:00:00Z";
const RESTORED: i64 = 1_772_366_400_000_000;
const PACE: Pace = Pace { patience: Duration::from_secs(20), spread: Duration::from_millis(100) };

/// An event from before the restoration is as it is; this is one from after it.
fn after(mut event: Value) -> Value {
    event["time"] = AFTER.into();
    event
}

fn knows(epoch: i64) -> Epochs {
    BTreeMap::from([(nearcopy::event::EntityType::new("users"), epoch)])
}

impl Database {
    async fn key_is(&self, user: &str, epoch: i64, version: i64) {
        let what = format!("`{user}` is held at {epoch}.{version}");
        let key = async || self.held(user).await.and_then(|record| record.key);
        let is = async || key().await.is_some_and(|key| (key.epoch, key.version.get()) == (epoch, version));
        eventually(&what, is).await;
    }

    async fn name_of(&self, user: &str) -> Option<String> {
        self.stored(&id(user)).await.get_str("username").ok().map(str::to_owned)
    }
}

/// V5, A15: what the owner had said before it was restored loses, however high its versions, and whenever it arrives;
/// documents follow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_follows_an_owner_that_is_restored_from_a_backup() {
    let database = Database::new(&shop("referenced", ASKED, &[PRODUCTS])).await;
    let owner = Owner::new();
    owner.has("ann", 1_000, "Ann of the future");
    owner.has("bob", 900, "Bob, who is not in the backup");
    database.products([doc! { "_id": "p1", "userId": "ann" }, doc! { "_id": "p2", "userId": "bob" }]).await;
    let (pod, other) = (Pod::start(&database, &owner).await, Pod::start(&database, &owner).await);
    database.shows("p1", "Ann of the future").await;
    database.shows("p2", "Bob, who is not in the backup").await;
    pod.deliver([saved("ann", 1_001, "Ann of the future"), changed("ann", Some(1_500))]).await;

    owner.has("ann", 500, "Ann");
    owner.lacks("bob");
    let rebased = pod.rebase(database.of(), RESTORED, PACE).await.unwrap();
    assert_eq!((rebased.epoch, rebased.pods, rebased.asked), (1, 2, Some(2)));
    database.key_is("ann", 1, 500).await;
    database.shows("p1", "Ann").await;
    database.key_is("bob", 1, 0).await;

    // What had waited in the queue all the time loses, and so does what it asks for.
    let late =
        [saved("ann", 1_002, "Ann of the future"), changed("ann", Some(2_000)), saved("bob", 901, "Bob")];
    other.deliver(late).await;
    other.deliver([after(saved("ann", 501, "Anna"))]).await;
    database.key_is("ann", 1, 501).await;
    database.shows("p1", "Anna").await;
    let bob = database.record("bob").await;
    assert!(matches!(bob.state, State::Gone(_)), "{bob:?}");
    assert_eq!(database.record("ann").await.need, None, "a need of the old epoch does not bind");
    tokio::join!(pod.stop(), other.stop());
    assert_eq!(database.store.present().await.unwrap(), [], "who stops says so");
    database.drop().await;
}

/// A15: an epoch is not done with before every pod has heard of it, and who has not is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebase_waits_for_the_pod_that_has_not_heard_of_it() {
    let database = Database::new(&shop("all", ASKED, &[])).await;
    let owner = Owner::new();
    let pod = Pod::start(&database, &owner).await;
    pod.deliver([saved("ann", 1_000, "Ann of the future")]).await;
    let deaf = database.connect().await;
    deaf.announce(&knows(0), Duration::from_secs(60)).await.unwrap();
    owner.has("ann", 500, "Ann");
    let hasty = Pace { patience: Duration::from_millis(300), ..PACE };
    let Err(RebaseError::Unheard(unheard)) = pod.rebase(database.of(), RESTORED, hasty).await else {
        panic!("it has not waited");
    };
    assert!(unheard.iter().any(|pod| pod.epochs == knows(0)), "{unheard:?}");
    assert_eq!(owner.asked("ann"), 0, "nobody is asked before all have heard");
    deaf.announce(&knows(1), Duration::from_secs(60)).await.unwrap();
    pod.rebase(database.of(), RESTORED, PACE).await.unwrap();
    database.key_is("ann", 1, 500).await;
    assert_eq!(database.name_of("ann").await.as_deref(), Some("Ann"));
    pod.stop().await;
    database.drop().await;
}

/// C5, V5: a pod that slept through a rebase learns of it from the first record that is ahead of it, and drops nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_has_not_heard_drops_nothing_of_the_new_epoch() {
    let database = Database::new(&shop("all", "", &[])).await;
    let pod = Pod::start(&database, &Owner::new()).await;
    pod.deliver([saved("ann", 1_000, "Ann of the future")]).await;
    database.store.restored(database.of(), RESTORED).await.unwrap();
    let mut ahead = of_events(&database.declaration, &[saved("ann", 500, "Ann")]);
    for write in &mut ahead {
        let nearcopy::replication::RecordWrite::State { key, guard, .. } = write else { panic!("{write:?}") };
        (*key, *guard) = (key.clone().in_epoch(1), guard.clone().in_epoch(1));
    }
    database.write(&ahead).await;
    pod.deliver([after(saved("ann", 501, "Anna"))]).await;
    let record = database.record("ann").await;
    assert_eq!(
        record.key.unwrap().without_hash(),
        Key::live(Version::new(501), 1, &doc! {}.try_into().unwrap()).in_epoch(1).without_hash()
    );
    pod.stop().await;
    database.drop().await;
}

/// A15: an event that was put aside before the restoration keeps its epoch when it is taken up again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_event_keeps_the_epoch_of_its_time() {
    let database = Database::new(&shop("all", "", &[])).await;
    let pod = Pod::start(&database, &Owner::new()).await;
    let rule = doc! { "collMod": "users", "validator": { "username": { "$ne": "odd" } } };
    database.raw.run_command(rule).await.unwrap();
    pod.deliver([saved("ann", 1_000, "odd")]).await;
    pod.deliver([saved("ann", 999, "Ann of the future"), saved("bob", 99, "Bob of the future")]).await;
    pod.rebase(database.of(), RESTORED, PACE).await.unwrap();
    pod.deliver([after(saved("ann", 500, "Ann")), after(saved("bob", 7, "odd"))]).await;
    eventually("of an epoch that is over nothing stays parked", async || {
        let parked = database.store.parked(None, 9).await.unwrap();
        parked.iter().map(|parked| parked.version).eq([Some(7)])
    })
    .await;
    database.raw.run_command(doc! { "collMod": "users", "validator": {} }).await.unwrap();
    let parked = database.store.parked(None, 9).await.unwrap();
    assert_eq!(
        pod.retry(&parked[0]).await,
        Ok(Retry::Done(Outcome::Applied)),
        "a higher version is no reason"
    );
    database.key_is("bob", 1, 7).await;
    let old = nearcopy::store::Parked {
        excerpt: Some(saved("ann", 1_000, "odd").to_string()),
        ..parked[0].clone()
    };
    assert_eq!(pod.retry(&old).await, Ok(Retry::Done(Outcome::Stale)));
    database.key_is("ann", 1, 500).await;
    pod.stop().await;
    database.drop().await;
}

/// V5: without versions, too, the owner's word after the restoration stands against what is left from before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_without_versions_in_its_answers_is_followed_too() {
    let database = Database::new(&shop("all", ASKED_UNVERSIONED, &[])).await;
    let owner = Owner::new();
    let pod = Pod::start(&database, &owner).await;
    pod.deliver([saved("ann", 1_000, "Ann of the future")]).await;
    owner.has("ann", None, "Ann");
    pod.rebase(database.of(), RESTORED, PACE).await.unwrap();
    eventually("Ann is as in the backup", async || database.name_of("ann").await.as_deref() == Some("Ann"))
        .await;
    pod.deliver([saved("ann", 1_001, "Ann of the future")]).await;
    assert_eq!(database.name_of("ann").await.as_deref(), Some("Ann"));
    pod.deliver([after(saved("ann", 501, "Anna"))]).await;
    assert_eq!(database.name_of("ann").await.as_deref(), Some("Anna"));
    pod.stop().await;
    database.drop().await;
}

/// V5: a time that is still to come, or before a known one, begins no epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_begin_in_their_order_and_not_in_the_future() {
    let database = Database::new(&shop("all", "", &[])).await;
    let pod = Pod::start(&database, &Owner::new()).await;
    let rebase = async |at: i64| pod.rebase(database.of(), at, PACE).await.map(|rebased| rebased.epoch);
    assert_eq!(rebase(RESTORED + 900_000_000_000_000).await, Err(RebaseError::Early));
    assert_eq!(rebase(RESTORED).await, Ok(1));
    assert_eq!(rebase(RESTORED).await, Ok(1), "twice is once");
    assert_eq!(rebase(RESTORED - 1_000_000).await, Err(RebaseError::Superseded));
    assert_eq!(rebase(RESTORED + 1_000_000).await, Ok(2));
    pod.stop().await;
    database.drop().await;
}

/// V5: where events do not say when they happened, that shows in the records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_events_do_not_say_when_they_happened_is_seen() {
    let database = Database::new(&shop("all", "", &[])).await;
    let undated = async || database.store.is_undated(database.of()).await.unwrap();
    assert!(undated().await, "nothing is held, so nothing shows that they do");
    database.write(&of_events(&database.declaration, &[saved("ann", 1, "Ann")])).await;
    assert!(!undated().await);
    let mut dateless = saved("bob", 1, "Bob");
    dateless["time"] = Value::Null;
    database.write(&of_events(&database.declaration, &[dateless])).await;
    assert!(undated().await);
    database.drop().await;
}

/// C7: who holds a lease, and who is at work, is judged by the database's clock on both sides; no pod's time is in any of
/// these statements.
#[tokio::test]
async fn pods_are_present_by_the_clock_of_the_database() {
    let database = Database::new(&shop("all", "", &[])).await;
    let (one, other) = (database.connect().await, database.connect().await);
    one.announce(&knows(0), Duration::from_secs(60)).await.unwrap();
    other.announce(&knows(3), Duration::from_millis(1)).await.unwrap();
    eventually("the other's time is over", async || one.present().await.unwrap().len() == 1).await;
    let stored = database.collection("nearcopy.leases").find_one(doc! { "until": { "$exists": true } }).await;
    let stored = stored.unwrap().unwrap();
    let millis = |name: &str| stored.get_datetime(name).unwrap().timestamp_millis();
    let server = database.raw.run_command(doc! { "hello": 1 }).await.unwrap();
    let server = server.get_datetime("localTime").unwrap().timestamp_millis();
    let held: Vec<i64> = vec![millis("until") - millis("at"), server - millis("at")];
    assert!(held[0] == 60_000 || held[0] == 1, "{held:?}");
    assert!((0..10_000).contains(&held[1]), "it is the server's time: {held:?}");
    assert_eq!(one.present().await.unwrap()[0].epochs, knows(0));

    assert!(one.lease("rounds", Duration::from_secs(60)).await.unwrap());
    assert!(!other.lease("rounds", Duration::from_secs(60)).await.unwrap());
    let leases = database.collection("nearcopy.leases");
    let lease = leases.find_one(doc! { "_id": "rounds" }).await.unwrap().unwrap();
    let left = lease.get_datetime("until").unwrap().timestamp_millis() - server;
    assert!((50_000..70_000).contains(&left), "it is held by the server's time: {left} ms are left");
    let over = bson::DateTime::from_millis(server - 1);
    leases.update_one(doc! { "_id": "rounds" }, doc! { "$set": { "until": over } }).await.unwrap();
    assert!(other.lease("rounds", Duration::from_secs(60)).await.unwrap(), "and over by the server's time");
    database.drop().await;
}

/// V5: versions that go back without anybody having said so are counted and said; `rebase` mends it, and `check` shows
/// that it did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_told_that_versions_have_gone_back_and_mends_it() {
    let stage = Stage::new().await;
    let users: Vec<String> = (0..6).map(|number| format!("u{number}")).collect();
    for user in &users {
        stage.consumer.sells(&format!("of {user}"), user).await;
        stage.owner.has(user, 1_000, "from the future");
    }
    let plan = stage.plan();
    let sidecar = plan.start().await;
    for user in &users {
        stage.consumer.record_is("users", user.as_str(), "live", 1_000).await;
    }
    stage.events(users.iter().map(|user| event("user.updated", user, 1_001, "from the future"))).await;
    for user in &users {
        stage.consumer.record_is("users", user.as_str(), "live", 1_001).await;
        stage.owner.has(user, 500, "as in the backup");
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while sidecar.logged("owner.gone_back").is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "nobody says so:\n{}", sidecar.last_words());
        let due = doc! { "q": {}, "u": [{ "$set": { "_nearcopy.due": "$$NOW" } }], "multi": true };
        stage.consumer.run(doc! { "update": "users", "updates": [due] }).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(sidecar.metrics().await.sum("nearcopy_regressions_total", &[("replica", "users")]) >= 4);

    let rebase = ["rebase", "users", "--at", RESTORED_AT, "--manifest", "{manifest}", "--spread", "1s"];
    let planned = plan.run(&[&rebase as &[&str], &["--dry-run"]].concat());
    assert!(planned.status.success(), "{planned:?}");
    assert_eq!(stage.consumer.all("nearcopy.epochs").await, [], "it was only asked what would be done");
    let done = plan.run(&[&rebase as &[&str], &["--output", "json", "--purged"]].concat());
    let receipt: Value = serde_json::from_slice(&done.stdout).unwrap();
    let expected = json!({ "replica": "users", "at": RESTORED_AT, "epoch": 1, "pods": 1, "asked": 6 });
    assert_eq!((done.status.code(), receipt), (Some(0), expected));
    for user in &users {
        stage.consumer.record_is("users", user.as_str(), "live", 500).await;
        stage.consumer.shows(&format!("of {user}"), "as in the backup").await;
    }
    let checked = plan.run(&["check", "--online", "{manifest}"]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(said.contains("pods at work: 1"), "{said}");
    assert!(said.contains("replica `users` is in epoch 1, since 2026-03-01T12:00:00Z"), "{said}");
    sidecar.stop().await;
    stage.clear().await;
}

/// V5: where it cannot be seen that events say when they happened, the operator must say that none is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_times_the_queue_must_be_empty_and_somebody_must_say_so() {
    let stage = Stage::new().await;
    let refused = stage.plan().run(&["rebase", "users", "--at", RESTORED_AT, "--manifest", "{manifest}"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said.contains("not every event of `users` says when it happened") && said.contains("--purged"),
        "{said}"
    );
    assert_eq!(stage.consumer.all("nearcopy.epochs").await, []);
    stage.clear().await;
}

//! Partial events on a real database: out of order, from two pods at once, and what documents show of them.

use std::time::Duration;

use bson::{Document, doc};
use nearcopy::event::Version;
use nearcopy::replication::{Key, RecordWrite, State, Timeline, Why, revise};
use nearcopy::store::RecordStore;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::declared::{
    ASKED, PRODUCTS, deleted, event, gapless_shop, id, interpret, patched, patched_shop, saved,
};
use crate::mongodb::Database;
use crate::owner::Owner;
use crate::pod::{Pod, QUICK};
use crate::rabbitmq::eventually;

async fn referenced() -> Database {
    Database::new(&patched_shop("referenced", ASKED, &[PRODUCTS])).await
}

impl Database {
    async fn fields(&self, user: &str) -> Document {
        let mut stored = self.stored(&id(user)).await;
        stored.remove("_nearcopy");
        stored.remove("_id");
        stored
    }

    /// What events make of the record as it is now, without writing it.
    async fn revision(&self, user: &str, events: &[Value]) -> Vec<RecordWrite> {
        let read: Vec<_> =
            events.iter().map(|event| interpret(&self.declaration, event).unwrap().unwrap()).collect();
        let held = self.held(user).await.map(|record| (record.id.clone(), record));
        revise(self.of(), &read, &Timeline::default(), &held.into_iter().collect()).folded.writes
    }
}

fn full(user: &str, version: i64, username: &str, email: &str) -> Value {
    event("user.saved", json!({ "id": user, "version": version, "username": username, "email": email }))
}

/// A13: a late full state fills in the rest, and documents show what each version says of each field.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_out_of_order_end_in_the_newest_of_each_field() {
    let (database, owner) = (referenced().await, Owner::new());
    owner.shows("ann", 1, doc! { "username": "Ann", "email": "1@x" });
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    let pod = Pod::start(&database, &owner).await;
    database.shows("p1", "Ann").await;
    owner.is_down(true);
    pod.deliver([patched("ann", 4, json!({ "email": "4@x" }))]).await;
    pod.deliver([patched("ann", 2, json!({ "email": "2@x", "username": "Anna" }))]).await;
    assert_eq!(database.fields("ann").await, doc! { "username": "Anna", "email": "4@x" });
    pod.deliver([full("ann", 3, "Anne", "3@x"), patched("ann", 4, json!({ "email": "4@x" }))]).await;
    assert_eq!(database.fields("ann").await, doc! { "username": "Anne", "email": "4@x" });
    let shown = database.product("p1").await.unwrap();
    assert_eq!(shown.get_document("user").unwrap(), &doc! { "username": "Anne", "email": "4@x" });
    let stamp = shown.get_document("_nearcopy").unwrap().get_document("product-user").unwrap();
    assert_eq!(stamp.get_i64("version").unwrap(), 4);
    let record = database.record("ann").await;
    assert_eq!(record.patched, [("email".to_owned(), Version::new(4))].into());
    pod.deliver([full("ann", 5, "Anja", "5@x")]).await;
    assert_eq!(database.fields("ann").await, doc! { "username": "Anja", "email": "5@x" });
    assert!(!database.stored(&id("ann")).await.get_document("_nearcopy").unwrap().contains_key("fv"));
    database.drop().await;
}

/// A13: what a patch speaks of and nobody knows in full is asked about, and the answer leaves newer fields alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_above_a_deletion_brings_the_rest_from_the_owner() {
    let (database, owner) = (referenced().await, Owner::new());
    owner.shows("ann", 1, doc! { "username": "Ann", "email": "1@x" });
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    let pod = Pod::start(&database, &owner).await;
    database.shows("p1", "Ann").await;
    owner.is_down(true);
    pod.deliver([deleted("ann", 3)]).await;
    assert_eq!(database.record("ann").await.state, State::Gone(Why::Deleted));
    pod.deliver([patched("ann", 5, json!({ "email": "5@x" }))]).await;
    let pending = database.record("ann").await;
    assert_eq!((pending.state, pending.need), (State::Pending, Some(Version::new(5))));
    owner.shows("ann", 4, doc! { "username": "Ann again", "email": "4@x" });
    owner.is_down(false);
    database.shows("p1", "Ann again").await;
    assert_eq!(database.fields("ann").await, doc! { "username": "Ann again", "email": "5@x" });
    owner.shows("ann", 5, doc! { "username": "Ann again", "email": "5@x" });
    eventually("it is known in full", async || database.record("ann").await.need.is_none()).await;
    let known = database.record("ann").await;
    assert_eq!((known.version(), known.patched.len()), (Some(Version::new(5)), 0));
    database.drop().await;
}

/// A2, A6: a patch of an unwanted entity leaves nothing; of one that is kept anyway, a record to be asked about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_of_the_unknown_leaves_nothing_or_a_question() {
    let (database, owner) = (referenced().await, Owner::new());
    let pod = Pod::start(&database, &owner).await;
    pod.deliver([patched("zoe", 4, json!({ "email": "4@x" }))]).await;
    assert_eq!(database.held("zoe").await, None);
    database.drop().await;

    let (database, owner) = (Database::new(&patched_shop("all", ASKED, &[])).await, Owner::new());
    owner.shows("zoe", 4, doc! { "username": "Zoe", "email": "4@x" });
    let pod = Pod::start(&database, &owner).await;
    pod.deliver([patched("zoe", 4, json!({ "email": "4@x" }))]).await;
    eventually("Zoe is known", async || database.record("zoe").await.state == State::Live).await;
    assert_eq!(database.fields("zoe").await, doc! { "username": "Zoe", "email": "4@x" });
    database.drop().await;
}

/// A13: two pods write patches of the same entities at the same time, and no field of any is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pods_that_patch_the_same_entities_lose_no_field() {
    const LAST: i64 = 60;
    let database = Database::new(&patched_shop("all", "", &[])).await;
    let owner = Owner::new();
    let pods = [Pod::start(&database, &owner).await, Pod::start(&database, &owner).await];
    let names = ["username", "email", "extra"];
    let users: Vec<String> = (0..5).map(|number| format!("user-{number}")).collect();
    for version in (1..=LAST).rev() {
        for user in &users {
            let name = names[usize::try_from(version).unwrap() % 3];
            let event = match version {
                30 => full(user, version, "full", "full"),
                _ => patched(user, version, json!({ name: version })),
            };
            pods[usize::from(version % 2 == 0)].send(&event).await;
            if version % 7 == 0 {
                pods[usize::from(version % 2 == 1)].send(&event).await;
            }
        }
    }
    for pod in &pods {
        pod.is_done().await;
    }
    let newest = |at: i64| (1..=LAST).rev().find(|version| version % 3 == at).unwrap();
    for user in &users {
        let expected = doc! { "username": newest(0), "email": newest(1), "extra": newest(2) };
        assert_eq!(database.fields(user).await, expected, "{user}");
        assert_eq!(database.record(user).await.state, State::Live);
    }
    database.drop().await;
}

/// A13: a revision enters where the record is as it was read, and nowhere else; what moves no revision is not lost.
#[tokio::test]
async fn a_revision_enters_only_where_nothing_has_changed_since() {
    let database = referenced().await;
    database.write(&[RecordWrite::Placeholder { id: id("42"), ask: true, hold: None }]).await;
    let first = database.revision("42", &[full("42", 1, "ann", "1@x")]).await;
    assert_eq!(database.write(&first).await.changed, 1);
    assert_eq!(database.write(&first).await.changed, 0, "written twice is written once");
    let (one, other) = (
        database.revision("42", &[patched("42", 2, json!({ "email": "2@x" }))]).await,
        database.revision("42", &[patched("42", 3, json!({ "username": "anna" }))]).await,
    );
    let need = RecordWrite::Need { id: id("42"), floor: Some(Key::floor(0, Version::new(9))) };
    database.write(&[need]).await;
    assert_eq!(database.write(&one).await.changed, 1, "a need moves no revision");
    assert_eq!(database.write(&other).await.changed, 0);
    let record = database.record("42").await;
    assert_eq!(record.fields, doc! { "username": "ann", "email": "2@x" });
    assert_eq!((record.need, record.owes, record.claim), (Some(Version::new(9)), true, None));
    let full = database.revision("42", &[full("42", 9, "anne", "9@x")]).await;
    database.write(&full).await;
    assert_eq!(database.record("42").await.need, None);
    database.drop().await;
}

/// A3, A13: of two pods that both find no record, one makes it, and the other goes round again.
#[tokio::test]
async fn a_record_that_is_not_there_is_made_once() {
    let database = Database::new(&patched_shop("all", "", &[])).await;
    let (one, other) = (
        database.revision("42", &[patched("42", 2, json!({ "email": "2@x" }))]).await,
        database.revision("42", &[full("42", 1, "ann", "1@x")]).await,
    );
    assert_eq!(database.write(&one).await.changed, 1);
    assert_eq!(database.write(&other).await.changed, 0);
    let held = database.record("42").await;
    assert_eq!((held.state, held.key, held.due), (State::Pending, None, None));
    assert_eq!(held.fields, doc! { "email": "2@x" });
    let again = database.revision("42", &[full("42", 1, "ann", "1@x")]).await;
    assert_eq!(database.write(&again).await.changed, 1);
    assert_eq!(database.fields("42").await, doc! { "username": "ann", "email": "2@x" });
    database.drop().await;
}

/// D5: of patches that the database refuses together, only the one to blame is put aside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_patches_of_one_entity_only_the_refused_one_is_put_aside() {
    let database = Database::new(&patched_shop("all", ASKED, &[])).await;
    let rule = doc! { "collMod": "users", "validator": { "username": { "$ne": "forbidden" } } };
    database.raw.run_command(rule).await.unwrap();
    let owner = Owner::new();
    owner.is_down(true);
    let events = [
        saved("ann", 1, "Ann"),
        patched("ann", 2, json!({ "email": "2@x" })),
        patched("ann", 3, json!({ "username": "forbidden" })),
        patched("ann", 4, json!({ "extra": 4 })),
    ];
    let pod = Pod::on(&database, &owner, QUICK, &events).await;
    pod.is_done().await;
    let all = doc! { "username": "Ann", "email": "2@x", "extra": 4_i64 };
    assert_eq!(database.fields("ann").await, all);
    let parked = nearcopy::store::ParkedStore::parked(&*database.store, None, 10).await.unwrap();
    assert_eq!(parked.iter().map(|parked| parked.version).collect::<Vec<_>>(), [Some(3)]);
    // D4: what it would have said, the owner says.
    owner.shows("ann", 5, doc! { "username": "Anna" });
    owner.is_down(false);
    eventually("it is made good", async || {
        nearcopy::store::ParkedStore::parked(&*database.store, None, 10).await.unwrap().is_empty()
    })
    .await;
    database.drop().await;
}

/// A patch that cannot be read asks the owner for what it could not say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_patch_is_made_good_by_the_owner() {
    let (database, owner) = (referenced().await, Owner::new());
    owner.has("ann", 1, "Ann");
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    let pod = Pod::start(&database, &owner).await;
    database.shows("p1", "Ann").await;
    owner.has("ann", 2, "Anna");
    pod.deliver([patched("ann", 2, json!({ "username": { "a\0": 1 } }))]).await;
    database.shows("p1", "Anna").await;
    eventually("it is made good", async || {
        nearcopy::store::ParkedStore::parked(&*database.store, None, 10).await.unwrap().is_empty()
    })
    .await;
    sleep(Duration::from_millis(10)).await;
    database.drop().await;
}

/// The store says of a read-back what the pods' next round rests on: fields, too, where patches are compared.
#[tokio::test]
async fn fields_are_read_back_where_patches_are_compared() {
    let database = Database::new(&patched_shop("all", "", &[])).await;
    let writes = database.revision("42", &[full("42", 1, "ann", "1@x")]).await;
    let moment = database.write(&writes).await.moment;
    let read = database.store.read(database.of(), &[id("42")], moment).await.unwrap();
    assert_eq!(read[&id("42")].fields, doc! { "username": "ann", "email": "1@x" });
    database.drop().await;
}

/// V2: what a patch that never came would have said is asked for, without waiting for anything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_patch_is_made_good_by_the_owner() {
    let database = Database::new(&gapless_shop("referenced", ASKED, &[PRODUCTS])).await;
    let owner = Owner::new();
    owner.shows("ann", 1, doc! { "username": "Ann", "email": "1@x" });
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    let pod = Pod::start(&database, &owner).await;
    database.shows("p1", "Ann").await;
    eventually("nothing more is to be asked", async || database.record("ann").await.due.is_none()).await;
    // Version 2 changed the name, and is lost.
    owner.shows("ann", 3, doc! { "username": "Anna", "email": "3@x" });
    pod.deliver([patched("ann", 3, json!({ "email": "3@x" }))]).await;
    assert_eq!(database.fields("ann").await, doc! { "username": "Ann", "email": "3@x" });
    database.shows("p1", "Anna").await;
    assert_eq!(database.fields("ann").await, doc! { "username": "Anna", "email": "3@x" });
    database.drop().await;
}

/// V4, A18: an event from the future is put aside and its entity asked about, and no answer from there is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_from_the_future_freezes_nothing() {
    let manifest = "service: shop
sources:
  users: { rabbitmq: { exchange: users, queue: shop.users, bindings: [\"user.#\"] } }
replicas:
  users:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: { time: data.at }
    fields: { username: data.username, email: data.email }
    on: { user.saved: upsert }
    fetch: { url: \"http://owner/users/{id}\", settle: 200ms, from: { version: at } }
";
    let database = Database::new(&crate::declared::declared(manifest)).await;
    let owner = Owner::new();
    let pod = Pod::start(&database, &owner).await;
    let saved = |at: &str, name: &str| {
        event("user.saved", json!({ "id": "ann", "at": at, "username": name, "email": null }))
    };
    let second = |number: i64| 1_700_000_000_000_000 + number * 1_000_000;
    pod.deliver([saved("2023-11-14T22:13:21Z", "Ann")]).await;
    assert_eq!(database.record("ann").await.version(), Some(Version::new(second(1))));
    owner.has("ann", second(2), "Anna");
    pod.deliver([saved("2999-01-01T00:00:00Z", "Zoe")]).await;
    eventually("the owner has said how it is", async || {
        database.record("ann").await.version() == Some(Version::new(second(2)))
    })
    .await;
    eventually("the event is made good", async || {
        nearcopy::store::ParkedStore::parked(&*database.store, None, 10).await.unwrap().is_empty()
    })
    .await;
    pod.deliver([saved("2023-11-14T22:13:23Z", "Anne")]).await;
    assert_eq!(database.fields("ann").await.get_str("username").unwrap(), "Anne", "later states still enter");
    database.drop().await;
}

/// F1, A13: an answer that a patch has overtaken still fills in the rest, so patches that come faster than answers keep
/// no entity unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_patches_overtake_still_fills_in_the_rest() {
    let (database, owner) = (referenced().await, Owner::new());
    owner.shows("ann", 1, doc! { "username": "Ann", "email": "1@x" });
    owner.hold();
    let pod = Pod::start(&database, &owner).await;
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    eventually("the owner is asked", async || owner.asked("ann") > 0).await;
    owner.is_down(true);
    pod.deliver([patched("ann", 4, json!({ "email": "4@x" }))]).await;
    assert_eq!(database.record("ann").await.state, State::Pending);
    owner.let_go();
    database.shows("p1", "Ann").await;
    assert_eq!(database.fields("ann").await, doc! { "username": "Ann", "email": "4@x" });
    let record = database.record("ann").await;
    assert_eq!((record.state, record.need), (State::Live, Some(Version::new(4))), "it is asked for still");
    database.drop().await;
}

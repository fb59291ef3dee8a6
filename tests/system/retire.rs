//! Records that nobody refers to go, and no record goes that somebody refers to.

use std::time::Duration;

use bson::{Bson, doc};
use nearcopy::event::EntityId;
use nearcopy::pipeline::Rhythm;
use nearcopy::replication::State;
use nearcopy::store::RetireStore;
use tokio::time::sleep;

use crate::declared::{ASKED, PRODUCTS, id, saved, shop};
use crate::mongodb::Database;
use crate::owner::Owner;
use crate::pod::{Pod, RETIRING};
use crate::rabbitmq::eventually;
use crate::writes::{of_events, placeholder, unmark};

async fn database() -> Database {
    Database::new(&shop("referenced", ASKED, &[PRODUCTS])).await
}

impl Database {
    async fn mark(&self) -> Vec<(EntityId, Bson)> {
        self.store.mark(self.of(), &[id("ann")]).await.unwrap();
        self.marked(Duration::ZERO).await
    }

    async fn marked(&self, grace: Duration) -> Vec<(EntityId, Bson)> {
        self.store.marked(self.of(), grace, 10).await.unwrap()
    }

    async fn retire(&self, marked: &[(EntityId, Bson)]) -> u64 {
        self.store.retire(self.of(), marked).await.unwrap()
    }
}

/// G4: a mark that was taken away does not come back with the next one.
#[tokio::test]
async fn a_record_goes_only_under_the_very_mark_it_was_looked_at_with() {
    let database = database().await;
    database.write(&[placeholder("ann")]).await;
    let first = database.mark().await;
    assert_eq!(database.mark().await, first, "who is marked keeps its mark");
    database.write(&[unmark("ann")]).await;
    assert_eq!((database.marked(Duration::ZERO).await.len(), database.retire(&first).await), (0, 0));
    let second = database.mark().await;
    assert_ne!(second, first);
    assert_eq!(database.retire(&first).await, 0, "the pod that was paused deletes nothing");
    assert_eq!(database.retire(&second).await, 1);
    assert_eq!(database.held("ann").await, None);
    database.drop().await;
}

/// G3: events leave the mark, grace is grace, and who is held is not retired.
#[tokio::test]
async fn a_mark_stands_beside_the_state_and_respects_grace_and_holds() {
    let database = database().await;
    database.write(&[placeholder("ann")]).await;
    let marked = database.mark().await;
    assert_eq!(database.marked(Duration::from_secs(60)).await, []);
    database.write(&of_events(&database.declaration, &[saved("ann", 1, "Ann")])).await;
    assert_eq!(database.marked(Duration::ZERO).await, marked);
    let users = database.collection("users");
    users.update_one(doc! {}, doc! { "$set": { "_nearcopy.hold": bson::DateTime::MAX } }).await.unwrap();
    assert_eq!(database.retire(&marked).await, 0);
    users
        .update_one(doc! {}, doc! { "$set": { "_nearcopy.hold": bson::DateTime::from_millis(0) } })
        .await
        .unwrap();
    assert_eq!(database.retire(&marked).await, 1);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_goes_with_its_last_reference_and_comes_back_with_the_next() {
    let (database, owner) = (database().await, Owner::new());
    owner.has("ann", 1, "Ann");
    owner.has("bob", 1, "Bob");
    database.products([doc! { "_id": "p1", "userId": "ann" }, doc! { "_id": "p2", "userId": "bob" }]).await;
    let pod = Pod::with(&database, &owner, RETIRING).await;
    database.shows("p1", "Ann").await;
    database.collection("products").delete_one(doc! { "_id": "p1" }).await.unwrap();
    eventually("Ann is gone", async || database.held("ann").await.is_none()).await;
    pod.deliver([saved("ann", 2, "Anna")]).await;
    assert_eq!(database.held("ann").await, None, "and nobody brings her back but a reference");
    owner.has("ann", 2, "Anna");
    database.products([doc! { "_id": "p3", "userId": "ann" }]).await;
    database.shows("p3", "Anna").await;
    sleep(Duration::from_millis(800)).await;
    assert!(database.held("ann").await.is_some() && database.held("bob").await.is_some());
    database.drop().await;
}

/// G4: references come and go around the very moment of retirement, under two pods; whoever is referred to in
/// the end is held, shown, and kept up to date.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_that_comes_in_the_instant_of_retirement_is_served() {
    let (database, owner) = (database().await, Owner::new());
    let users: Vec<String> = (0..20).map(|number| format!("user-{number}")).collect();
    for user in &users {
        owner.has(user, 1, "one");
    }
    database.products([doc! { "_id": "p", "userId": "nobody" }]).await;
    let rhythm = Rhythm { retire_grace: Duration::from_millis(50), ..RETIRING };
    let pods = [Pod::with(&database, &owner, rhythm).await, Pod::with(&database, &owner, rhythm).await];
    let products = database.collection("products");
    for round in 0..4 {
        for user in &users {
            products.insert_one(doc! { "_id": format!("{user}-{round}"), "userId": user }).await.unwrap();
        }
        sleep(Duration::from_millis(150)).await;
        for (number, user) in (0_u64..).zip(&users) {
            products.delete_one(doc! { "_id": format!("{user}-{round}") }).await.unwrap();
            sleep(Duration::from_millis(number % 7 * 5)).await;
        }
    }
    for user in &users {
        products.insert_one(doc! { "_id": user, "userId": user }).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    for user in &users {
        database.shows(user, "one").await;
    }
    for (number, user) in users.iter().enumerate() {
        owner.has(user, 2, "two");
        pods[number % 2].deliver([saved(user, 2, "two")]).await;
    }
    for user in &users {
        database.shows(user, "two").await;
        assert!(database.held(user).await.is_some());
    }
    database.drop().await;
}

/// G4: who relies on a marked record frees it first, so the pod that looked before, and was paused, deletes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marked_record_is_freed_by_whoever_comes_to_rely_on_it() {
    let (database, owner) = (database().await, Owner::new());
    owner.has("ann", 1, "Ann");
    database.products([doc! { "_id": "p1", "userId": "nobody" }]).await;
    database.write(&[placeholder("ann")]).await;
    let pod = Pod::start(&database, &owner).await;
    eventually("Ann is known", async || database.record("ann").await.state == State::Live).await;
    pod.deliver([saved("ann", 2, "Anna")]).await;
    let looked_at = database.mark().await;
    assert_eq!(looked_at.len(), 1);
    database.products([doc! { "_id": "p2", "userId": "ann" }]).await;
    database.shows("p2", "Anna").await;
    assert_eq!(database.retire(&looked_at).await, 0);
    assert!(!database.record("ann").await.marked);
    database.drop().await;
}

/// G4: nor does anybody rely on a record that was retired between the look at it and its being freed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_retired_while_it_is_being_freed_is_made_anew() {
    let (database, owner) = (database().await, Owner::new());
    owner.has("ann", 1, "Ann");
    database.products([doc! { "_id": "p1", "userId": "nobody" }]).await;
    database.write(&[placeholder("ann")]).await;
    let pod = Pod::start(&database, &owner).await;
    eventually("Ann is known for good", async || owner.asked("ann") > 1).await;
    sleep(Duration::from_millis(500)).await;
    let looked_at = database.mark().await;
    // The server holds the next write to users back for a while.
    let users = format!("{}.users", database.raw.name());
    let hold = doc! { "failCommands": ["update"], "namespace": users, "blockConnection": true, "blockTimeMS": 1_000 };
    let point = doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": hold };
    let admin = database.raw.client().database("admin");
    admin.run_command(point).await.unwrap();
    database.products([doc! { "_id": "p2", "userId": "ann" }]).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(database.retire(&looked_at).await, 1, "the record was freed too soon for this test");
    database.shows("p2", "Ann").await;
    eventually("Ann is held", async || database.held("ann").await.is_some()).await;
    owner.has("ann", 2, "Anna");
    pod.deliver([saved("ann", 2, "Anna")]).await;
    database.shows("p2", "Anna").await;
    database.drop().await;
}

//! A database that loses what it had taken, has no room, is slow, or lets only one in at a time: nothing is settled that
//! is not there to stay, and all goes on by itself.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::Client;
use tokio::time::sleep;

use crate::declared::{ASKED, PRODUCTS, saved, shop};
use crate::mongodb::Database;
use crate::owner::Owner;
use crate::pod::Pod;
use crate::rabbitmq::eventually;
use crate::replica_set::ReplicaSet;

/// M1: what a primary took, and lost when it fell before anybody had copied it, was not settled; it is written anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_settled_by_a_write_that_is_rolled_back() {
    let mut set = ReplicaSet::start().await;
    let database = Database::at(&set.url(), &shop("all", "", &[])).await;
    let pod = Pod::start(&database, &Owner::new()).await;
    pod.deliver([saved("ann", 1, "Ann")]).await;

    let old = set.primary(&[]).await.unwrap();
    let others: Vec<usize> = (0..3).filter(|member| *member != old).collect();
    for member in &others {
        set.fail_point(*member, "stopReplProducer", "alwaysOn", doc! {}).await;
    }
    let alone = Client::with_uri_str(set.direct(old)).await.unwrap().database(database.raw.name());
    // What is under way between the members is copied still.
    sleep(Duration::from_millis(500)).await;
    let tag = pod.send(&saved("ann", 2, "Anna")).await;
    eventually("the primary has the write", async || {
        let found = alone.collection::<Document>("users").find_one(doc! { "_id": "ann" }).await;
        found.is_ok_and(|found| {
            found.is_some_and(|ann| ann.get_str("username").is_ok_and(|name| name == "Anna"))
        })
    })
    .await;
    sleep(Duration::from_secs(1)).await;
    assert!(!pod.is_settled(tag), "settled on one member's word");

    set.kill(old);
    for member in &others {
        set.fail_point(*member, "stopReplProducer", "off", doc! {}).await;
    }
    eventually("another member is elected", async || set.primary(&[old]).await.is_some()).await;
    set.restart(old);
    eventually("the event is settled", async || pod.is_settled(tag)).await;
    let held = database.record("ann").await;
    assert_eq!(held.key.unwrap().version.get(), 2, "settled, and lost");
    eventually("the old primary has thrown its write away", async || {
        std::fs::read_dir(set.folder_of(old).join("rollback")).is_ok_and(|files| files.count() > 0)
    })
    .await;
    pod.deliver([saved("ann", 3, "Anne")]).await;
    assert_eq!(database.record("ann").await.key.unwrap().version.get(), 3);
    assert_eq!(database.collection("nearcopy.parked").count_documents(doc! {}).await.unwrap(), 0);
}

/// M4: a disk without room, writes that are blocked, a cache that is full, a server that is slow: nothing is settled
/// meanwhile, nothing is put aside, and the same pod goes on when it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_trouble_settles_nothing_and_recovers_by_itself() {
    let set = ReplicaSet::start().await;
    let database = Database::at(&set.url(), &shop("referenced", ASKED, &[PRODUCTS])).await;
    let owner = Owner::new();
    owner.has("ann", 1, "Ann 1");
    database.products([doc! { "_id": "p", "userId": "ann" }]).await;
    let pod = Pod::start(&database, &owner).await;
    database.shows("p", "Ann 1").await;

    let primary = set.primary(&[]).await.unwrap();
    let failing = |code: i32| doc! { "failCommands": ["update", "insert", "delete"], "errorCode": code };
    let slow = doc! { "failCommands": ["update"], "blockConnection": true, "blockTimeMS": 2_000 };
    let troubles = [failing(14_031), failing(371), failing(365), failing(8), slow];
    for (version, trouble) in (2..).zip(troubles) {
        let name = format!("Ann {version}");
        owner.has("ann", version, &name);
        set.fail_point(primary, "failCommand", "alwaysOn", trouble.clone()).await;
        let tag = pod.send(&saved("ann", version, &name)).await;
        sleep(Duration::from_millis(1_200)).await;
        assert!(!pod.is_settled(tag), "settled in spite of {trouble}");
        set.fail_point(primary, "failCommand", "off", doc! {}).await;
        eventually("the event is settled", async || pod.is_settled(tag)).await;
        database.shows("p", &name).await;
    }
    assert_eq!(database.collection("nearcopy.parked").count_documents(doc! {}).await.unwrap(), 0);
}

/// M4: with one connection for everything, everything takes its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_is_enough() {
    let url = std::env::var("MONGODB_URL").unwrap();
    let narrow = format!("{url}{}maxPoolSize=1", if url.contains('?') { "&" } else { "/?" });
    let database = Database::at(&narrow, &shop("referenced", ASKED, &[PRODUCTS])).await;
    let owner = Owner::new();
    owner.has("ann", 1, "Ann");
    database.products((0..50).map(|at| doc! { "_id": at, "userId": "ann" })).await;
    let pod = Pod::start(&database, &owner).await;
    eventually("the first shows Ann", async || database.count(doc! { "user.username": "Ann" }).await == 50)
        .await;
    owner.has("ann", 40, "Anne");
    pod.deliver((2..=40).map(|version| saved("ann", version, if version == 40 { "Anne" } else { "Anna" })))
        .await;
    eventually("all show Anne", async || database.count(doc! { "user.username": "Anne" }).await == 50).await;
    database.drop().await;
}

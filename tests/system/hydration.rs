//! Documents find what they refer to, and go on showing it, whatever the consumer does to them.

use std::time::Duration;

use bson::{Bson, Document, doc};
use nearcopy::pipeline::Rhythm;
use nearcopy::replication::{Record, Scope, State};
use nearcopy::store::{EmbedStore, ParkedStore};

use crate::declared::{ASKED, PRODUCTS, deleted, saved, shop};
use crate::mongodb::Database;
use crate::owner::Owner;
use crate::pod::{Pod, QUICK};
use crate::rabbitmq::eventually;
use crate::writes::{of_events, placeholder};

async fn products() -> Database {
    let database = Database::new(&shop("referenced", ASKED, &[PRODUCTS])).await;
    database.products([doc! { "_id": "first", "userId": "ann" }]).await;
    database
}

impl Database {
    /// Waits until a product shows a user of that name.
    pub(crate) async fn shows(&self, product: &str, name: &str) {
        eventually(&format!("`{product}` shows `{name}`"), async || {
            self.name_on(product).await.as_deref() == Some(name)
        })
        .await;
    }

    /// The name that a product shows.
    pub(crate) async fn name_on(&self, product: &str) -> Option<String> {
        let product = self.product(product).await?;
        Some(product.get_document("user").ok()?.get_str("username").ok()?.to_owned())
    }

    async fn insert(&self, product: &str, user: impl Into<Bson>) {
        self.collection("products").insert_one(doc! { "_id": product, "userId": user.into() }).await.unwrap();
    }

    async fn update(&self, product: &str, update: Document) {
        self.collection("products").update_one(doc! { "_id": product }, update).await.unwrap();
    }
}

/// What was there before, what comes, what moves on and what leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_show_their_user_from_the_moment_they_refer_to_it() {
    let (database, owner) = (products().await, Owner::new());
    owner.has("ann", 1, "Ann");
    owner.has("bob", 1, "Bob");
    let _pod = Pod::start(&database, &owner).await;
    database.shows("first", "Ann").await;
    database.insert("second", "bob").await;
    database.shows("second", "Bob").await;
    database.update("second", doc! { "$set": { "userId": "ann" } }).await;
    database.shows("second", "Ann").await;
    database.update("second", doc! { "$unset": { "userId": "" } }).await;
    eventually("who refers to nobody shows nobody", async || {
        database.product("second").await.unwrap() == doc! { "_id": "second", "_nearcopy": {} }
    })
    .await;
    database.drop().await;
}

/// B5, B6, N5: replaced, copied, damaged, moved and moved back: what is seen in the end is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_consumer_does_to_a_document_is_put_right() {
    let (database, owner) = (products().await, Owner::new());
    owner.has("ann", 1, "Ann");
    owner.has("bob", 1, "Bob");
    let _pod = Pod::start(&database, &owner).await;
    database.insert("other", "bob").await;
    database.shows("first", "Ann").await;
    database.shows("other", "Bob").await;
    let products = database.collection("products");

    products.replace_one(doc! { "_id": "first" }, doc! { "userId": "ann" }).await.unwrap();
    database.shows("first", "Ann").await;
    database.update("first", doc! { "$set": { "user.username": "Mallory" } }).await;
    database.shows("first", "Ann").await;
    database.update("first", doc! { "$unset": { "user": "", "_nearcopy": "" } }).await;
    database.shows("first", "Ann").await;
    let mut copy = database.product("first").await.unwrap();
    copy.insert("_id", "copy");
    copy.insert("userId", "bob");
    products.insert_one(copy).await.unwrap();
    database.shows("copy", "Bob").await;
    for _ in 0..20 {
        database.update("first", doc! { "$set": { "userId": "bob" } }).await;
        database.update("first", doc! { "$set": { "userId": "ann" } }).await;
    }
    products.delete_one(doc! { "_id": "other" }).await.unwrap();
    database.insert("other", "ann").await;
    database.shows("other", "Ann").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    database.shows("first", "Ann").await;
    database.drop().await;
}

/// B3, N1: documents inserted all the while a user changes end up with its last state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_inserted_during_a_fan_out_end_with_the_last_state() {
    let (database, owner) = (products().await, Owner::new());
    owner.has("ann", 1, "Ann 1");
    let pods = [Pod::start(&database, &owner).await, Pod::start(&database, &owner).await];
    database.shows("first", "Ann 1").await;
    let inserting = database.collection("products");
    let inserting = tokio::spawn(async move {
        for number in 0..300 {
            inserting.insert_one(doc! { "_id": format!("p{number}"), "userId": "ann" }).await.unwrap();
        }
    });
    for version in 2..=60 {
        owner.has("ann", version, &format!("Ann {version}"));
        pods[usize::try_from(version % 2).unwrap()]
            .send(&saved("ann", version, &format!("Ann {version}")))
            .await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    inserting.await.unwrap();
    let last = doc! { "user.username": "Ann 60" };
    eventually("all show the last state", async || database.count(last.clone()).await == 301).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(database.count(last).await, 301, "and go on showing it");
    database.drop().await;
}

/// B4: while the owner is down, a document that moves on shows nobody rather than somebody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_moves_to_an_unknown_user_shows_nobody_until_the_owner_answers() {
    let (database, owner) = (products().await, Owner::new());
    owner.has("ann", 1, "Ann");
    let _pod = Pod::start(&database, &owner).await;
    database.shows("first", "Ann").await;
    owner.is_down(true);
    owner.has("bob", 1, "Bob");
    database.update("first", doc! { "$set": { "userId": "bob" } }).await;
    eventually("Ann is gone", async || database.name_on("first").await.is_none()).await;
    assert_eq!(database.record("bob").await.state, State::Pending);
    owner.is_down(false);
    database.shows("first", "Bob").await;
    database.drop().await;
}

/// P5: a collection that is dropped and made again is followed again; a lost position leads to a walk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_collection_is_followed_again() {
    let (database, owner) = (products().await, Owner::new());
    owner.has("ann", 1, "Ann");
    let _pod = Pod::start(&database, &owner).await;
    database.shows("first", "Ann").await;
    for round in ["second", "third"] {
        database.collection("products").drop().await.unwrap();
        database.insert(round, "ann").await;
        database.shows(round, "Ann").await;
    }
    database.drop().await;
}

/// P5: what happened while nobody looked is found, from a stored position or without one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_between_two_pods_is_found() {
    let (database, owner) = (products().await, Owner::new());
    owner.has("ann", 1, "Ann");
    let first = Pod::start(&database, &owner).await;
    database.shows("first", "Ann").await;
    database.insert("second", "ann").await;
    database.shows("second", "Ann").await;
    let cursors = database.collection("nearcopy.cursors");
    eventually("the position is stored", async || {
        cursors
            .count_documents(doc! { "_id": "follow:products", "position": { "$exists": true } })
            .await
            .unwrap()
            == 1
    })
    .await;
    first.stop().await;
    database.insert("third", "ann").await;
    let second = Pod::start(&database, &owner).await;
    database.shows("third", "Ann").await;
    second.stop().await;

    cursors.delete_many(doc! {}).await.unwrap();
    database.insert("fourth", "ann").await;
    let third = Pod::start(&database, &owner).await;
    database.shows("fourth", "Ann").await;
    third.stop().await;

    let nowhere = doc! { "$set": { "position": { "_data": "8200000001000000012B0229296E04" } } };
    cursors.update_one(doc! { "_id": "follow:products" }, nowhere).upsert(true).await.unwrap();
    database.insert("fifth", "ann").await;
    let _fourth = Pod::start(&database, &owner).await;
    database.shows("fifth", "Ann").await;
    database.drop().await;
}

/// P5: who follows a collection that nothing happens to moves its position at once, so that one killed soon has
/// brought the next one further through the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_moves_before_whoever_follows_is_killed() {
    let (database, owner) = (products().await, Owner::new());
    owner.has("ann", 1, "Ann");
    let first = Pod::start(&database, &owner).await;
    database.shows("first", "Ann").await;
    let position = async || {
        let followed = doc! { "_id": "follow:products" };
        let cursor = database.collection("nearcopy.cursors").find_one(followed).await.unwrap();
        cursor.and_then(|cursor| cursor.get_document("position").ok().cloned())
    };
    eventually("the first notes where it stands", async || position().await.is_some()).await;
    first.stop().await;
    let before = position().await;
    database.collection("elsewhere").insert_one(doc! { "the log": "goes on" }).await.unwrap();
    let _second = Pod::start(&database, &owner).await;
    let moved = async {
        while position().await == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(6), moved).await.expect("it stands still");
    database.drop().await;
}

/// B9, N7, B13: one document that cannot take what it should show is put aside, and the others show it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_cannot_take_it_is_put_aside_alone() {
    let flat = "product-user: { in: products, ref: userId, from: users, set: { owner.name: username } }";
    let database = Database::new(&shop("referenced", ASKED, &[flat])).await;
    // Ids in an order of their own, more than one page of them, bad ones first and last.
    let product = |number: i32| {
        let mut product = doc! { "_id": format!("p{:05}", number * 7919 % 100_000), "userId": "ann" };
        if number % 300 == 0 {
            product.insert("owner", Bson::Null);
        }
        product
    };
    database.products((0..901).map(product)).await;
    database.products([doc! { "_id": "foreign", "userId": 42 }]).await;
    let owner = Owner::new();
    owner.has("ann", 1, "Ann");
    let pod = Pod::start(&database, &owner).await;
    let shown = |name: &str| doc! { "owner.name": name };
    eventually("all the others show it", async || database.count(shown("Ann")).await == 897).await;
    let bad = [0, 300, 600, 900].map(|number| product(number).get_str("_id").unwrap().to_owned());
    let named = async |id: &str| {
        let parked = database.store.parked(None, 100).await.unwrap();
        parked.iter().any(|parked| parked.reason == "embed_refused" && parked.detail.contains(id))
    };
    for id in bad.iter().map(String::as_str).chain(["foreign"]) {
        eventually(&format!("{id} is put aside"), async || named(id).await).await;
    }
    pod.deliver([saved("ann", 2, "Anna")]).await;
    eventually("all the others show the next state", async || database.count(shown("Anna")).await == 897)
        .await;
    eventually("nothing is owed", async || !database.record("ann").await.owes).await;
    database.drop().await;
}

fn deleting() -> String {
    format!("{PRODUCTS}\n    when_deleted: delete")
}

/// B7: the documents of a deleted user go; those of a user that has come back do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_go_with_their_user_and_new_ones_of_a_user_that_came_back_stay() {
    let database = Database::new(&shop("referenced", ASKED, &[&deleting()])).await;
    database.products((0..250).map(|number| doc! { "_id": format!("ann-{number}"), "userId": "ann" })).await;
    database.products([doc! { "_id": "first", "userId": "bob" }]).await;
    let owner = Owner::new();
    owner.has("ann", 1, "Ann");
    owner.has("bob", 1, "Bob");
    let pod = Pod::start(&database, &owner).await;
    eventually("all are shown", async || database.count(doc! { "user.username": "Ann" }).await == 250).await;
    database.shows("first", "Bob").await;
    owner.lacks("ann");
    pod.deliver([deleted("ann", 2)]).await;
    eventually("they are gone", async || database.count(doc! { "userId": "ann" }).await == 0).await;
    assert_eq!(database.count(doc! {}).await, 1);

    owner.has("ann", 3, "Anna");
    pod.deliver([saved("ann", 3, "Anna")]).await;
    database.insert("again", "ann").await;
    database.shows("again", "Anna").await;
    pod.deliver([deleted("ann", 2), deleted("ann", 1)]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    database.shows("again", "Anna").await;
    database.drop().await;
}

/// B7: what refers to the user goes, whether it ever showed it or not, even if nobody follows the collection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_never_showed_a_deleted_user_go_with_those_that_did() {
    let database = Database::new(&shop("referenced", ASKED, &[&deleting()])).await;
    database.products((0..10).map(|number| doc! { "_id": format!("shown-{number}"), "userId": "ann" })).await;
    let owner = Owner::new();
    owner.has("ann", 1, "Ann");
    let first = Pod::start(&database, &owner).await;
    eventually("all are shown", async || database.count(doc! { "user.username": "Ann" }).await == 10).await;
    first.stop().await;
    let elsewhere = doc! { "$set": { "holder": "another pod", "until": bson::DateTime::MAX } };
    let leases = database.collection("nearcopy.leases");
    leases.update_one(doc! { "_id": "follow:products" }, elsewhere).await.unwrap();
    database.products((0..150).map(|number| doc! { "_id": format!("new-{number}"), "userId": "ann" })).await;
    let second = Pod::start(&database, &owner).await;
    second.deliver([deleted("ann", 2)]).await;
    eventually("all are gone", async || database.count(doc! {}).await == 0).await;
    database.drop().await;
}

/// B7: a 404 destroys nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_does_not_know_a_user_deletes_no_document() {
    let database = Database::new(&shop("referenced", ASKED, &[&deleting()])).await;
    database.products([doc! { "_id": "first", "userId": "ann" }]).await;
    let owner = Owner::new();
    owner.has("ann", 1, "Ann");
    let pod = Pod::with(&database, &owner, Rhythm { drift_every: Duration::from_millis(200), ..QUICK }).await;
    database.shows("first", "Ann").await;
    owner.lacks("ann");
    pod.deliver([crate::declared::changed("ann", None)]).await;
    eventually("the 404 is believed", async || matches!(database.record("ann").await.state, State::Gone(_)))
        .await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    database.shows("first", "Ann").await;
    database.drop().await;
}

/// B7: a deletion of documents is void once the record is anything but what it was decided upon.
#[tokio::test]
async fn no_document_is_deleted_for_a_record_that_has_changed_since() {
    let declaration = shop("referenced", ASKED, &[&deleting()]);
    let (database, embed) = (Database::new(&declaration).await, &declaration.embeds[0]);
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    database.write(&[placeholder("ann")]).await;
    let event = async |event: serde_json::Value| {
        database.write(&of_events(&declaration, &[event])).await;
        database.record("ann").await
    };
    let remove = async |record: &Record| {
        database.store.remove(embed, database.of(), record, &["p1".into()]).await.unwrap()
    };
    let live = event(saved("ann", 1, "Ann")).await;
    database.store.embed(embed, &embed.writes(&live, Scope::Everywhere)).await.unwrap();
    let decided = event(deleted("ann", 2)).await;
    event(saved("ann", 3, "Anna")).await;
    assert_eq!(remove(&decided).await, 0, "she is back");
    let again = event(deleted("ann", 4)).await;
    assert_eq!(remove(&decided).await, 0, "she is gone anew, and somebody else decides upon that");
    assert_eq!(remove(&again).await, 1);
    assert_eq!(database.product("p1").await, None);
    database.drop().await;
}

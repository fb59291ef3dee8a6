//! Entities that get another id, and writes of ours that the consumer can tell from its own.

use std::time::Duration;

use bson::{Bson, Document, doc};
use futures::StreamExt;
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ChangeStreamEvent;
use tokio::time::timeout;

use crate::declared::{ASKED, PRODUCTS, deleted, saved, shop};
use crate::mongodb::Database;
use crate::owner::Owner;
use crate::pod::{Pod, RETIRING};
use crate::rabbitmq::eventually;

/// V8: the old id is deleted and the new one told, in whatever order, and the consumer moves its references at its own
/// pace: in the end all show the new entity, and of the old one nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_under_another_id_is_shown_under_that_one() {
    for new_first in [true, false] {
        let database = Database::new(&shop("referenced", ASKED, &[PRODUCTS])).await;
        let owner = Owner::new();
        owner.has("ann", 3, "Ann");
        database.products((0..20).map(|at| doc! { "_id": at, "userId": "ann" })).await;
        let pod = Pod::with(&database, &owner, RETIRING).await;
        eventually("all show Ann", async || database.count(doc! { "user.username": "Ann" }).await == 20)
            .await;

        owner.lacks("ann");
        owner.has("anne", 1, "Anne");
        let mut told = vec![deleted("ann", 4), saved("anne", 1, "Anne"), saved("ann", 3, "Ann")];
        if new_first {
            told.swap(0, 1);
        }
        let products = database.collection("products");
        let moved = doc! { "$set": { "userId": "anne" } };
        products.update_many(doc! { "_id": { "$lt": 10 } }, moved.clone()).await.unwrap();
        pod.deliver(told).await;
        products.update_many(doc! { "userId": "ann" }, moved).await.unwrap();

        eventually("all show Anne", async || database.count(doc! { "user.username": "Anne" }).await == 20)
            .await;
        eventually("of Ann nothing is left", async || database.held("ann").await.is_none()).await;
        let stale = doc! { "$or": [{ "user.username": "Ann" }, { "_nearcopy.product-user.ref": "ann" }] };
        assert_eq!(database.count(stale).await, 0);
        pod.deliver([saved("ann", 3, "Ann"), deleted("ann", 4)]).await;
        assert_eq!(database.held("ann").await, None, "a late event of the old id brings it back");
        database.drop().await;
    }
}

/// Embeds of every form: an object, single values, and an object in the elements of an array.
const FORMS: [&str; 3] = [
    PRODUCTS,
    "flat-user: { in: products, ref: sellerId, from: users, set: { seller: username }, when_deleted: clear }",
    "array-user: { in: products, ref: \"people[].id\", from: users, into: shown, fields: [username], when_deleted: clear }",
];

/// N6: a change stream of the consumer's, with the filter that the README gives, tells of all that the consumer writes,
/// and of nothing that nearcopy does: not a value shown, changed, or taken away. Only arrays of which several elements change
/// at once come as a whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consumer_can_tell_its_writes_from_ours() {
    let database = Database::new(&shop("referenced", ASKED, &FORMS)).await;
    let owner = Owner::new();
    owner.has("ann", 1, "Ann");
    database.products([doc! { "_id": "before" }]).await;
    let products = database.collection("products");
    let changes = products.watch().pipeline([filter()]).await.unwrap();
    let pod = Pod::start(&database, &owner).await;

    let people: Vec<Document> = (0..5).map(|at| doc! { "id": "ann", "role": at }).collect();
    let large = "x".repeat(2_000);
    let ours = [
        doc! { "_id": "small", "userId": "ann" },
        doc! { "_id": "flat", "sellerId": "ann" },
        doc! { "_id": "array", "people": [{ "role": "nobody" }, { "id": "ann" }] },
        doc! { "_id": "arrays", "people": people },
        doc! { "_id": "all", "userId": "ann", "sellerId": "ann", "people": [{ "id": "ann" }], "text": large },
    ];
    products.insert_many(ours).await.unwrap();
    let showing = |name: &str| doc! { "$or": [{ "user.username": name }, { "seller": name }, { "people.shown.username": name }] };
    eventually("all show Ann", async || database.count(showing("Ann")).await == 5).await;
    pod.deliver([saved("ann", 2, "Anna")]).await;
    eventually("all show Anna", async || database.count(showing("Anna")).await == 5).await;
    products.update_one(doc! { "_id": "small" }, doc! { "$set": { "price": 7 } }).await.unwrap();
    products.update_one(doc! { "_id": "all" }, doc! { "$set": { "people.0.role": "buyer" } }).await.unwrap();
    products.update_one(doc! { "_id": "small" }, doc! { "$unset": { "userId": "" } }).await.unwrap();
    eventually("who refers to nobody shows nobody", async || {
        database.product("small").await.is_some_and(|small| !small.contains_key("user"))
    })
    .await;
    pod.deliver([deleted("ann", 3)]).await;
    eventually("nothing of Ann is shown", async || {
        database.count(doc! { "seller": { "$exists": true } }).await == 0
    })
    .await;
    products.delete_one(doc! { "_id": "flat" }).await.unwrap();

    let seen = until_a_deletion(changes).await;
    let (whole, seen): (Vec<_>, Vec<_>) =
        seen.into_iter().partition(|seen| *seen == ("update".to_owned(), "arrays".into()));
    assert!(!whole.is_empty(), "MongoDB tells of single elements now, so the README is too careful");
    let written = |operation: &str, id: &str| (operation.to_owned(), Bson::from(id));
    let expected = [
        written("insert", "small"),
        written("insert", "flat"),
        written("insert", "array"),
        written("insert", "arrays"),
        written("insert", "all"),
        written("update", "small"),
        written("update", "all"),
        written("update", "small"),
        written("delete", "flat"),
    ];
    assert_eq!(seen, expected);
    database.drop().await;
}

/// What a change stream tells, up to the first deletion: what was done, and to which document.
async fn until_a_deletion(mut changes: ChangeStream<ChangeStreamEvent<Document>>) -> Vec<(String, Bson)> {
    let mut seen: Vec<(String, Bson)> = Vec::new();
    while seen.last().is_none_or(|(operation, _)| operation != "delete") {
        let change = timeout(Duration::from_secs(20), changes.next()).await.expect("a change");
        let change = bson::serialize_to_document(&change.unwrap().unwrap()).unwrap();
        let id = change.get_document("documentKey").unwrap().get("_id").cloned().unwrap();
        seen.push((change.get_str("operationType").unwrap().to_owned(), id));
    }
    seen
}

/// The filter as the README gives it.
fn filter() -> Document {
    let readme = include_str!("../../README.md");
    let given = readme.split("db.products.watch([").nth(1).expect("the README gives a filter");
    let given = given.split("\n  ])").next().unwrap();
    serde_json::from_str(given)
        .map(|json: serde_json::Value| bson::serialize_to_document(&json).unwrap())
        .unwrap()
}

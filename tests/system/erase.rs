//! What is erased is gone from the whole database, and stays so.

use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc};
use futures::TryStreamExt;
use nearcopy::pipeline::Rhythm;
use nearcopy::replication::{Declaration, Key, Rank, Record, Scope, State, Why};
use nearcopy::store::{EmbedStore, RecordStore};
use serde_json::{Value, json};

use crate::declared::{ASKED, PRODUCTS, deleted, event, id, saved, shop};
use crate::mongodb::Database;
use crate::owner::Owner;
use crate::pod::{Pod, QUICK};
use crate::rabbitmq::eventually;
use crate::stage::{Stage, event as published};

const CANARY: &str = "CANARY-ann";
const ORDERS: &str = "order-user: { in: orders, ref: userId, from: users, set: { client: username, mail: email }, when_deleted: mark }";
const SHELVES: &str = "shelf-user: { in: shelves, ref: \"slots[].boxes[].userId\", from: users, into: user, fields: [username, email], when_deleted: keep }";

fn everywhere(keep: &str, fetch: &str) -> std::sync::Arc<Declaration> {
    shop(keep, fetch, &[PRODUCTS, ORDERS, SHELVES])
}

/// The user with the canary in every field.
fn ann(version: i64) -> Value {
    event(
        "user.saved",
        json!({ "id": "ann", "version": version, "username": CANARY, "email": CANARY, "extra": CANARY }),
    )
}

impl Database {
    /// Documents of three kinds that refer to Ann, and to Bob beside her.
    async fn refer_to_ann(&self) {
        self.products([doc! { "_id": "p1", "userId": "ann" }, doc! { "_id": "p2", "userId": "bob" }]).await;
        self.collection("orders").insert_one(doc! { "_id": 1, "userId": "ann", "total": 3 }).await.unwrap();
        let slots = doc! { "_id": 1, "slots": [
            { "boxes": [{ "userId": "ann" }, { "userId": "bob" }] },
            { "boxes": [{ "userId": "ann" }] },
        ] };
        self.collection("shelves").insert_one(slots).await.unwrap();
    }

    /// The collections in which this text stands anywhere.
    async fn holding(&self, text: &str) -> Vec<String> {
        let mut holding = Vec::new();
        for name in self.raw.list_collection_names().await.unwrap() {
            if name.contains(".live") || name.starts_with("system.") {
                continue;
            }
            let all: Vec<RawDocumentBuf> =
                self.raw.collection(&name).find(doc! {}).await.unwrap().try_collect().await.unwrap();
            if all.into_iter().any(|raw| Document::try_from(raw).unwrap().to_string().contains(text)) {
                holding.push(name);
            }
        }
        holding.sort();
        holding
    }

    async fn is_everywhere(&self) {
        let all = ["nearcopy.parked", "orders", "products", "shelves", "users"];
        eventually("she is everywhere", async || self.holding(CANARY).await == all).await;
        eventually("in both boxes", async || {
            let shelf = self.collection("shelves").find_one(doc! {}).await.unwrap().unwrap();
            shelf.to_string().matches(CANARY).count() == 4
        })
        .await;
    }

    async fn erased(&self, user: &str) -> Record {
        let record = self.record(user).await;
        assert_eq!(record.state, State::Gone(Why::Erased), "{record:?}");
        record
    }
}

fn tombstone(record: &Record) -> (i64, Rank, &str) {
    let key: &Key = record.key.as_ref().unwrap();
    (key.version.get(), key.rank, &*key.hash)
}

/// G6, S8, G1: a person is erased while a pod works through old events of hers: nothing of her is left anywhere, whatever
/// embeds keep of the deleted, nothing brings her back, and a higher version does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_erased_entity_is_left_in_the_whole_database() {
    let database = Database::new(&everywhere("all", "")).await;
    database.refer_to_ann().await;
    let pod = Pod::start(&database, &Owner::new()).await;
    pod.deliver([ann(5), saved("bob", 1, "Bob")]).await;
    let mut broken = ann(6);
    broken["data"]["username"] = json!({ "a\0": 1 });
    let mut nameless = ann(7);
    nameless["data"]["id"] = Value::Null;
    pod.deliver([broken]).await;
    database.is_everywhere().await;

    for round in 0..300 {
        pod.send(&ann(1 + round % 5)).await;
    }
    let receipt = pod.erase(database.of(), &id("ann"), None).await;
    assert!(receipt.left.is_empty(), "{receipt:?}");
    assert_eq!(receipt.parked, 1);
    let cleared: Vec<&String> = receipt.documents.keys().collect();
    assert_eq!(cleared, ["order-user", "product-user", "shelf-user"]);
    assert_eq!(database.holding(CANARY).await, Vec::<String>::new());
    pod.is_done().await;
    pod.deliver([ann(5), deleted("ann", 4)]).await;
    assert_eq!(database.holding(CANARY).await, Vec::<String>::new());
    let record = database.erased("ann").await;
    assert_eq!((tombstone(&record), record.due, record.need), ((5, Rank::Deleted, ""), None, None));
    let seen = database.stored(&id("ann")).await;
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["_id", "_nearcopy"]);
    assert!(!seen.to_string().contains("e1"), "not even the id of the last event: {seen}");
    assert_eq!(database.name_on("p2").await.as_deref(), Some("Bob"), "nobody else is touched");

    // B5: what the consumer writes back from an old copy does not stay.
    let copy = doc! { "$set": { "user": { "username": CANARY } } };
    database.collection("products").update_one(doc! { "_id": "p1" }, copy).await.unwrap();
    eventually("the old copy is taken out", async || database.holding(CANARY).await.is_empty()).await;

    pod.deliver([nameless]).await;
    let again = pod.erase(database.of(), &id("ann"), None).await;
    assert_eq!((again.parked, again.left.unattributed), (0, 1), "whose it is, nobody can say: {again:?}");
    pod.deliver([ann(6)]).await;
    database.shows("p1", CANARY).await;
    pod.stop().await;
    database.drop().await;
}

/// G6, B2: a fan-out of an older revision that comes late finds every document stamped with a newer one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_fan_out_brings_nothing_back() {
    let database = Database::new(&everywhere("all", "")).await;
    let pod = Pod::start(&database, &Owner::new()).await;
    pod.deliver([ann(5)]).await;
    pod.stop().await;
    database.refer_to_ann().await;
    let before =
        database.store.read(database.of(), &[id("ann")], None).await.unwrap().remove(&id("ann")).unwrap();
    let idle = Rhythm { sweep_every: Duration::from_secs(60), ..QUICK };
    let pod = Pod::with(&database, &Owner::new(), idle).await;
    let receipt = pod.erase(database.of(), &id("ann"), None).await;
    assert!(receipt.left.is_empty(), "{receipt:?}");
    for embed in &database.declaration.embeds {
        let late = database.store.embed(embed, &embed.writes(&before, Scope::Everywhere)).await.unwrap();
        assert_eq!((late.changed, late.refused.len()), (0, 0), "{}", embed.name);
    }
    assert_eq!(database.holding(CANARY).await, Vec::<String>::new());
    pod.stop().await;
    database.drop().await;
}

/// G6: the owner is believed about what was erased only where it has a higher version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_has_it_still_brings_it_back_by_a_higher_version_only() {
    let database = Database::new(&shop("referenced", ASKED, &[PRODUCTS])).await;
    let owner = Owner::new();
    owner.has("ann", 5, "Ann");
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    let pod = Pod::start(&database, &owner).await;
    database.shows("p1", "Ann").await;
    pod.erase(database.of(), &id("ann"), None).await;
    let asked = owner.asked("ann");
    database.store.ask_all(database.of(), Duration::ZERO).await.unwrap();
    eventually("she is asked about twice", async || owner.asked("ann") >= asked + 2).await;
    eventually("and no more", async || database.record("ann").await.due.is_none()).await;
    assert_eq!(tombstone(&database.erased("ann").await), (5, Rank::Deleted, ""));
    assert_eq!(database.name_on("p1").await, None);
    owner.has("ann", 6, "Anna");
    database.store.ask_all(database.of(), Duration::ZERO).await.unwrap();
    database.shows("p1", "Anna").await;
    pod.stop().await;
    database.drop().await;
}

/// G6, G2: of what is not held, a tombstone is left only at a given version; a version raises one that is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tombstone_is_at_least_at_the_version_that_is_given() {
    let database = Database::new(&shop("all", "", &[])).await;
    let pod = Pod::start(&database, &Owner::new()).await;
    let erase = async |version: Option<i64>| pod.erase(database.of(), &id("ann"), version).await;
    assert_eq!(erase(None).await.left.record, None, "absent stays absent");
    for (version, held) in [(Some(7), 7), (Some(3), 7), (None, 7), (Some(9), 9)] {
        assert!(erase(version).await.left.is_empty());
        assert_eq!(tombstone(&database.erased("ann").await), (held, Rank::Deleted, ""));
    }
    pod.deliver([ann(9)]).await;
    database.erased("ann").await;
    pod.deliver([ann(10)]).await;
    assert_eq!(database.record("ann").await.state, State::Live);
    pod.stop().await;
    database.drop().await;

    let database = Database::new(&shop("referenced", ASKED, &[PRODUCTS])).await;
    let pod = Pod::start(&database, &Owner::new()).await;
    assert_eq!(pod.erase(database.of(), &id("ann"), Some(7)).await.left.record, None, "nobody wants her");
    pod.stop().await;
    database.drop().await;
}

/// G6: the command, beside a running sidecar, and its receipt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_writes_a_receipt() {
    let stage = Stage::new().await;
    stage.owner.has("ann", 5, "CANARY-ann");
    stage.consumer.sells("p1", "ann").await;
    let plan = stage.plan();
    let sidecar = plan.start().await;
    stage.consumer.shows("p1", "CANARY-ann").await;
    stage.owner.forgets("ann");
    let erase =
        |more: &[&str]| plan.run(&[&["erase", "users", "ann", "--manifest", "{manifest}"], more].concat());
    let planned = erase(&["--dry-run", "--output", "json"]);
    let held: Value = serde_json::from_slice(&planned.stdout).unwrap();
    let documents = json!({ "product-user": 1 });
    assert_eq!((&held["state"], &held["documents"]), (&json!("live"), &documents), "{held}");
    assert_eq!(stage.consumer.holding("CANARY").await.len(), 2, "it was only looked");

    let done = erase(&["--yes", "--output", "json"]);
    let receipt: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(0), "{receipt}");
    assert_eq!(
        (&receipt["state"], &receipt["version"], &receipt["documents"]),
        (&json!("gone"), &json!(5), &documents)
    );
    assert_eq!(receipt["left"], json!({ "documents": 0, "parked": 0, "unattributed": 0 }));
    assert!(receipt["at"].is_string() && receipt["notReached"].as_array().unwrap().len() >= 3, "{receipt}");
    assert!(!receipt.to_string().contains("CANARY"), "{receipt}");
    assert_eq!(stage.consumer.holding("CANARY").await, Vec::<String>::new());
    stage.events([published("user.updated", "ann", 4, "CANARY-ann")]).await;
    sidecar.books_close_at(1).await;
    assert_eq!(stage.consumer.holding("CANARY").await, Vec::<String>::new());
    let table = String::from_utf8(erase(&["--yes"]).stdout).unwrap();
    assert!(table.contains("documents cleared") && table.contains("gone, version 5"), "{table}");
    sidecar.stop().await;
    stage.clear().await;
}

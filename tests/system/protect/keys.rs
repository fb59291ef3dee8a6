//! Keys that change, and keys that are not there.

use bson::Document;
use serde_json::json;

use super::{CANARY, KEYS, OTHER, protecting, told, user};
use crate::owner_service::Reply;
use crate::rabbitmq::eventually;
use crate::read::{Read, TOKEN};
use crate::sidecar::Plan;

/// The same once more, with other settings.
async fn restarted(read: Read, with: impl FnOnce(Plan) -> Plan) -> Read {
    let Read { stage, sidecar, plan, url, base, http } = read;
    sidecar.stop().await;
    let plan = with(plan);
    let sidecar = plan.start().await;
    Read { stage, sidecar, plan, url, base, http }
}

/// Whoever may sees her phone in clear.
async fn is_seen(read: &Read) {
    let (status, ann) = told(read, TOKEN, "users/ann?within=20s").await;
    assert_eq!((status, &ann["fields"]["phone"]), (200, &user("ann", 1)["phone"]), "{ann}");
}

fn is_by(key: &'static str, document: &Document) -> bool {
    let fields = document.get_document("user").unwrap_or(document);
    fields.get_str("phone").is_ok_and(|text| text.starts_with(key))
}

/// S15: a new key is written with and the old one is read with, so readers notice nothing; once the owner has been asked about
/// all, the old one is not needed any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_rotated_under_its_readers() {
    let [old, new] = [KEYS[1], KEYS[0]];
    let read = protecting().await;
    read.stage.consumer.sells("p", "ann").await;
    read.stage.consumer.until("products", "p", "it shows a ciphertext", |p| is_by("e1:k1:", p)).await;
    is_seen(&read).await;

    let read = restarted(read, |plan| plan.set("protect.encrypt_keys", format!("k2 {new}\nk1 {old}"))).await;
    is_seen(&read).await;
    for (collection, id) in [("users", "ann"), ("products", "p")] {
        read.stage.consumer.until(collection, id, "it is by the new key", |held| is_by("e1:k2:", held)).await;
    }
    is_seen(&read).await;

    let read = restarted(read, |plan| plan.set("protect.encrypt_keys", format!("k2 {new}"))).await;
    is_seen(&read).await;
    assert!(read.sidecar.logged("generation.new").is_empty(), "the key that is written with is the same");
    assert_eq!(read.stage.consumer.holding(CANARY).await, [""; 0]);

    read.stage.owner.answers(|_, _| Reply::status(500));
    let read = restarted(read, |plan| plan.set("protect.encrypt_keys", format!("k3 {old}"))).await;
    let (status, ann) = told(&read, TOKEN, "users/ann").await;
    assert_eq!((status, ann["fields"].get("phone")), (200, None), "{ann}");
    assert!(!read.sidecar.logged("field.sealed").is_empty(), "a key that is taken away too early is told of");
    read.end().await;
}

/// S15: with another key for hashes, who has a value is found again once the owner has been asked about all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_for_hashes_is_followed() {
    let read = protecting().await;
    read.stage.consumer.sells("p", "ann").await;
    let exists = format!("users:exists?email={}", user("ann", 1)["email"].as_str().unwrap());
    let is_found = async |read: &Read| told(read, OTHER, &exists).await.1["ids"] == json!(["ann"]);
    eventually("she is found", async || is_found(&read).await).await;
    let read = restarted(read, |plan| plan.set("protect.hash_key", KEYS[1])).await;
    eventually("she is found by the other key", async || is_found(&read).await).await;
    assert_eq!(read.sidecar.logged("generation.new").len(), 1);
    read.end().await;
}

/// S15: without a key nothing is begun, and what is said names the fields and what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_nothing_is_begun() {
    let read = protecting().await;
    for (key, field) in [("protect.hash_key", "users.email"), ("protect.encrypt_keys", "users.phone")] {
        let mut without = read.plan.clone().without(key).spawn();
        assert_eq!(without.ended().await.code(), Some(4), "{}", without.log());
        let said = without.log();
        let file = format!("NEARCOPY__{}_FILE", key.to_uppercase().replace('.', "__"));
        assert!([key, field, &file].iter().all(|word| said.contains(word)), "{said}");
    }
    read.end().await;
}

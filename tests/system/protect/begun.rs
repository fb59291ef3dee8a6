//! A field that was kept in clear is protected: nothing of it is left, and nobody has to be asked.

use bson::doc;
use serde_json::json;

use super::{CANARY, CLEAR, PROTECTED, event, keyed, manifest, user};
use crate::rabbitmq::eventually;
use crate::stage::Stage;

/// S14, C2: records, documents and parked events come to hold what is declared now, without an owner to ask; and an event
/// that comes again finds what it would write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_in_clear_is_protected_everywhere() {
    let stage = Stage::new().await;
    let before = stage.plan_of(manifest(CLEAR, "", ""));
    let sidecar = before.start().await;
    stage.consumer.sells("p", "ann").await;
    let ann = event("user.updated", &user("ann", 3));
    let patch = json!({ "id": "bob", "version": 2, "email": CANARY });
    stage
        .events([ann.clone(), event("user.patched", &patch), event("user.updated", &user("bad", "seven"))])
        .await;
    sidecar.books_close_at(3).await;
    let shows = |product: &bson::Document| product.to_string().contains(CANARY);
    stage.consumer.until("products", "p", "it shows her in clear", shows).await;
    let mut held = stage.consumer.holding(CANARY).await;
    held.sort();
    assert_eq!(held, ["nearcopy.parked", "products", "users"]);
    sidecar.stop().await;

    let after = keyed(stage.plan_of(manifest(PROTECTED, "", "")));
    let plan = after.run(&["plan", "{manifest}"]);
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(plan.contains("* email, phone, street: protected in every record"), "{plan}");
    assert!(plan.contains("- tax: taken out of every record"), "{plan}");
    let sidecar = after.start().await;
    let is_clean = async || stage.consumer.holding(CANARY).await.is_empty();
    eventually("nothing in clear is left", is_clean).await;
    let record = stage.consumer.one("users", "ann").await.unwrap();
    assert!(record.get_str("email").unwrap().starts_with("h1:"), "{record}");
    assert_eq!((record.get_str("street").unwrap(), record.get_str("name").unwrap()), ("c•••", "Name of ann"));
    let product = stage.consumer.one("products", "p").await.unwrap();
    assert_eq!(product.get_document("user").unwrap().get("phone"), record.get("phone"));

    let rev = |record: &bson::Document| record.get_document("_nearcopy").unwrap().get_i64("rev").unwrap();
    stage.events([ann]).await;
    let metrics = sidecar.books_close_at(1).await;
    assert_eq!(metrics.outcome("duplicate") + metrics.outcome("stale"), 1, "{}", metrics.text());
    assert_eq!(metrics.sum("nearcopy_conflicts_total", &[]), 0);
    let again = stage.consumer.one("users", "ann").await.unwrap();
    assert_eq!(rev(&again), rev(&record), "the very event that was held in clear changes nothing");
    assert_eq!(stage.consumer.collection("nearcopy.parked").count_documents(doc! {}).await.unwrap(), 1);
    sidecar.stop().await;
    stage.clear().await;
}

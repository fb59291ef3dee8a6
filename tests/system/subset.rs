//! Entities that leave the subset a condition keeps, and enter it.

use serde_json::{Value, json};

use crate::sidecar::Plan;
use crate::stage::{EXCHANGE, QUEUE, Stage};

/// G5: leaving is a version like any other, and so is entering; what is shown follows, late events change nothing, and
/// whoever was outside when it was first wanted is brought in by the event that lets it in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_leaves_the_subset_and_enters_it_again() {
    let stage = Stage::new().await;
    let sidecar = plan(&stage, "string").start().await;
    stage.events([german("a", 1, "DE", &json!("Ada")), german("b", 1, "FR", &json!("CANARY-outside"))]).await;
    stage.consumer.record_is("users", "a", "live", 1).await;
    is_out(&stage, "b", 1).await;
    stage.consumer.sells("pa", "a").await;
    stage.consumer.sells("pb", "b").await;
    stage.consumer.shows("pa", "Ada").await;

    stage.events([german("a", 3, "FR", &json!("CANARY-abroad")), german("b", 2, "DE", &json!("Bea"))]).await;
    stage.consumer.shows("pb", "Bea").await;
    is_out(&stage, "a", 3).await;
    stage.consumer.until("products", "pa", "it shows nobody", |product| !product.contains_key("user")).await;
    stage
        .events([german("a", 2, "DE", &json!("CANARY-late")), german("a", 3, "FR", &json!("CANARY-again"))])
        .await;
    let metrics = sidecar.books_close_at(6).await;
    assert_eq!((metrics.outcome("applied"), metrics.outcome("stale") + metrics.outcome("duplicate")), (4, 2));
    is_out(&stage, "a", 3).await;

    stage.events([german("a", 4, "DE", &json!("Ada King"))]).await;
    stage.consumer.shows("pa", "Ada King").await;
    assert_eq!(stage.consumer.holding("CANARY").await, [""; 0]);
    sidecar.stop().await;
    stage.clear().await;
}

/// G5, D5: an event that was put aside is judged later by what the condition reads, although no field holds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_taken_up_again_does_not_leave_the_subset() {
    let stage = Stage::new().await;
    let sidecar = plan(&stage, "string").start().await;
    stage.events([german("a", 1, "DE", &json!("Ada")), german("a", 2, "DE", &json!(["Ada", "King"]))]).await;
    assert_eq!(sidecar.books_close_at(2).await.outcome("parked"), 1);
    let parked = stage.consumer.parked().await;
    assert!(!parked[0].to_string().contains("CANARY"), "{parked:?}");
    sidecar.stop().await;

    let retried = plan(&stage, "any").run(&["parked", "retry", "--manifest", "{manifest}"]);
    assert!(retried.status.success(), "{retried:?}");
    stage.consumer.record_is("users", "a", "live", 2).await;
    let record = stage.consumer.one("users", "a").await.unwrap();
    assert_eq!(record.get_array("name").unwrap(), &vec!["Ada".into(), "King".into()]);
    assert_eq!(stage.consumer.parked().await, []);
    stage.clear().await;
}

/// It is known that the owner has it, and that it is outside; nothing of it is held.
async fn is_out(stage: &Stage, id: &str, version: i64) {
    stage.consumer.record_is("users", id, "gone", version).await;
    let record = stage.consumer.one("users", id).await.unwrap();
    assert_eq!(record.get_document("_nearcopy").unwrap().get_str("why").unwrap(), "out", "{record}");
    assert_eq!(record.keys().filter(|key| !key.starts_with('_')).count(), 0, "{record}");
}

fn german(id: &str, version: u64, country: &str, name: &Value) -> Value {
    json!({
        "id": format!("{id}/{version}"),
        "type": "user.updated",
        "data": { "id": id, "version": version, "country": country, "name": name, "secret": "CANARY-secret" },
    })
}

/// Users of one country, whose names are of that type.
fn plan(stage: &Stage, kind: &str) -> Plan {
    stage.plan_of(format!(
        r#"
service: product-service
sources:
  users:
    rabbitmq: {{ exchange: {EXCHANGE}, queue: {QUEUE}, bindings: ["user.#"] }}
    event: {{ id: id, type: type, data: data }}
replicas:
  users:
    owner: user-service
    source: users
    keep: {{ where: "data.country == 'DE'" }}
    id: data.id
    version: data.version
    fields: {{ name: {{ from: data.name, type: {kind} }} }}
    on: {{ user.updated: upsert }}
embeds:
  product-user: {{ in: products, ref: userId, from: users, into: user, fields: [name], when_deleted: clear }}
"#
    ))
}

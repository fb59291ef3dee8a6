//! A message that ends the process again and again ends it a few times, and no other message pays for it.

use std::collections::BTreeMap;

use bson::{Document, doc};
use mongodb::Client;
use nearcopy::store::ParkedStore;

use crate::declared::shop;
use crate::mongodb::Database;
use crate::rabbitmq::eventually;
use crate::stage::{EXCHANGE, QUEUE, Stage, event};

/// Every user is kept, and nobody is asked.
fn users() -> String {
    format!(
        r#"
service: product-service
sources:
  users:
    rabbitmq: {{ exchange: {EXCHANGE}, queue: {QUEUE}, bindings: ["user.#"] }}
    event: {{ id: id, type: type, time: occurredAt, data: data }}
replicas:
  users:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: data.version
    fields: {{ name: data.name }}
    on: {{ user.updated: upsert }}
"#
    )
}

/// D6: while the sidecar works on one message it is killed, seven times: twice as on any, twice with others that were
/// out with it, thrice alone. Then that message is put aside with its declared
/// parts, and those that were out with it each time are applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_kills_the_process_is_put_aside_and_no_other_is() {
    let stage = Stage::new().await;
    let plan = stage.plan_of(users());
    let sidecar = plan.start().await;
    stage.events([event("user.updated", "ann", 1, "Ann")]).await;
    stage.consumer.record_is("users", "ann", "live", 1).await;
    sidecar.stop().await;

    // Whoever works on Ann stands still at her record, for as long as this transaction is open.
    let client = Client::with_uri_str(stage.consumer.url()).await.unwrap();
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let held = client.default_database().unwrap().collection::<Document>("users");
    let touch = doc! { "$set": { "held": true } };
    held.update_one(doc! { "_id": "ann" }, touch).session(&mut session).await.unwrap();

    let others: Vec<String> = (0..20).map(|number| format!("u{number}")).collect();
    stage.events([event("user.updated", "ann", 2, "Anna")]).await;
    stage.events(others.iter().map(|user| event("user.updated", user, 1, "innocent"))).await;
    let times = async || {
        let all = stage.consumer.all("nearcopy.leases").await;
        let suspects =
            all.iter().filter(|lease| lease.get_str("_id").is_ok_and(|id| id.starts_with("suspect:")));
        suspects.map(|suspect| suspect.get_i64("times").unwrap()).max().unwrap_or_default()
    };
    for kill in 1..=7 {
        let sidecar = plan.start().await;
        let what = format!("it works on her before kill {kill}");
        eventually(&what, async || {
            if kill <= 2 { sidecar.metrics().await.books().0 >= 21 } else { times().await == kill - 2 }
        })
        .await;
        sidecar.kill();
    }
    let sidecar = plan.start().await;
    for user in &others {
        stage.consumer.record_is("users", user.as_str(), "live", 1).await;
    }
    eventually("she is put aside, after all others", async || !stage.consumer.parked().await.is_empty())
        .await;
    let parked = stage.consumer.parked().await;
    let [parked] = parked.as_slice() else { panic!("{parked:?}") };
    let told = ["reason", "entity"].map(|name| parked.get_str(name).unwrap());
    assert_eq!(told, ["crash_suspect", "ann"]);
    assert!(parked.get_str("excerpt").unwrap().contains("Anna"));
    session.abort_transaction().await.unwrap();
    let retried = plan.run(&["parked", "retry", "--manifest", "{manifest}"]);
    assert!(retried.status.success(), "{retried:?}");
    stage.consumer.record_is("users", "ann", "live", 2).await;
    eventually("nobody is suspected any more", async || times().await == 0).await;
    sidecar.stop().await;
    stage.clear().await;
}

/// D6: what was begun with is counted by the database, for all pods, until it ends well.
#[tokio::test]
async fn a_suspect_is_noted_before_it_is_begun_with() {
    let database = Database::new(&shop("all", "", &[])).await;
    let (one, other, id) = (database.connect().await, database.connect().await, uuid::Uuid::new_v4());
    let (strange, both) = (uuid::Uuid::new_v4(), async |ids: &[uuid::Uuid]| {
        one.suspect(ids).await.unwrap();
        other.suspicions(ids).await.unwrap()
    });
    assert_eq!(both(&[id]).await, BTreeMap::from([(id, 1)]));
    assert_eq!(both(&[id, strange]).await, BTreeMap::from([(id, 2), (strange, 1)]));
    other.acquit(&[id]).await.unwrap();
    assert_eq!(one.suspicions(&[id, strange]).await.unwrap(), BTreeMap::from([(strange, 1)]));
    assert_eq!(both(&[id]).await, BTreeMap::from([(id, 1)]));
    database.drop().await;
}

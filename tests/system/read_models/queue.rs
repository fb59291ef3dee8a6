//! Queues: events come as they come, some of them again, and each has its effect once.

use std::time::Duration;

use bson::doc;
use lapin::BasicProperties;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Scene, THINGS, event, grown, grown_to, parked_of};
use crate::consumer::Consumer;
use crate::rabbitmq::{Broker, eventually};

const EXCHANGE: &str = "events";
/// The source's queue with the read model's name behind it.
const QUEUE: &str = "counting.events.things";

/// The same things, of a queue.
fn things() -> String {
    let queue = r#"rabbitmq: { exchange: events, queue: counting.events, bindings: ["thing.#"] }"#;
    THINGS.replace("stream: { name: events }", queue)
}

async fn scene() -> Scene {
    let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
    broker.declare_exchange(EXCHANGE).await;
    Scene { broker, consumer }
}

async fn told(scene: &Scene, events: impl IntoIterator<Item = Value>) {
    let bodies = events.into_iter().map(|event| event.to_string());
    scene.broker.publish_with(EXCHANGE, "thing.any", bodies, BasicProperties::default()).await;
}

/// Three times, and in another order each time.
fn thrice(from: u64, to: u64) -> impl Iterator<Item = Value> {
    (from..to).chain((from..to).rev()).chain(from..to).map(grown)
}

/// Waits until what was published up to now has been taken.
async fn all_is_read(scene: &Scene) {
    told(scene, [event(9_999, "Grouped", &json!({ "id": "last", "group": 1 }))]).await;
    scene.consumer.until("things", "last", "all is read", |found| found.contains_key("group")).await;
}

fn grow(number: u64, id: &str, by: impl Into<Value>) -> Value {
    event(number, "Grown", &json!({ "id": id, "by": by.into(), "member": number }))
}

/// P7: what comes again, from whoever published it twice or from a queue that was not told in time, is known by its id.
#[tokio::test]
async fn each_event_of_a_queue_has_its_effect_once_however_often_it_comes() {
    let scene = scene().await;
    let plan = scene.plan(&things());
    let mut sidecar = plan.start().await;
    for round in 0..6_u64 {
        told(&scene, thrice(1_000 * round, 1_000 * (round + 1))).await;
        sleep(Duration::from_millis(150 * round)).await;
        if round % 2 == 0 {
            sidecar.kill();
            sidecar = plan.start().await;
        } else {
            scene.broker.close_connection().await;
        }
    }
    grown_to(&scene.consumer, 6_000).await;
    all_is_read(&scene).await;
    sleep(Duration::from_secs(1)).await;
    sidecar.stop().await;
    // All was settled, or it would have come back.
    scene.broker.holds(QUEUE, 0).await;
    grown_to(&scene.consumer, 6_000).await;
    assert_eq!(scene.consumer.all("nearcopy.seen").await.len(), 6_001);
    scene.clear().await;
}

/// One pod reads the queue; the other has nothing of it in hand until it takes over.
#[tokio::test]
async fn one_pod_reads_the_queue_and_another_takes_over() {
    let scene = scene().await;
    let plan = scene.plan(&things());
    let (one, two) = (plan.start().await, plan.start().await);
    told(&scene, thrice(0, 2_000)).await;
    let metrics = one.books_close_at(6_000).await;
    assert_eq!((metrics.outcome("applied"), metrics.outcome("duplicate")), (2_000, 4_000));
    assert_eq!(two.metrics().await.books(), (0, 0));
    told(&scene, thrice(2_000, 4_000)).await;
    one.kill();
    told(&scene, thrice(1_000, 5_000)).await;
    all_is_read(&scene).await;
    two.stop().await;
    grown_to(&scene.consumer, 5_000).await;
    scene.clear().await;
}

/// What waits was noted when it was put aside: released once, it does not come back with its next copy.
#[tokio::test]
async fn what_waits_is_released_once_although_it_comes_again() {
    let scene = scene().await;
    let (plan, lenient) =
        (scene.plan(&things()), scene.plan(&things().replace("size: data.by", "size: int(data.by)")));
    let sidecar = plan.start().await;
    let all = [grow(1, "a", 1), grow(2, "a", "7"), grow(3, "a", 2), grow(4, "b", 5)];
    told(&scene, all.clone()).await;
    told(&scene, all.clone()).await;
    let metrics = sidecar.books_close_at(8).await;
    let outcomes = ["applied", "parked", "duplicate"].map(|outcome| metrics.outcome(outcome));
    assert_eq!(outcomes, [2, 2, 4]);
    assert_eq!(parked_of(&scene.consumer, "a").await.len(), 2);
    let retried = lenient.run(&["parked", "retry", "--manifest", "{manifest}"]);
    assert_eq!(retried.status.code(), Some(0), "{}", String::from_utf8_lossy(&retried.stderr));
    let grown = |found: &bson::Document| found.get_i64("size").ok() == Some(10);
    scene.consumer.until("things", "a", "it has grown by all three", grown).await;
    told(&scene, all).await;
    let metrics = sidecar.books_close_at(12).await;
    assert_eq!(metrics.outcome("duplicate"), 8);
    scene.consumer.until("things", "a", "it has grown once by each", grown).await;
    assert_eq!(scene.consumer.parked().await.len(), 0);
    sidecar.stop().await;
    scene.clear().await;
}

/// M4: while the database refuses what is folded, what was taken stays in hand: a broker that gets it back each time would
/// put it away in the end.
#[tokio::test]
async fn what_was_taken_is_not_given_back_while_the_database_is_in_trouble() {
    let scene = scene().await;
    let mut sidecar = scene.plan(&things()).start().await;
    let refuse = doc! { "collMod": "things", "validator": { "never": true } };
    told(&scene, [grow(1, "a", 1)]).await;
    scene.consumer.until("things", "a", "it is there", |found| found.contains_key("size")).await;
    scene.consumer.run(refuse).await;
    told(&scene, [grow(2, "a", 2), grow(3, "b", 3)]).await;
    sidecar.is("degraded", |status, report| status == 200 && report["status"] == "degraded").await;
    sleep(Duration::from_secs(3)).await;
    scene.consumer.run(doc! { "collMod": "things", "validator": {} }).await;
    let has = |size: i64| move |found: &bson::Document| found.get_i64("size").ok() == Some(size);
    scene.consumer.until("things", "a", "it has grown", has(3)).await;
    scene.consumer.until("things", "b", "it is there", has(3)).await;
    sidecar.is("well", |status, report| status == 200 && report["status"] == "ok").await;
    let metrics = sidecar.books_close_at(3).await;
    assert_eq!(metrics.sum("nearcopy_events_redelivered_total", &[]), 0);
    sidecar.stop().await;
    scene.clear().await;
}

/// Replicas and read models of one source have each event, since each has its own queue.
#[tokio::test]
async fn a_source_feeds_replicas_and_read_models() {
    let scene = scene().await;
    let replica = "replicas:
  members:
    owner: others
    source: events
    keep: all
    id: data.member
    version: data.by
    fields: { of: data.id }
    on: { Grown: upsert }
";
    let alone = scene.plan(&things());
    let plan = scene.plan(&format!("{}{replica}", things()));
    let sidecar = alone.start().await;
    assert_eq!(scene.broker.waiting("counting.events").await, None, "nobody would read it");
    sidecar.stop().await;
    let sidecar = plan.start().await;
    let grown = |number: u64| {
        let data = json!({ "id": format!("t{}", number % 3), "by": number, "member": format!("m{number}") });
        event(number, "Grown", &data)
    };
    told(&scene, (0..30).map(grown)).await;
    scene.consumer.count_is("members", doc! { "_nearcopy.state": "live" }, 30).await;
    scene.consumer.count_is("things", doc! { "members": 10_i64 }, 3).await;
    let checked = plan.run(&["check", "--online", "{manifest}"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    for queue in ["counting.events", QUEUE] {
        assert!(said.contains(&format!("queue `{queue}`: 0 messages wait")), "{said}");
    }
    assert!(said.contains("read model `things` is folded as events come"), "{said}");
    let refused = plan.run(&["read-model", "rebuild", "things", "--manifest", "{manifest}"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be read twice") && said.contains("bind a stream"), "{said}");
    sidecar.stop().await;
    scene.clear().await;
}

/// D8: whoever deletes the queue takes what was in it; it is declared again, and folding goes on.
#[tokio::test]
async fn a_queue_that_is_deleted_is_declared_again() {
    let scene = scene().await;
    let sidecar = scene.plan(&things()).start().await;
    told(&scene, [grow(1, "a", 1)]).await;
    scene.consumer.until("things", "a", "it is there", |found| found.contains_key("size")).await;
    scene.broker.delete_queue(QUEUE).await;
    eventually("it is declared and read again", async || sidecar.logged("queue.reading").len() == 2).await;
    told(&scene, [grow(2, "a", 2)]).await;
    let has = |found: &bson::Document| found.get_i64("size").ok() == Some(3);
    scene.consumer.until("things", "a", "it has grown", has).await;
    sidecar.stop().await;
    scene.clear().await;
}

//! Read models: a stream of events becomes documents, each event once, whatever happens meanwhile.

mod examples;
mod feed;
mod oncall;
mod partitions;
mod queue;
mod rebuild;
mod remember;
mod routing_keys;
mod rules;
mod under_way;

use std::time::Duration;

use bson::{Bson, doc};
use lapin::BasicProperties;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::consumer::Consumer;
use crate::grpc_client::Client;
use crate::port::free_address;
use crate::rabbitmq::{Broker, eventually};
use crate::sidecar::Plan;

const STREAM: &str = "events";

/// Things that grow, and what came last.
const THINGS: &str = "
service: counting
sources:
  events:
    stream: { name: events }
    event: { time: at }
read_models:
  things:
    source: events
    key: data.id
    on:
      Grown: { inc: { size: data.by }, count: { members: data.member } }
      Emptied: { where: { group: data.group }, set: { size: 0 } }
      Grouped: { set: { group: data.group } }
      Gone: { delete: true }
    stamp: lastUpdated
";

struct Scene {
    broker: Broker,
    consumer: Consumer,
}

impl Scene {
    async fn new() -> Self {
        let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
        broker.declare_stream(STREAM).await;
        Self { broker, consumer }
    }

    fn plan(&self, manifest: &str) -> Plan {
        Plan::new(manifest.to_owned(), &self.broker.url(), self.consumer.url())
    }

    async fn events(&self, events: impl IntoIterator<Item = Value>) {
        let bodies = events.into_iter().map(|event| event.to_string());
        self.broker.publish_with("", STREAM, bodies, BasicProperties::default()).await;
    }

    async fn clear(self) {
        self.consumer.remove().await;
        self.broker.remove().await;
    }
}

fn event(number: u64, kind: &str, data: &Value) -> Value {
    json!({ "id": format!("e{number}"), "type": kind, "at": "2026-01-01T00:00:00Z", "data": data })
}

fn grown(number: u64) -> Value {
    let data = json!({ "id": format!("t{}", number % 20), "by": number % 7, "member": number % 100 });
    event(number, "Grown", &data)
}

/// What the things must be like after so many events.
async fn grown_to(consumer: &Consumer, events: u64) {
    for thing in 0..20 {
        let of = || (0..events).filter(|number| number % 20 == thing);
        let size: u64 = of().map(|number| number % 7).sum();
        let members: std::collections::BTreeSet<u64> = of().map(|number| number % 100).collect();
        let (size, members) = (i64::try_from(size).unwrap(), i64::try_from(members.len()).unwrap());
        let is = |found: &bson::Document| {
            found.get_i64("size").ok() == Some(size) && found.get_i64("members").ok() == Some(members)
        };
        consumer.until("things", format!("t{thing}"), "it has grown to its size", is).await;
    }
}

/// P1, P2: the documents and the position are stored together, so a crash at any moment repeats nothing and leaves
/// nothing out.
#[tokio::test]
async fn each_event_has_its_effect_once_however_often_the_process_is_killed() {
    let scene = Scene::new().await;
    let plan = scene.plan(THINGS);
    scene.events((0..2_000).map(grown)).await;
    let mut sidecar = plan.start().await;
    for round in 1..=6_u64 {
        scene.events((2_000 * round..2_000 * (round + 1)).map(grown)).await;
        sleep(Duration::from_millis(150 * round)).await;
        sidecar.kill();
        sidecar = plan.start().await;
    }
    grown_to(&scene.consumer, 14_000).await;
    sidecar.stop().await;
    scene.clear().await;
}

/// Two pods: one folds, the other takes over, and one that stood still meanwhile does no harm.
#[tokio::test]
async fn one_pod_folds_and_another_takes_over() {
    let scene = Scene::new().await;
    let plan = scene.plan(THINGS);
    let (one, two) = (plan.start().await, plan.start().await);
    scene.events((0..3_000).map(grown)).await;
    one.kill();
    scene.events((3_000..6_000).map(grown)).await;
    grown_to(&scene.consumer, 6_000).await;
    two.stop().await;
    scene.clear().await;
}

#[tokio::test]
async fn all_documents_that_match_change_whether_they_are_stored_or_under_work() {
    let scene = Scene::new().await;
    let plan = scene.plan(THINGS);
    let grouped = |number: u64, group: &str| {
        event(number, "Grouped", &json!({ "id": format!("t{number}"), "group": group }))
    };
    let sized = |number: u64| {
        event(100 + number, "Grown", &json!({ "id": format!("t{number}"), "by": 5, "member": 1 }))
    };
    scene.events((0..10).map(|number| grouped(number, "a")).chain((0..10).map(sized))).await;
    let sidecar = plan.start().await;
    scene.consumer.count_is("things", doc! { "size": 5_i64 }, 10).await;
    sidecar.stop().await;
    let more = [
        grouped(10, "a"),
        sized(10),
        grouped(3, "b"),
        event(200, "Emptied", &json!({ "group": "a" })),
        sized(4),
    ];
    scene.events(more).await;
    let sidecar = plan.start().await;
    scene.consumer.count_is("things", doc! { "group": "a", "size": 0_i64 }, 9).await;
    scene.consumer.count_is("things", doc! { "size": 5_i64 }, 2).await;
    sidecar.stop().await;
    scene.clear().await;
}

/// P4: one bad event waits, and what comes after it for the same document; everything else goes on.
#[tokio::test]
async fn a_bad_event_waits_and_only_its_own_document_waits_with_it() {
    let scene = Scene::new().await;
    let sidecar = scene.plan(THINGS).start().await;
    let grow = |number: u64, id: &str, by: Value| {
        event(number, "Grown", &json!({ "id": id, "by": by, "member": number }))
    };
    scene
        .events([
            grow(1, "good", json!(1)),
            grow(2, "bad", json!(1)),
            grow(3, "bad", json!("CANARY")),
            grow(4, "bad", json!(1)),
            json!("no event at all"),
            grow(5, "good", json!(1)),
        ])
        .await;
    scene
        .consumer
        .until("things", "good", "it has grown", |found| found.get_i64("size").ok() == Some(2))
        .await;
    let bad = scene.consumer.one("things", "bad").await.unwrap();
    assert_eq!(bad.get_i64("size").unwrap(), 1);
    let parked = scene.consumer.parked().await;
    let reasons: Vec<(Option<&str>, &str)> = parked
        .iter()
        .map(|parked| (parked.get_str("entity").ok(), parked.get_str("reason").unwrap()))
        .collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    for expected in [(Some("bad"), "bad_field"), (Some("bad"), "behind"), (None, "no_type")] {
        assert!(reasons.contains(&expected), "{reasons:?}");
    }
    let metrics = sidecar.books_close_at(6).await;
    assert_eq!((metrics.outcome("applied"), metrics.outcome("parked")), (3, 3));
    sidecar.stop().await;
    scene.clear().await;
}

/// D9: where the event at the checkpoint is not there any more, others may be missing, too: nothing is skipped in silence.
#[tokio::test]
async fn a_stream_that_was_made_anew_is_not_read_as_if_nothing_had_happened() {
    let scene = Scene::new().await;
    let plan = scene.plan(THINGS);
    scene.events((0..100).map(grown)).await;
    let sidecar = plan.start().await;
    grown_to(&scene.consumer, 100).await;
    sidecar.stop().await;
    scene.broker.delete_queue(STREAM).await;
    scene.broker.declare_stream(STREAM).await;
    scene.events((500..700).map(grown)).await;
    let mut sidecar = plan.spawn();
    let says = |report: &Value| report["reasons"].to_string().contains("events are missing");
    sidecar.is("degraded, and says why", |status, report| status == 200 && says(report)).await;
    grown_to(&scene.consumer, 100).await;
    let refused = plan.run(&["read-model", "rebuild", "things", "--manifest", "{manifest}"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--anew"));
    let anew = plan.run(&["read-model", "rebuild", "things", "--anew", "--manifest", "{manifest}"]);
    assert_eq!(anew.status.code(), Some(0), "{}", String::from_utf8_lossy(&anew.stderr));
    sidecar.is("well again", |status, report| status == 200 && report["status"] == "ok").await;
    scene.events([event(900, "Grown", &json!({ "id": "t0", "by": 1_000, "member": 1 }))]).await;
    let sum: u64 = (500..700).filter(|number| number % 20 == 0).map(|number| number % 7).sum();
    let size = i64::try_from(sum).unwrap() + 1_000;
    let is = |found: &bson::Document| found.get_i64("size").ok() == Some(size);
    scene.consumer.until("things", "t0", "what there is now is folded, and goes on", is).await;
    sidecar.stop().await;
    scene.clear().await;
}

/// The example: foos are folded from their history, and read by a contract of the team's own.
#[tokio::test]
async fn a_read_model_is_read_like_a_replica() {
    let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
    broker.declare_exchange("foos").await;
    let address = free_address();
    let plan = Plan::new(
        include_str!("../../../config/examples/foo-stream.yaml").into(),
        &broker.url(),
        consumer.url(),
    )
    .beside("proto/foos.proto", include_str!("../../../config/examples/proto/foos.proto"))
    .set("read.listen", &address);
    let sidecar = plan.start().await;
    eventually("the stream is bound and read", async || !sidecar.logged("stream.reading").is_empty()).await;
    let told = |number: u64, kind: &str, data: Value| {
        json!({ "id": format!("e{number}"), "type": kind, "occurredAt": format!("2026-01-01T00:00:0{number}Z"), "data": data })
            .to_string()
    };
    let events = [
        told(
            1,
            "FooCreated",
            json!({ "barId": "a", "bazId": "1", "title": "First", "detail": { "barId": "a", "weight": 7 } }),
        ),
        told(2, "FooCreated", json!({ "barId": "a", "bazId": "2", "title": "Second" })),
        told(3, "IsActiveUpdated", json!({ "barId": "a", "bazId": "1", "isActive": true })),
        told(4, "FooRenamed", json!({ "barId": "a", "bazId": "1", "title": "Renamed" })),
    ];
    broker.publish_with("foos", "foo.any", events, BasicProperties::default()).await;
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_DNS, b"a/1").to_string();
    let renamed = |found: &bson::Document| found.get_str("title").ok() == Some("Renamed");
    consumer.until("foos", id.as_str(), "it is renamed", renamed).await;

    let base = format!("http://{address}");
    let client = Client::of(&base, "acme.v1.Foos").await;
    let foo = client.call("GetFoo", json!({ "fooId": id })).await.unwrap();
    assert_eq!((&foo["title"], &foo["status"]), (&json!("Renamed"), &json!("FOO_STATUS_ACTIVE")), "{foo}");
    assert_eq!(foo["created"], json!("2026-01-01T00:00:01Z"), "{foo}");
    assert_eq!(foo["history"].as_array().map(Vec::len), Some(3), "{foo}");
    let active = client.call("GetFoos", json!({ "status": "FOO_STATUS_ACTIVE" })).await.unwrap();
    assert_eq!(active["foos"].as_array().map(Vec::len), Some(1), "{active}");
    let rest = reqwest::get(format!("{base}/v1/foos?status=IN_REVIEW")).await.unwrap().text().await.unwrap();
    let rest: Value = serde_json::from_str(&rest).unwrap();
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(1), "{rest}");
    let document = consumer.one("foos", id.as_str()).await.unwrap();
    let last = bson::DateTime::parse_rfc3339_str("2026-01-01T00:00:04Z").unwrap();
    assert_eq!(document.get("lastUpdated"), Some(&Bson::DateTime(last)));
    sidecar.stop().await;
    consumer.remove().await;
    broker.remove().await;
}

/// What waits is folded in its order once the manifest can read it, and what is dropped holds nothing back.
#[tokio::test]
async fn what_waits_goes_on_when_it_is_retried_or_dropped() {
    let scene = Scene::new().await;
    let (plan, lenient) =
        (scene.plan(THINGS), scene.plan(&THINGS.replace("size: data.by", "size: int(data.by)")));
    let sidecar = plan.start().await;
    let grow = |number: u64, id: &str, by: Value| {
        event(number, "Grown", &json!({ "id": id, "by": by, "member": number }))
    };
    let events = |id: &str, from: u64| {
        [grow(from, id, json!("7")), grow(from + 1, id, json!(1)), grow(from + 2, id, json!(2))]
    };
    scene
        .events(events("one", 1).into_iter().chain(events("two", 10)).chain([grow(20, "last", json!(1))]))
        .await;
    scene.consumer.until("things", "last", "all is read", |found| found.contains_key("size")).await;
    assert_eq!(scene.consumer.parked().await.len(), 6);

    let still = plan.run(&["parked", "retry", "--manifest", "{manifest}"]);
    assert_eq!(still.status.code(), Some(1), "{}", String::from_utf8_lossy(&still.stderr));
    let retried = lenient.run(&[
        "parked",
        "retry",
        "--manifest",
        "{manifest}",
        &parked_of(&scene.consumer, "one").await[0],
    ]);
    assert_eq!(retried.status.code(), Some(0), "{}", String::from_utf8_lossy(&retried.stderr));
    scene
        .consumer
        .until("things", "one", "all three are folded", |found| found.get_i64("size").ok() == Some(10))
        .await;

    let [first, ..] = &parked_of(&scene.consumer, "two").await[..] else { panic!("nothing waits") };
    let dropped = plan.run(&["parked", "drop", first]);
    assert_eq!(dropped.status.code(), Some(0), "{}", String::from_utf8_lossy(&dropped.stderr));
    let retried = plan.run(&["parked", "retry", "--manifest", "{manifest}"]);
    assert_eq!(retried.status.code(), Some(0), "{}", String::from_utf8_lossy(&retried.stderr));
    scene.events([grow(30, "one", json!(1)), grow(31, "two", json!(1))]).await;
    scene.consumer.until("things", "one", "it goes on", |found| found.get_i64("size").ok() == Some(11)).await;
    scene.consumer.until("things", "two", "it goes on", |found| found.get_i64("size").ok() == Some(4)).await;
    assert_eq!(scene.consumer.parked().await.len(), 0);
    sidecar.stop().await;
    scene.clear().await;
}

/// The ids of the events that a document waits for, in their order.
async fn parked_of(consumer: &Consumer, document: &str) -> Vec<String> {
    let mut parked = consumer.parked().await;
    parked.retain(|parked| parked.get_str("entity").ok() == Some(document));
    parked.sort_by_key(|parked| parked.get_i64("version").unwrap());
    parked.iter().map(|parked| parked.get_str("_id").unwrap().to_owned()).collect()
}

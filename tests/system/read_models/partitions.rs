//! Partitioned streams: pods share the partitions, and partitions share the documents.

use std::collections::BTreeSet;
use std::time::Duration;

use bson::doc;
use lapin::BasicProperties;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{THINGS, event, grown, grown_to};
use crate::consumer::Consumer;
use crate::rabbitmq::{Broker, eventually};
use crate::sidecar::{Plan, Sidecar};

/// The things of three partitions.
fn things() -> String {
    split(THINGS, 3)
}

fn split(manifest: &str, partitions: u64) -> String {
    manifest.replace("name: events }", &format!("name: events, partitions: {partitions} }}"))
}

struct Scene {
    broker: Broker,
    consumer: Consumer,
}

impl Scene {
    /// With three partitions, and a stream that is none.
    async fn new() -> Self {
        let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
        for stream in ["events", "events-0", "events-1", "events-2"] {
            broker.declare_stream(stream).await;
        }
        Self { broker, consumer }
    }

    fn plan(&self, manifest: &str) -> Plan {
        Plan::new(manifest.to_owned(), &self.broker.url(), self.consumer.url())
    }

    /// Publishes to a partition.
    async fn tell(&self, partition: u64, events: impl IntoIterator<Item = Value>) {
        let (stream, bodies) =
            (format!("events-{partition}"), events.into_iter().map(|event| event.to_string()));
        self.broker.publish_with("", &stream, bodies, BasicProperties::default()).await;
    }

    /// Publishes events to their partitions: each thing is told of in all of them.
    async fn grow(&self, from: u64, to: u64) {
        for partition in 0..3 {
            self.tell(partition, (from..to).filter(|number| number % 3 == partition).map(grown)).await;
        }
    }

    async fn size_is(&self, id: &str, size: i64) {
        let is = |found: &bson::Document| found.get_i64("size").ok() == Some(size);
        self.consumer.until("things", id, &format!("its size is {size}"), is).await;
    }

    /// Who has the leases of the partitions, as far as anybody has.
    async fn holders(&self) -> Vec<String> {
        let mut leases = self.consumer.all("nearcopy.leases").await;
        leases.retain(|lease| lease.get_str("_id").is_ok_and(|id| id.starts_with("read-model:things.")));
        leases.iter().map(|lease| lease.get_str("holder").unwrap().to_owned()).collect()
    }

    async fn clear(self) {
        self.consumer.remove().await;
        self.broker.remove().await;
    }
}

fn size(number: u64, id: &str, by: &Value) -> Value {
    event(number, "Grown", &json!({ "id": id, "by": by, "member": number }))
}

fn ran(plan: &Plan, arguments: &[&str]) -> String {
    let output = plan.run(&[arguments, &["--manifest", "{manifest}"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn stop(sidecars: impl IntoIterator<Item = Sidecar>) {
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}

/// P1, P2, P8: three pods fold three partitions into the same documents and are killed in turn; each event has its effect once.
#[tokio::test]
async fn each_event_of_each_partition_has_its_effect_once_however_often_pods_are_killed() {
    let scene = Scene::new().await;
    let plan = scene.plan(&things());
    scene.grow(0, 3_000).await;
    let mut pods = [plan.start().await, plan.start().await, plan.start().await];
    for round in 1..=6_u64 {
        scene.grow(3_000 * round, 3_000 * (round + 1)).await;
        sleep(Duration::from_millis(300 * round)).await;
        pods.rotate_left(1);
        let [first, ..] = &mut pods;
        std::mem::replace(first, plan.spawn()).kill();
    }
    grown_to(&scene.consumer, 21_000).await;
    stop(pods).await;
    scene.clear().await;
}

/// The work is shared: after a while each of three pods folds one of three partitions, and when two are gone, one all.
#[tokio::test]
async fn pods_share_the_partitions() {
    let scene = Scene::new().await;
    let plan = scene.plan(&things());
    let pods = [plan.start().await, plan.start().await, plan.start().await];
    let different = async || scene.holders().await.into_iter().collect::<BTreeSet<_>>().len();
    eventually("each pod has a partition", async || {
        different().await == 3 && scene.holders().await.len() == 3
    })
    .await;
    scene.grow(0, 3_000).await;
    grown_to(&scene.consumer, 3_000).await;
    let [one, two, three] = pods;
    one.kill();
    two.kill();
    eventually("the third has all", async || different().await == 1 && scene.holders().await.len() == 3)
        .await;
    scene.grow(3_000, 6_000).await;
    grown_to(&scene.consumer, 6_000).await;
    three.stop().await;
    scene.clear().await;
}

/// P3: what is folded again of all partitions, while events come, is what is served; a rebuild can be undone, and what has come
/// since is folded again, once.
#[tokio::test]
async fn partitions_are_rebuilt_together_under_readers() {
    let scene = Scene::new().await;
    let (plan, twice) =
        (scene.plan(&things()), scene.plan(&things().replace("size: data.by", "size: \"data.by * 2\"")));
    scene.grow(0, 12_000).await;
    let pods = [plan.start().await, plan.start().await];
    grown_to(&scene.consumer, 12_000).await;
    let rebuilding = {
        let plan = plan.clone();
        tokio::task::spawn_blocking(move || ran(&plan, &["read-model", "rebuild", "things"]))
    };
    for round in 0..10 {
        scene.grow(12_000 + 300 * round, 12_300 + 300 * round).await;
        sleep(Duration::from_millis(200)).await;
    }
    let said = rebuilding.await.unwrap();
    assert!(said.contains("20 documents replaced 20, 0 of them different"), "{said}");
    grown_to(&scene.consumer, 15_000).await;
    stop(pods).await;

    let looked = ran(&twice, &["read-model", "rebuild", "things", "--dry-run"]);
    assert!(looked.contains("20 documents would replace 20, 20 of them different"), "{looked}");
    grown_to(&scene.consumer, 15_000).await;
    ran(&twice, &["read-model", "rebuild", "things"]);
    let pod = twice.start().await;
    scene.grow(15_000, 18_000).await;
    eventually("all is folded", async || {
        scene.consumer.one("things", "t0").await.unwrap().get_i64("size").unwrap() > 2 * 2_650
    })
    .await;
    pod.stop().await;
    ran(&plan, &["read-model", "undo", "things"]);
    let pod = plan.start().await;
    grown_to(&scene.consumer, 18_000).await;
    pod.stop().await;
    scene.clear().await;
}

/// What is folded again is near what was folded as it came: what happened first comes first, whichever partition it is in.
#[tokio::test]
async fn a_rebuild_of_partitions_goes_by_the_time_of_their_events() {
    let scene = Scene::new().await;
    let plan = scene.plan(&things());
    let grouped = |second: u64, group: &str| {
        let data = json!({ "id": "t", "group": group });
        json!({ "id": format!("e{second}"), "type": "Grouped", "at": format!("2026-01-01T00:00:0{second}Z"), "data": data })
    };
    let pod = plan.start().await;
    for (partition, second, group) in
        [(2, 1, "a"), (0, 2, "b"), (1, 3, "c"), (0, 4, "d"), (1, 5, "e"), (0, 6, "f")]
    {
        scene.tell(partition, [grouped(second, group)]).await;
        let is = |found: &bson::Document| found.get_str("group").ok() == Some(group);
        scene.consumer.until("things", "t", "it is grouped", is).await;
    }
    let said = ran(&plan, &["read-model", "rebuild", "things"]);
    assert!(said.contains("1 documents replaced 1, 0 of them different"), "{said}");
    pod.stop().await;
    scene.clear().await;
}

/// One document is folded anew from all partitions, while others go on.
#[tokio::test]
async fn one_document_is_rebuilt_from_all_partitions() {
    let scene = Scene::new().await;
    let plan = scene.plan(&things());
    scene.grow(0, 6_000).await;
    let pod = plan.start().await;
    grown_to(&scene.consumer, 6_000).await;
    let spoil = doc! { "$set": { "size": -1_i64 } };
    scene.consumer.collection("things").update_one(doc! { "_id": "t3" }, spoil).await.unwrap();
    let looked = ran(&plan, &["read-model", "rebuild", "things", "--key", "t3", "--dry-run"]);
    assert!(looked.contains("what is served is different"), "{looked}");
    scene.grow(6_000, 9_000).await;
    let rebuilt = ran(&plan, &["read-model", "rebuild", "things", "--key", "t3"]);
    assert!(rebuilt.contains("it was different, and is replaced"), "{rebuilt}");
    let same = ran(&plan, &["read-model", "rebuild", "things", "--key", "t4"]);
    assert!(same.contains("what is served is the same"), "{same}");
    grown_to(&scene.consumer, 9_000).await;
    pod.stop().await;
    scene.clear().await;
}

/// P9: a stream that becomes partitioned, or has fewer partitions than before, is not folded twice; more are welcome.
#[tokio::test]
async fn what_was_folded_from_other_partitions_is_not_folded_twice() {
    let scene = Scene::new().await;
    let (whole, three, two) = (scene.plan(THINGS), scene.plan(&things()), scene.plan(&split(THINGS, 2)));
    let says = |said: &'static str| {
        move |status: u16, report: &Value| status == 200 && report["reasons"].to_string().contains(said)
    };
    scene
        .broker
        .publish_with("", "events", [size(1, "t", &json!(1)).to_string()], BasicProperties::default())
        .await;
    let pod = whole.start().await;
    scene.size_is("t", 1).await;
    pod.stop().await;

    for partition in 0..2 {
        scene.tell(partition, [size(10 + partition, "t", &json!(10))]).await;
    }
    let mut pod = two.spawn();
    pod.is(
        "refusing",
        says("were folded from a source without partitions, and the manifest says 2 partitions"),
    )
    .await;
    scene.size_is("t", 1).await;
    let refused = two.run(&["read-model", "rebuild", "things", "--manifest", "{manifest}"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--anew"), "{refused:?}");
    ran(&two, &["read-model", "rebuild", "things", "--anew"]);
    pod.is("well again", |status, report| status == 200 && report["status"] == "ok").await;
    scene.size_is("t", 20).await;
    scene.tell(1, [size(13, "t", &json!(100))]).await;
    scene.size_is("t", 120).await;
    pod.stop().await;

    scene.tell(2, [size(14, "t", &json!(1_000))]).await;
    let pod = three.start().await;
    scene.size_is("t", 1_120).await;
    pod.stop().await;
    let found = three.run(&["check", "--online", "{manifest}"]);
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let far = "is folded up to offset 0 of partition 0, offset 1 of partition 1, offset 0 of partition 2";
    assert!(found.contains(far), "{found}");
    assert!(found.contains("stream `events-2`:"), "{found}");

    let mut pod = two.spawn();
    pod.is("refusing", says("were folded from 3 partitions, and the manifest says 2 partitions")).await;
    pod.stop().await;
    let mut pod = whole.spawn();
    pod.is("refusing", says("and the manifest says a source without partitions")).await;
    pod.stop().await;
    let found = two.run(&["check", "--online", "{manifest}"]);
    assert!(String::from_utf8_lossy(&found.stdout).contains("were folded from 3 partitions"), "{found:?}");
    scene.size_is("t", 1_120).await;
    ran(&whole, &["read-model", "rebuild", "things", "--anew"]);
    let pod = whole.start().await;
    scene.size_is("t", 1).await;
    pod.stop().await;
    scene.clear().await;
}

/// P4: what waits for a document may come from several partitions, and is folded once it can be.
#[tokio::test]
async fn what_waits_may_come_from_several_partitions() {
    let scene = Scene::new().await;
    let lenient = scene.plan(&things().replace("size: data.by", "size: int(data.by)"));
    let pod = scene.plan(&things()).start().await;
    // The same event at the same place of two partitions is two events.
    scene.tell(0, [size(1, "t", &json!("7")), size(2, "u", &json!(1))]).await;
    scene.tell(1, [size(1, "t", &json!("7")), size(3, "u", &json!(1))]).await;
    scene.size_is("u", 2).await;
    eventually("two wait", async || scene.consumer.parked().await.len() == 2).await;
    scene.tell(2, [size(4, "t", &json!(100))]).await;
    eventually("three wait", async || scene.consumer.parked().await.len() == 3).await;
    ran(&lenient, &["parked", "retry"]);
    scene.size_is("t", 114).await;
    assert_eq!(scene.consumer.parked().await.len(), 0);
    scene.tell(2, [size(5, "t", &json!(1_000))]).await;
    scene.size_is("t", 1_114).await;
    pod.stop().await;
    scene.clear().await;
}

/// P7: what comes again by another partition is known.
#[tokio::test]
async fn an_event_is_remembered_in_all_partitions() {
    let scene = Scene::new().await;
    let plan = scene.plan(&things().replace("    stamp:", "    remember: 1h\n    stamp:"));
    let pods = [plan.start().await, plan.start().await];
    for partition in 0..3 {
        scene.tell(partition, (0..500).map(|number| size(number, "t", &json!(1)))).await;
        scene.tell(partition, [size(1_000 + partition, "last", &json!(1))]).await;
    }
    scene.size_is("last", 3).await;
    scene.size_is("t", 500).await;
    stop(pods).await;
    ran(&plan, &["read-model", "rebuild", "things"]);
    let pod = plan.start().await;
    scene.tell(2, [size(7, "t", &json!(1)), size(2_000, "last", &json!(1))]).await;
    scene.size_is("last", 4).await;
    scene.size_is("t", 500).await;
    pod.stop().await;
    scene.clear().await;
}

/// Things that shall be told of when they are grown, and when nobody has emptied them for a minute.
const TOLD: &str = "
service: counting
sources:
  events:
    stream: { name: events, partitions: 2 }
    event: { time: at }
read_models:
  things:
    source: events
    key: data.id
    on:
      Grown: { inc: { size: data.by } }
      Emptied: { set: { size: 0 } }
    rules:
      grown: { when: after.size > 0, emit: { exchange: told, key: grown, type: Grown } }
      left: { when: after.size > 0, for: 1m, emit: { exchange: told, key: left, type: Left, data: { id: data.id } } }
";

/// What stands at one place in two partitions is told under two ids. A deadline passes only once all partitions have been read
/// so far: what lifts it may be in one that nobody could read yet.
#[tokio::test]
async fn rules_see_all_partitions() {
    let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
    broker.declare_exchange("told").await;
    for key in ["grown", "left"] {
        broker.declare_bound_queue(key, "told", key).await;
    }
    broker.declare_stream("events-0").await;
    let plan = Plan::new(TOLD.into(), &broker.url(), consumer.url());
    let pod = plan.spawn();
    let at = |ago: i64| {
        let at = bson::DateTime::from_millis(bson::DateTime::now().timestamp_millis() - ago * 1_000);
        at.try_to_rfc3339_string().unwrap()
    };
    // Nameless, so that only the place tells them apart.
    let told = |kind: &str, id: &str, ago: i64| {
        json!({ "type": kind, "at": at(ago), "data": { "id": id, "by": 1 } }).to_string()
    };
    let publish = async |stream: &str, events: Vec<String>| {
        broker.publish_with("", stream, events, BasicProperties::default()).await;
    };
    publish("events-0", vec![told("Grown", "emptied", 3_600), told("Grown", "left", 3_600)]).await;
    consumer.until("things", "left", "it is folded", |found| found.contains_key("size")).await;
    sleep(Duration::from_secs(9)).await;
    assert_eq!(broker.take_all("left").await.len(), 0, "a partition is not read yet");

    broker.declare_stream("events-1").await;
    publish("events-1", vec![told("Grown", "emptied", 3_599), told("Emptied", "emptied", 3_598)]).await;
    let mut left = Vec::new();
    eventually("what was left is told", async || {
        left.extend(broker.take_all("left").await);
        !left.is_empty()
    })
    .await;
    sleep(Duration::from_secs(3)).await;
    left.extend(broker.take_all("left").await);
    let left: Vec<Value> = left.iter().map(|body| serde_json::from_slice(body).unwrap()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["data"]["id"], "left", "{left:?}");
    let grown: BTreeSet<String> = broker.take_all("grown").await.iter().map(|body| id_of(body)).collect();
    assert_eq!(grown.len(), 3, "one for each event: {grown:?}");
    pod.stop().await;
    consumer.remove().await;
    broker.remove().await;
}

fn id_of(body: &[u8]) -> String {
    serde_json::from_slice::<Value>(body).unwrap()["id"].as_str().unwrap().to_owned()
}

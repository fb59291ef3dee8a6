//! Queues that are split: pods share the partitions, an entity's events are with one pod, and nothing is lost whatever changes.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use nearcopy::replication::{HashedBy, SourceSpec, Split};
use nearcopy::source::rabbitmq::TurnQueue;
use nearcopy::source::{Delivery, Opened, Queue};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::rabbitmq::eventually;
use crate::reader::{EXCHANGE, broker_with_exchange, options, spec};
use crate::sidecar::{Plan, Sidecar};
use crate::stage::{Stage, event};

/// The queue, and what the names of its partitions begin with.
const QUEUE: &str = "shop.users";
const FOUR: &str = ", partitions: 4";
/// How many users there are; enough that each partition has some.
const USERS: u64 = 40;

/// All users are kept, from a queue that is split as said.
fn users(owner: &str, split: &str) -> String {
    format!(
        r#"
service: shop
sources:
  users:
    rabbitmq: {{ exchange: users, queue: {QUEUE}, bindings: ["user.#"]{split} }}
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
    fetch: {{ url: "{owner}/users/{{id}}", settle: 1s, from: {{ id: id, version: version }} }}
"#
    )
}

fn plan(stage: &Stage, split: &str) -> Plan {
    stage.plan_of(users(&stage.owner.url(), split))
}

fn partition(number: u64) -> String {
    format!("{QUEUE}-{number}")
}

fn versions(id: u64, versions: Range<u64>) -> Vec<String> {
    let body = |version| event("user.updated", &id.to_string(), version, &format!("v{version}")).to_string();
    versions.map(body).collect()
}

/// Publishes these versions of every user, under a key that names him.
async fn tell(stage: &Stage, told: Range<u64>) {
    for id in 0..USERS {
        stage.broker.publish("users", &format!("user.{id}"), versions(id, told.clone())).await;
    }
}

async fn all_are_at(stage: &Stage, version: u64) {
    for id in 0..USERS {
        let version = i64::try_from(version).unwrap();
        stage.consumer.record_is("users", id.to_string(), "live", version).await;
    }
}

/// Which pods have which partitions, as far as anybody has.
async fn holders(stage: &Stage) -> BTreeMap<String, BTreeSet<String>> {
    let mut holders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for lease in stage.consumer.all("nearcopy.leases").await {
        let (name, holder) = (lease.get_str("_id").unwrap(), lease.get_str("holder"));
        if let (Some(number), Ok(holder)) = (name.strip_prefix("source:users."), holder) {
            holders.entry(holder.to_owned()).or_default().insert(number.to_owned());
        }
    }
    holders
}

/// Waits until so many pods have all four partitions, none of them two more than another.
async fn shared_by(stage: &Stage, pods: usize) {
    eventually(&format!("{pods} pods share four partitions"), async || {
        let held: Vec<usize> = holders(stage).await.values().map(BTreeSet::len).collect();
        let is_even = held.iter().max().unwrap_or(&0) - held.iter().min().unwrap_or(&0) <= 1;
        held.len() == pods && held.iter().sum::<usize>() == 4 && is_even
    })
    .await;
}

async fn received(pods: &[Sidecar]) -> Vec<u64> {
    let mut received = Vec::new();
    for pod in pods {
        received.push(pod.metrics().await.sum("nearcopy_events_received_total", &[]));
    }
    received
}

/// How many messages wait in each of four partitions, once it is so many in all.
async fn waiting(stage: &Stage, total: u32) -> [u32; 4] {
    let mut waiting = [0; 4];
    eventually(&format!("{total} messages wait in the partitions"), async || {
        for (number, waiting) in (0..).zip(&mut waiting) {
            *waiting = stage.broker.waiting(&partition(number)).await.unwrap();
        }
        waiting.iter().sum::<u32>() == total
    })
    .await;
    waiting
}

fn found(plan: &Plan) -> String {
    let ended = plan.run(&["check", "--online", "{manifest}"]);
    String::from_utf8(ended.stdout).unwrap()
}

/// Three pods share four partitions, and all that is told of a user comes to one of them; when two are killed, the third has all.
#[tokio::test]
async fn pods_share_the_partitions_and_each_entity_is_with_one_of_them() {
    let stage = Stage::new().await;
    let plan = plan(&stage, FOUR);
    let mut pods = vec![plan.start().await];
    shared_by(&stage, 1).await;
    pods.extend([plan.start().await, plan.start().await]);
    shared_by(&stage, 3).await;
    tell(&stage, 1..2).await;
    all_are_at(&stage, 1).await;

    let (mut version, mut at_work) = (2, BTreeSet::new());
    for id in 0..12 {
        let before = received(&pods).await;
        stage.broker.publish("users", &format!("user.{id}"), versions(id, version..version + 10)).await;
        stage.consumer.record_is("users", id.to_string(), "live", i64::try_from(version + 9).unwrap()).await;
        let after = received(&pods).await;
        let more: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        let takers: Vec<usize> = (0..3).filter(|pod| more[*pod] > 0).collect();
        assert_eq!(more.iter().sum::<u64>(), 10, "none of them came twice: {more:?}");
        assert_eq!(takers.len(), 1, "user {id}: {more:?}");
        at_work.extend(takers);
    }
    assert!(at_work.len() > 1, "one pod had all of twelve users");
    version += 10;

    for pod in pods.drain(..2) {
        pod.kill();
    }
    tell(&stage, version..version + 1).await;
    all_are_at(&stage, version).await;
    shared_by(&stage, 1).await;
    for pod in pods {
        pod.stop().await;
    }
    // All of it is acknowledged at a stop, or it would have come back.
    waiting(&stage, 0).await;
    stage.clear().await;
}

/// D13: from one pod to three and back to one, by a kill and by a stop, while users change all the time.
#[tokio::test]
async fn nothing_is_lost_while_partitions_change_hands() {
    let stage = Stage::new().await;
    let plan = plan(&stage, FOUR);
    let (is_over, mut version) = (Cell::new(false), 1);
    let changing = async {
        while !is_over.get() {
            tell(&stage, version..version + 3).await;
            version += 3;
        }
    };
    let coming_and_going = async {
        let mut pods = vec![plan.start().await];
        shared_by(&stage, 1).await;
        pods.extend([plan.start().await, plan.start().await]);
        shared_by(&stage, 3).await;
        pods.remove(0).kill();
        shared_by(&stage, 2).await;
        pods.remove(0).stop().await;
        shared_by(&stage, 1).await;
        is_over.set(true);
        pods.remove(0)
    };
    let ((), last) = tokio::join!(changing, coming_and_going);
    all_are_at(&stage, version - 1).await;
    last.stop().await;
    waiting(&stage, 0).await;
    assert!(stage.consumer.parked().await.is_empty());
    stage.clear().await;
}

/// D13: the broker delivers a partition to one of those who read it, and to the next once he is gone, with what he has not
/// settled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_is_delivered_to_one_at_a_time() {
    let broker = broker_with_exchange().await;
    let mut whole: SourceSpec = spec(true);
    whole.queue.split = Some(Split { partitions: 2, by: HashedBy::RoutingKey });
    let part = Arc::new(whole).parts().remove(0);
    let open = async || {
        let queue = TurnQueue::new(&part, options(&broker), CancellationToken::new()).unwrap();
        queue.open().await.unwrap()
    };
    let take = async |of: &mut Opened| timeout(Duration::from_secs(10), of.inbox.take(10)).await.unwrap();
    let mut first = open().await;
    let mut second = open().await;
    assert_eq!((first.is_new, second.is_new), (true, false));
    broker.publish(EXCHANGE, "user.1", ["1".to_owned()]).await;
    let taken = take(&mut first).await;
    taken.into_iter().for_each(Delivery::settle);
    broker.publish(EXCHANGE, "user.1", ["2".to_owned()]).await;
    let taken = take(&mut first).await;
    assert!(timeout(Duration::from_secs(1), second.inbox.take(1)).await.is_err(), "it stands by");
    drop((taken, first));
    let taken = take(&mut second).await;
    assert_eq!(taken.iter().map(|delivery| &delivery.body[..]).collect::<Vec<_>>(), [b"2"]);
    taken.into_iter().for_each(Delivery::settle);
    drop(second.inbox);
    second.closed.await;
    broker.holds(&part.queue.name(), 0).await;
    broker.remove().await;
}

/// D14: whatever the number of partitions becomes, and back to one queue: what waits in the queues from before is taken, what
/// comes goes by the new way, and the owner is asked about nothing.
#[tokio::test]
async fn the_number_of_partitions_may_change() {
    let stage = Stage::new().await;
    let (one, four, two) = (plan(&stage, ""), plan(&stage, FOUR), plan(&stage, ", partitions: 2"));
    let stop = async |pod: Sidecar| {
        assert!(pod.logged("replica.resync").is_empty(), "{}", pod.log());
        pod.stop().await;
    };
    stop(one.start().await).await;
    tell(&stage, 1..2).await;
    stage.broker.holds(QUEUE, 40).await;

    let pod = four.start().await;
    all_are_at(&stage, 1).await;
    tell(&stage, 2..3).await;
    all_are_at(&stage, 2).await;
    stop(pod).await;
    let left = "queue `shop.users` is left from before `partitions` changed, and 0 messages wait in it";
    assert!(found(&four).contains(left), "{}", found(&four));
    stage.broker.delete_queue(QUEUE).await;
    assert!(!found(&four).contains("is left from before"), "{}", found(&four));
    tell(&stage, 3..4).await;
    let spread = waiting(&stage, 40).await;
    assert!(!spread.contains(&0), "{spread:?}");

    let pod = two.start().await;
    all_are_at(&stage, 3).await;
    stop(pod).await;
    tell(&stage, 4..5).await;
    let spread = waiting(&stage, 40).await;
    assert_eq!(spread[2..], [0, 0], "they are bound no more");
    assert!(found(&two).contains("queue `shop.users-3` is left from before"), "{}", found(&two));

    let pod = four.start().await;
    all_are_at(&stage, 4).await;
    stop(pod).await;
    tell(&stage, 5..6).await;
    let spread = waiting(&stage, 40).await;
    assert!(!spread.contains(&0), "{spread:?}");

    let pod = one.start().await;
    all_are_at(&stage, 5).await;
    tell(&stage, 6..7).await;
    all_are_at(&stage, 6).await;
    stop(pod).await;
    let left = found(&one);
    assert!(left.contains("queue `shop.users-0` is left") && left.contains("still fills"), "{left}");
    stage.clear().await;
}

/// D8: a partition that somebody deleted is declared and bound again, and the owner is asked about what was in it.
#[tokio::test]
async fn a_deleted_partition_is_made_again() {
    let stage = Stage::new().await;
    let pod = plan(&stage, FOUR).start().await;
    tell(&stage, 1..2).await;
    all_are_at(&stage, 1).await;
    assert!(pod.logged("replica.resync").is_empty(), "{}", pod.log());
    for id in 0..USERS {
        stage.owner.has(&id.to_string(), 3, "v3");
    }
    stage.broker.delete_queue(&partition(1)).await;
    eventually("the owner is asked", async || pod.logged("replica.resync").len() == 1).await;
    tell(&stage, 3..4).await;
    all_are_at(&stage, 3).await;
    pod.stop().await;
    tell(&stage, 4..5).await;
    assert!(waiting(&stage, 40).await[1] > 0, "it is bound again");
    stage.clear().await;
}

/// Where routing keys do not tell users apart, a header does; and what has none is not lost.
#[tokio::test]
async fn a_header_may_tell_the_partition() {
    let stage = Stage::new().await;
    let plan = plan(&stage, ", partitions: 4, by: { header: user-id }");
    plan.start().await.stop().await;
    for id in 0..USERS {
        let mut headers = FieldTable::default();
        headers.insert("user-id".into(), AMQPValue::LongString(id.to_string().into()));
        let properties = BasicProperties::default().with_headers(headers);
        stage.broker.publish_with("users", "user.updated", versions(id, 1..4), properties).await;
    }
    let spread = waiting(&stage, 120).await;
    assert!(spread.iter().all(|waiting| *waiting > 0 && waiting % 3 == 0), "three each: {spread:?}");
    stage.broker.publish("users", "user.updated", versions(0, 4..5)).await;
    waiting(&stage, 121).await;
    let pod = plan.start().await;
    stage.consumer.record_is("users", "0", "live", 4).await;
    stage.consumer.record_is("users", "39", "live", 3).await;
    pod.stop().await;
    stage.clear().await;
}

/// Where others declare the queues, `check` has the commands for all of it, and a pod reads what is there.
#[tokio::test]
async fn partitions_may_be_declared_by_others() {
    let stage = Stage::new().await;
    let by = ", partitions: 2, by: { property: correlation_id }";
    let (ours, theirs) = (plan(&stage, by), plan(&stage, &format!("{by}, declare: false")));
    let missing = found(&theirs);
    for command in [
        "rabbitmqadmin declare exchange name=shop.users.by-correlation-id type=x-consistent-hash durable=true \
         arguments='{\"hash-property\":\"correlation_id\"}'",
        "rabbitmqadmin declare binding source=users destination_type=exchange destination=shop.users.by-correlation-id \
         routing_key='user.#'",
        "rabbitmqadmin declare queue name=shop.users-1 durable=true",
        "\"x-single-active-consumer\":true",
        "rabbitmqadmin declare binding source=shop.users.by-correlation-id destination=shop.users-1 routing_key=1",
    ] {
        assert!(missing.contains(command), "{command} is not in\n{missing}");
    }
    assert_eq!(stage.broker.waiting(&partition(0)).await, None, "the look made a queue");
    ours.start().await.stop().await;
    let mut pod = theirs.start().await;
    tell(&stage, 1..2).await;
    all_are_at(&stage, 1).await;
    let is_fine = found(&theirs);
    assert!(
        !is_fine.contains("WRONG  rabbitmq") && is_fine.contains("which splits the queue, is there"),
        "{is_fine}"
    );

    stage.broker.delete_queue(&partition(1)).await;
    pod.is("degraded", |_, report| {
        report["reasons"].to_string().contains("queue `shop.users-1` does not exist")
    })
    .await;
    assert_eq!(stage.broker.waiting(&partition(1)).await, None);
    pod.stop().await;
    stage.clear().await;
}

/// Each partition has a line, and what waits there needs nobody as long as somebody reads it.
#[tokio::test]
async fn status_tells_of_each_partition() {
    let stage = Stage::new().await;
    let plan = plan(&stage, FOUR);
    let pod = plan.start().await;
    let told = || plan.run(&["status", "{manifest}", "--output", "json"]);
    eventually("all is well", async || told().status.code() == Some(0)).await;
    let status: Value = serde_json::from_slice(&told().stdout).unwrap();
    let name = |source: &Value| source["name"].as_str().unwrap().to_owned();
    let names: Vec<String> = status["sources"].as_array().unwrap().iter().map(name).collect();
    assert_eq!(names, (0..4).map(partition).collect::<Vec<_>>());
    assert!(!status["positions"].to_string().contains("queue:"), "{status}");
    pod.stop().await;
    tell(&stage, 1..2).await;
    let status: Value = serde_json::from_slice(&told().stdout).unwrap();
    let waiting: u64 =
        status["sources"].as_array().unwrap().iter().map(|of| of["messages"].as_u64().unwrap()).sum();
    assert_eq!(waiting, 40, "{status}");
    stage.clear().await;
}

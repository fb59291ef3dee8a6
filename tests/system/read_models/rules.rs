//! Rules: what a document has become is told to others, once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lapin::BasicProperties;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::consumer::Consumer;
use crate::rabbitmq::{Broker, eventually};
use crate::sidecar::Plan;

const LIBRARY: &str = include_str!("../../../config/examples/library.yaml");
const MEMBERS: u64 = 40;

/// Member by member, four books are borrowed: each of them has too many with the fourth.
fn borrowed(from: u64, to: u64) -> Vec<String> {
    let event = |number: u64| {
        let data = json!({ "memberId": format!("m{}", number / 4), "copyId": format!("c{number}") });
        json!({ "id": format!("e{number}"), "type": "BookBorrowed", "at": "2026-01-01T00:00:00Z", "data": data }).to_string()
    };
    (from..to).map(event).collect()
}

/// A crash between a document and what is told of it is impossible; one between telling and forgetting tells it again, under
/// the same id. A rebuild tells nothing.
#[tokio::test]
async fn each_alert_is_told_through_kills_and_never_under_two_ids() {
    let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
    broker.declare_stream("library-events").await;
    broker.declare_exchange("library-alerts").await;
    broker.declare_bound_queue("alerts", "library-alerts", "alert.too-many-books").await;
    let plan = Plan::new(LIBRARY.into(), &broker.url(), consumer.url());
    let mut sidecar = plan.start().await;
    let step = MEMBERS * 4 / 8;
    for round in 0..8 {
        let events = borrowed(round * step, (round + 1) * step);
        broker.publish_with("", "library-events", events, BasicProperties::default()).await;
        sleep(Duration::from_millis(40 * round)).await;
        sidecar.kill();
        sidecar = plan.start().await;
    }
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    eventually("everybody has been told of", async || {
        for message in broker.take_all("alerts").await {
            let body: Value = serde_json::from_slice(&message).unwrap();
            let member = body["data"]["memberId"].as_str().unwrap().to_owned();
            told.entry(member).or_default().insert(body["id"].as_str().unwrap().to_owned());
        }
        told.len() == usize::try_from(MEMBERS).unwrap()
    })
    .await;
    assert!(told.values().all(|ids| ids.len() == 1), "{told:?}");
    let rebuilt = plan.run(&["read-model", "rebuild", "members", "--manifest", "{manifest}"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(broker.take_all("alerts").await.len(), 0, "a rebuild tells nothing");
    assert_eq!(consumer.all("nearcopy.outbox").await.len(), 0);
    sidecar.stop().await;
    consumer.remove().await;
    broker.remove().await;
}

/// While the exchange is not there, what is to be told waits.
#[tokio::test]
async fn what_nobody_can_be_told_waits() {
    let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
    broker.declare_stream("library-events").await;
    let plan = Plan::new(LIBRARY.into(), &broker.url(), consumer.url());
    let sidecar = plan.start().await;
    broker.publish_with("", "library-events", borrowed(0, 4), BasicProperties::default()).await;
    eventually("it is said that others cannot be told", async || {
        !sidecar.logged("outbox.waiting").is_empty()
    })
    .await;
    assert_eq!(consumer.all("nearcopy.outbox").await.len(), 1);
    broker.declare_exchange("library-alerts").await;
    broker.declare_bound_queue("alerts", "library-alerts", "alert.too-many-books").await;
    let mut told = 0;
    eventually("it is told", async || {
        told += broker.take_all("alerts").await.len();
        told == 1
    })
    .await;
    sidecar.stop().await;
    consumer.remove().await;
    broker.remove().await;
}

/// A loan of these copies so many seconds ago, or their return.
fn loans(copies: &[&str], ago: i64, kind: &str) -> Vec<String> {
    let at = bson::DateTime::from_millis(bson::DateTime::now().timestamp_millis() - ago * 1000);
    let at = at.try_to_rfc3339_string().unwrap();
    let event = |copy: &&str| {
        let data = json!({ "memberId": "ann", "copyId": copy });
        json!({ "id": format!("{kind}-{copy}"), "type": kind, "at": at, "data": data }).to_string()
    };
    copies.iter().map(event).collect()
}

/// What is overdue is told once: through a kill, whether its deadline passes while somebody waits or is long past, and not again
/// by a rebuild; and what was brought back in time is not.
#[tokio::test]
async fn a_deadline_is_told_once() {
    const DAY: i64 = 86_400;
    let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
    broker.declare_stream("library-events").await;
    broker.declare_exchange("library-alerts").await;
    broker.declare_bound_queue("alerts", "library-alerts", "alert.overdue").await;
    let plan = Plan::new(LIBRARY.into(), &broker.url(), consumer.url());
    let publish =
        async |events| broker.publish_with("", "library-events", events, BasicProperties::default()).await;
    publish(loans(&["in-time", "late"], DAY * 30, "BookBorrowed")).await;
    publish(loans(&["in-time"], DAY * 20, "BookReturned")).await;
    let mut sidecar = plan.start().await;
    publish(loans(&["today"], DAY, "BookBorrowed")).await;
    publish(loans(&["soon"], DAY * 14 - 12, "BookBorrowed")).await;
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut hear = async || {
        for message in broker.take_all("alerts").await {
            let body: Value = serde_json::from_slice(&message).unwrap();
            let copy = body["data"]["copyId"].as_str().unwrap().to_owned();
            told.entry(copy).or_default().push(body["id"].as_str().unwrap().to_owned());
        }
        told.keys().cloned().collect::<Vec<_>>()
    };
    eventually("what is late is told", async || hear().await == ["late"]).await;
    sidecar.kill();
    sidecar = plan.start().await;
    eventually("what becomes late is told", async || hear().await == ["late", "soon"]).await;
    let rebuilt = plan.run(&["read-model", "rebuild", "copies", "--manifest", "{manifest}"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    sleep(Duration::from_secs(8)).await;
    assert_eq!(hear().await, ["late", "soon"]);
    let copies = consumer.all("copies").await;
    let due = |id: &str| {
        let copy = copies.iter().find(|copy| copy.get_str("_id").is_ok_and(|known| known == id)).unwrap();
        copy.get_document("_nearcopy").unwrap().get_document("due").ok().cloned()
    };
    let is_told = |id: &str| due(id).unwrap().get_document("overdue").unwrap().get_bool("told").unwrap();
    assert!(is_told("late") && is_told("soon") && !is_told("today"), "{copies:?}");
    assert_eq!(due("in-time"), None);
    for ids in told.values() {
        assert!(ids.iter().all(|id| id == &ids[0]), "one message has one id: {ids:?}");
    }
    sidecar.stop().await;
    consumer.remove().await;
    broker.remove().await;
}

/// A return that could not be read lifts the deadline once it is folded.
#[tokio::test]
async fn what_waited_is_heard_by_rules_too() {
    let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
    broker.declare_stream("library-events").await;
    broker.declare_exchange("library-alerts").await;
    broker.declare_bound_queue("alerts", "library-alerts", "alert.lent-twice").await;
    let lent = |to: &str, id: &str| {
        json!({ "id": id, "type": "BookBorrowed", "at": "2026-01-01T00:00:00Z",
        "data": { "memberId": to, "copyId": "c" } })
    };
    let mut strange = lent("ann", "e1");
    strange["data"]["memberId"] = json!({ "first": "ann" });
    strange["at"] = json!("yesterday");
    let plan = Plan::new(LIBRARY.into(), &broker.url(), consumer.url());
    let sidecar = plan.start().await;
    let events = [lent("ann", "e0"), strange, lent("bob", "e2")];
    let events: Vec<String> = events.iter().map(ToString::to_string).collect();
    broker.publish_with("", "library-events", events, BasicProperties::default()).await;
    eventually("three wait", async || consumer.all("nearcopy.parked").await.len() == 3).await;
    assert_eq!(broker.take_all("alerts").await.len(), 0);
    for parked in consumer.all("nearcopy.parked").await {
        let id = parked.get_str("_id").unwrap();
        let is_strange = parked.get_str("event").is_ok_and(|event| event == "e1");
        if is_strange {
            let dropped = plan.run(&["parked", "drop", id]);
            assert_eq!(dropped.status.code(), Some(0), "{}", String::from_utf8_lossy(&dropped.stderr));
        }
    }
    let retried = plan.run(&["parked", "retry", "--manifest", "{manifest}"]);
    assert_eq!(retried.status.code(), Some(0), "{}", String::from_utf8_lossy(&retried.stderr));
    let mut told = 0;
    eventually("the copy was lent twice", async || {
        told += broker.take_all("alerts").await.len();
        told == 1
    })
    .await;
    sidecar.stop().await;
    consumer.remove().await;
    broker.remove().await;
}

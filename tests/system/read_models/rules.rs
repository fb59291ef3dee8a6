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
    broker.declare_bound_queue("alerts", "library-alerts", "alert.#").await;
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
    broker.declare_bound_queue("alerts", "library-alerts", "alert.#").await;
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

//! Feeds: an owner's events, asked for page by page, each of which has its effect once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bson::doc;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Scene, THINGS, event, grown, grown_to};
use crate::consumer::Consumer;
use crate::owner_service::{Owner, Reply};
use crate::rabbitmq::{Broker, eventually};

/// How many events stand on a page.
const PAGE: u64 = 100;

async fn scene() -> Scene {
    let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
    Scene { broker, consumer }
}

/// The same things, of a feed.
fn things(owner: &Owner) -> String {
    let feed = format!(
        r#"feed: {{ url: "{}/events/{{position}}", items: data.events, position: data.next, every: 200ms, timeout: 1s }}"#,
        owner.url()
    );
    THINGS.replace("stream: { name: events }", &feed)
}

/// Answers with the events after a position, of all that were told until now.
fn tells(owner: &Owner, told: &Arc<AtomicU64>, event: impl Fn(u64) -> Value + Send + Sync + 'static) {
    let told = told.clone();
    owner.answers(move |asked, _| {
        let from: u64 = asked.ids[0].parse().unwrap_or_default();
        let to = told.load(Ordering::Relaxed).min(from + PAGE);
        let events: Vec<Value> = (from..to).map(&event).collect();
        Reply::json(&json!({ "data": { "events": events, "next": to } }))
    });
}

/// P1, P2: documents and position are stored together, so a crash at any moment repeats nothing and leaves nothing out.
#[tokio::test]
async fn each_event_of_a_feed_has_its_effect_once_however_often_the_process_is_killed() {
    let (scene, owner) = (scene().await, Owner::start().await);
    let (plan, told) = (scene.plan(&things(&owner)), Arc::new(AtomicU64::new(0)));
    tells(&owner, &told, grown);
    let mut sidecar = plan.start().await;
    for round in 1..=4_u64 {
        told.store(2_000 * round, Ordering::Relaxed);
        sleep(Duration::from_millis(200 + 100 * round)).await;
        sidecar.kill();
        sidecar = plan.start().await;
    }
    grown_to(&scene.consumer, 8_000).await;
    sidecar.stop().await;
    grown_to(&scene.consumer, 8_000).await;
    scene.clear().await;
}

/// Where nothing comes from a broker, none is needed. F7: whatever the owner answers instead, the position stays, and what comes after it is asked for again.
#[tokio::test]
async fn an_owner_in_trouble_loses_no_position() {
    let (scene, mut owner) = (scene().await, Owner::start().await);
    let plan = scene.plan(&things(&owner)).without("rabbitmq.url");
    let told = Arc::new(AtomicU64::new(250));
    tells(&owner, &told, grown);
    let mut sidecar = plan.start().await;
    grown_to(&scene.consumer, 250).await;
    told.store(500, Ordering::Relaxed);
    let bad: [fn() -> Reply; 5] = [
        || Reply::status(500),
        || Reply::text("[1, 2"),
        || Reply::json(&json!({ "data": { "next": 9_999 } })),
        || Reply::json(&json!({ "data": { "events": [{ "id": "x" }], "next": null } })),
        || Reply::status(404),
    ];
    for answer in bad {
        owner.answers(move |_, _| answer());
        sidecar.is("degraded", |status, report| status == 200 && report["status"] == "degraded").await;
        sleep(Duration::from_millis(500)).await;
        grown_to(&scene.consumer, 250).await;
        told.store(250, Ordering::Relaxed);
        tells(&owner, &told, grown);
        sidecar.is("well", |status, report| status == 200 && report["status"] == "ok").await;
    }
    told.store(500, Ordering::Relaxed);
    owner.dies().await;
    sidecar.is("degraded", |status, report| status == 200 && report["status"] == "degraded").await;
    owner.returns().await;
    grown_to(&scene.consumer, 500).await;
    assert_eq!(scene.consumer.parked().await.len(), 0);
    sidecar.stop().await;
    scene.clear().await;
}

/// A replica's position moves once all before it is settled; what is asked for twice changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_feeds_replicas_and_read_models() {
    let (scene, owner) = (scene().await, Owner::start().await);
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
    let plan = scene.plan(&format!("{}{replica}", things(&owner)));
    let grown = |number: u64| {
        let data = json!({ "id": format!("t{}", number % 3), "by": number, "member": format!("m{number}") });
        event(number, "Grown", &data)
    };
    let told = Arc::new(AtomicU64::new(300));
    tells(&owner, &told, grown);
    let mut sidecar = plan.start().await;
    scene.consumer.count_is("members", doc! { "_nearcopy.state": "live" }, 300).await;
    scene.consumer.count_is("things", doc! { "members": 100_i64 }, 3).await;
    sidecar.kill();
    told.store(900, Ordering::Relaxed);
    sidecar = plan.start().await;
    scene.consumer.count_is("members", doc! { "_nearcopy.state": "live" }, 900).await;
    scene.consumer.count_is("things", doc! { "members": 300_i64 }, 3).await;
    eventually("the position is remembered", async || {
        let cursors = scene.consumer.all("nearcopy.cursors").await;
        cursors.iter().any(|cursor| cursor.to_string().contains(r#""after": "900""#))
    })
    .await;
    let checked = plan.run(&["check", "--online", "{manifest}"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("feed `events`: 100 events on its first page"), "{said}");
    let refused = plan.run(&["read-model", "rebuild", "things", "--manifest", "{manifest}"]);
    assert_eq!(refused.status.code(), Some(1));
    sidecar.stop().await;
    scene.clear().await;
}

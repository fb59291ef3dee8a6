//! A pod's life beside an application: when it has begun, how pods come and go, and how one ends.

use std::time::Duration;

use bson::doc;

use crate::port::free_address;
use crate::proxy::Proxy;
use crate::rabbitmq::eventually;
use crate::sidecar::{Plan, Sidecar};
use crate::stage::{QUEUE, Stage, event, products};

/// The usual plan, upon a database at another address, which may not be there yet.
fn plan_at(stage: &Stage, address: &str) -> (Plan, String) {
    let url = stage.consumer.url();
    let host = url.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let url = url.replace(&host, address).replace("replicaSet=rs0&", "");
    let url = url + "&directConnection=true&serverSelectionTimeoutMS=500";
    (stage.plan().set("mongodb.url", url), host)
}

/// M2: whoever waits until the start-up is complete waits for the database, and is answered from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_begins_behind_a_sidecar_that_answers() {
    let stage = Stage::new().await;
    let (database, reads) = (free_address(), free_address());
    let (plan, host) = plan_at(&stage, &database);
    let mut sidecar = plan.set("read.listen", &reads).spawn();
    let asked = async || reqwest::get(format!("http://{reads}/v1/users/nobody?consistency=local")).await;
    sidecar
        .is("waiting for the database", |status, report| {
            status == 503 && report.to_string().contains("database: ")
        })
        .await;
    assert_eq!(sidecar.asked("/startupz").await, Some(503), "an application would begin too early");
    assert_eq!(sidecar.asked("/livez").await, Some(200), "it would be started again for nothing");
    assert!(asked().await.is_err());

    let _proxy = Proxy::at(&database, host).await;
    eventually("the start-up is complete", async || sidecar.asked("/startupz").await == Some(200)).await;
    assert_eq!(asked().await.unwrap().status(), 404, "it is answered at once");
    sidecar.stop().await;
    stage.clear().await;
}

/// C6: pods come, go as they are told to, and are killed, while others go on: every event is settled, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_pod_becomes_three_and_one_again_amid_updates() {
    let stage = Stage::new().await;
    let manifest = products(&stage.owner.url()).replace("keep: referenced", "keep: all");
    let plan = stage.plan_of(manifest);
    let plan = plan.set("pipeline.batch", "4").set("rabbitmq.prefetch", "40");
    let users: u64 = 200;
    let round = |version: u64| (0..users).map(move |at| updated(at, version));
    let one = plan.start().await;
    stage.events((1..=5).flat_map(round)).await;
    takes(&one).await;
    let (two, three) = tokio::join!(plan.start(), plan.start());
    stage.events((6..=10).flat_map(round)).await;
    takes(&two).await;
    takes(&three).await;
    two.stop().await;
    stage.events((11..=15).flat_map(round)).await;
    three.kill();
    let newest = doc! { "name": "name 15", "_nearcopy.key.v": 15_i64 };
    stage.consumer.count_is("users", newest, users).await;
    stage.broker.holds(QUEUE, 0).await;
    one.books_close_from(1).await;
    stage.broker.holds(&format!("{QUEUE}.dead"), 0).await;
    one.stop().await;
    stage.clear().await;
}

/// C8: a pod that is told to end while it ends for the sake of a changed manifest ends for good, and well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_told_to_end_does_not_begin_anew() {
    let stage = Stage::new().await;
    let address = free_address();
    let (plan, host) = plan_at(&stage, &address);
    let proxy = Proxy::at(&address, host).await;
    stage.owner.has("u", 1, "Ada");
    stage.consumer.sells("p", "u").await;
    let mut sidecar = plan.start().await;
    stage.consumer.shows("p", "Ada").await;

    // What is under way cannot end, so the stop takes its time.
    proxy.freeze(true);
    stage.user("u", 2, "Ada King").await;
    takes(&sidecar).await;
    let new =
        products(&stage.owner.url()).replace("fields: { name: {", "fields: { handle: data.name, name: {");
    sidecar.is_given(&new);
    eventually("it ends for the manifest's sake", async || !sidecar.logged("manifest.changed").is_empty())
        .await;
    sidecar.tell();
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.freeze(false);
    let status = sidecar.ended().await;
    assert!(status.success(), "it ended with {status}:\n{}", sidecar.last_words());
    assert_eq!(sidecar.logged("running").len(), 1, "it has begun anew");
    sidecar.assert_sound();
    stage.clear().await;
}

fn updated(user: u64, version: u64) -> serde_json::Value {
    event("user.updated", &format!("u{user}"), version, &format!("name {version}"))
}

/// Waits until it has taken something.
async fn takes(sidecar: &Sidecar) {
    eventually("something is taken", async || sidecar.metrics().await.books().0 > 0).await;
}

/// M4: a connection that has died without a word takes the reads upon it along, but not those that come later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_reads_do_not_wait_for_those_that_hang() {
    let stage = Stage::new().await;
    let (address, reads) = (free_address(), free_address());
    let (plan, host) = plan_at(&stage, &address);
    let proxy = Proxy::at(&address, host).await;
    stage.owner.has("u", 1, "Ada");
    stage.consumer.sells("p", "u").await;
    let sidecar = plan.set("read.listen", &reads).set("read.cache", "0").start().await;
    stage.consumer.shows("p", "Ada").await;
    let read = async || {
        let asked = reqwest::get(format!("http://{reads}/v1/users/u?consistency=local"));
        tokio::time::timeout(Duration::from_millis(500), asked).await.is_ok_and(|asked| asked.is_ok())
    };
    assert!(read().await, "it is not read at all");
    proxy.freeze_those_of_now();
    let since = std::time::Instant::now();
    while !read().await {
        assert!(since.elapsed() < Duration::from_secs(5), "all wait for those that hang");
    }
    sidecar.assert_sound();
    stage.clear().await;
}

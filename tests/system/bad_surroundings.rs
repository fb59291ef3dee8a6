//! Surroundings that are not as they must be, or not there yet: said clearly, waited for where that can help, and
//! without a word of any password.

use std::process::Command;

use crate::consumer::Consumer;
use crate::proxy::Proxy;
use crate::sidecar::Sidecar;
use crate::stage::{QUEUE, Stage, products};

/// D10: a queue of another form is told, copies are served meanwhile, and reading begins once it is mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_declared_otherwise_degrades_until_it_is_mended() {
    let stage = Stage::new().await;
    stage.broker.declare_classic_queue(QUEUE).await;
    stage.consumer.sells("p", "u").await;
    stage.owner.has("u", 1, "Ada");
    let mut sidecar = stage.plan().spawn();
    sidecar
        .is("degraded for another form", |status, report| {
            status == 200 && report["status"] == "degraded" && report.to_string().contains("in another form")
        })
        .await;
    stage.consumer.shows("p", "Ada").await;
    stage.broker.delete_queue(QUEUE).await;
    sidecar.is("well", |status, report| status == 200 && report["status"] == "ok").await;
    stage.user("u", 2, "Ada King").await;
    stage.consumer.shows("p", "Ada King").await;
    let log = sidecar.stop().await;
    assert!(log.contains("in another form"), "{log}");
    stage.clear().await;
}

/// C4: the database of another service is refused, at once and in words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_of_another_service_is_refused() {
    let stage = Stage::new().await;
    stage.plan().start().await.stop().await;
    let manifest = products(&stage.owner.url()).replace("product-service", "other-service");
    let mut other = stage.plan_of(manifest.clone()).spawn();
    assert_eq!(other.ended().await.code(), Some(5), "{}", other.log());
    let told = other.log();
    assert!(
        told.contains("belongs to service `product-service`") && told.contains("`other-service`"),
        "{told}"
    );
    let checked = stage.plan_of(manifest).run(&["check", "--online", "{manifest}"]);
    assert_eq!(checked.status.code(), Some(5), "{checked:?}");
    assert!(String::from_utf8_lossy(&checked.stdout).contains("belongs to service"), "{checked:?}");
    stage.clear().await;
}

/// S10: a database that does not accept the credentials ends the program in words, without the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_of_the_database_end_it() {
    let stage = Stage::new().await;
    let url =
        stage.consumer.url().replace("mongodb://", "mongodb://nobody:c4nary-pass@") + "&authSource=admin";
    let mut sidecar = stage.plan().set("mongodb.url", url).spawn();
    assert_eq!(sidecar.ended().await.code(), Some(5), "{}", sidecar.log());
    let told = sidecar.log();
    assert!(told.contains("credentials were not accepted") && !told.contains("c4nary"), "{told}");
    stage.clear().await;
}

/// S10: a broker that does not accept the credentials is waited for, without a word of the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_of_the_broker_degrade() {
    let stage = Stage::new().await;
    let url = stage.broker.url().replace("guest:guest@", "nobody:c4nary-pass@");
    let mut sidecar = stage.plan().set("rabbitmq.url", url).spawn();
    sidecar
        .is("degraded for credentials", |status, report| {
            status == 200 && report["status"] == "degraded" && report.to_string().contains("ACCESS_REFUSED")
        })
        .await;
    let report = sidecar.ready().await.unwrap().1.to_string();
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.sum("nearcopy_broker_connected", &[("source", "users")]), 0);
    let log = sidecar.stop().await;
    assert!(![&log, &report].iter().any(|text| text.contains("c4nary")), "{log}");
    stage.clear().await;
}

/// M2: a database that is not there yet is waited for; it is not ready, and not dead either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_appears_late_is_waited_for() {
    let stage = Stage::new().await;
    let url = stage.consumer.url();
    let host = url.split("://").nth(1).unwrap().split('/').next().unwrap();
    let later = crate::port::free_address();
    let late = url.replace(host, &later) + "&directConnection=true&serverSelectionTimeoutMS=500";
    let late = late.replace("replicaSet=rs0&", "");
    let mut sidecar = stage.plan().set("mongodb.url", late).spawn();
    sidecar
        .is("waiting for the database", |status, report| {
            status == 503 && report.to_string().contains("database: ")
        })
        .await;
    let _proxy = Proxy::at(&later, host.to_owned()).await;
    sidecar.is("ready", |status, _| status == 200).await;
    replicates(&stage, sidecar).await;
    stage.clear().await;
}

/// D12: a broker that is not there yet is waited for; copies are served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_appears_late_is_waited_for() {
    let stage = Stage::new().await;
    let later = crate::port::free_address();
    let late = stage.broker.url().replace(&stage.broker.authority(), &later);
    let mut sidecar = stage.plan().set("rabbitmq.url", late).spawn();
    sidecar.is("degraded", |status, report| status == 200 && report["status"] == "degraded").await;
    let _proxy = Proxy::at(&later, stage.broker.authority()).await;
    sidecar.is("well", |status, report| status == 200 && report["status"] == "ok").await;
    replicates(&stage, sidecar).await;
    stage.clear().await;
}

/// M5: without a replica set there are no change streams; sweeps find new documents, and all else is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standalone_database_is_swept() {
    let services = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/services");
    let told = Command::new(services).arg("standalone").output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let url = String::from_utf8(told.stdout).unwrap();
    let stage = Stage { consumer: Consumer::at(url.trim()).await, ..Stage::new().await };
    let sidecar = stage.plan().start().await;
    replicates(&stage, sidecar).await;
    stage.clear().await;
}

/// The main way works: a product shows its user, renamed and all.
async fn replicates(stage: &Stage, mut sidecar: Sidecar) {
    sidecar.is("well", |status, report| status == 200 && report["status"] == "ok").await;
    stage.owner.has("late", 1, "Ada");
    stage.consumer.sells("late", "late").await;
    stage.consumer.shows("late", "Ada").await;
    stage.user("late", 2, "Ada King").await;
    stage.consumer.shows("late", "Ada King").await;
    sidecar.stop().await;
}

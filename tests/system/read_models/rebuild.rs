//! Rebuilds: a read model is folded anew under its readers.

use std::time::Duration;

use bson::doc;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Scene, THINGS, event, grown, grown_to};
use crate::port::free_address;
use crate::rabbitmq::eventually;

/// P3: while a read model is rebuilt and events come, no reader sees less than before; and what was rebuilt is what was
/// served, document by document.
#[tokio::test]
async fn a_read_model_is_rebuilt_under_its_readers() {
    let scene = Scene::new().await;
    let plan = scene.plan(THINGS);
    scene.events((0..20_000).map(grown)).await;
    let sidecar = plan.start().await;
    grown_to(&scene.consumer, 20_000).await;
    let things = scene.consumer.collection("things");
    let reading = tokio::spawn(async move {
        let mut highest = 0;
        loop {
            let found = things.find_one(doc! { "_id": "t1" }).await.unwrap().expect("it is always there");
            let size = found.get_i64("size").unwrap();
            assert!(size >= highest, "{size} after {highest}");
            highest = size;
        }
    });
    let (broker, rebuilding) = (
        &scene,
        tokio::task::spawn_blocking(move || {
            plan.run(&["read-model", "rebuild", "things", "--manifest", "{manifest}"])
        }),
    );
    for second in 0..10_u64 {
        broker.events((20_000 + 500 * second..20_500 + 500 * second).map(grown)).await;
        sleep(Duration::from_millis(200)).await;
    }
    let rebuilt = rebuilding.await.unwrap();
    let said = String::from_utf8_lossy(&rebuilt.stdout).into_owned();
    assert_eq!(rebuilt.status.code(), Some(0), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    assert!(said.contains("20 documents replaced 20, 0 of them different"), "{said}");
    grown_to(&scene.consumer, 25_000).await;
    assert!(!reading.is_finished());
    reading.abort();
    sidecar.stop().await;
    scene.clear().await;
}

/// A declaration that has changed is brought to all documents by a rebuild, and taken back by an undo.
#[tokio::test]
async fn a_rebuild_brings_what_is_declared_anew_and_can_be_undone() {
    let scene = Scene::new().await;
    let (plan, twice) =
        (scene.plan(THINGS), scene.plan(&THINGS.replace("size: data.by", "size: \"data.by * 2\"")));
    let sized =
        |number: u64| event(number, "Grown", &json!({ "id": format!("t{number}"), "by": 5, "member": 1 }));
    scene.events((0..10).map(sized)).await;
    let sidecar = plan.start().await;
    scene.consumer.count_is("things", doc! { "size": 5_i64 }, 10).await;
    sidecar.stop().await;
    let looked = twice.run(&["read-model", "rebuild", "things", "--dry-run", "--manifest", "{manifest}"]);
    let said = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert!(said.contains("10 documents would replace 10, 10 of them different"), "{said}");
    scene.consumer.count_is("things", doc! { "size": 5_i64 }, 10).await;
    let checked = twice.run(&["check", "--online", "{manifest}"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("read model `things` was folded by another declaration"), "{said}");
    let rebuilt = twice.run(&["read-model", "rebuild", "things", "--manifest", "{manifest}"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    scene.consumer.count_is("things", doc! { "size": 10_i64 }, 10).await;
    let checked = twice.run(&["check", "--online", "{manifest}"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("read model `things` is folded up to offset"), "{said}");
    scene.events([sized(10)]).await;
    let sidecar = twice.start().await;
    scene.consumer.count_is("things", doc! { "size": 10_i64 }, 11).await;
    sidecar.stop().await;
    let looked = plan.run(&["read-model", "undo", "things", "--dry-run", "--manifest", "{manifest}"]);
    let said = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert!(
        said.contains("10 documents would be put back in the place of 11, 11 of them different"),
        "{said}"
    );
    scene.consumer.count_is("things", doc! { "size": 10_i64 }, 11).await;
    let undone = plan.run(&["read-model", "undo", "things", "--manifest", "{manifest}"]);
    assert_eq!(undone.status.code(), Some(0), "{}", String::from_utf8_lossy(&undone.stderr));
    scene.consumer.count_is("things", doc! { "size": 5_i64 }, 10).await;
    let sidecar = plan.start().await;
    scene.consumer.count_is("things", doc! { "size": 5_i64 }, 11).await;
    sidecar.stop().await;
    scene.clear().await;
}

/// P4: a rebuild stops at what cannot be folded, and says where that is; what is served stays.
#[tokio::test]
async fn a_rebuild_ends_at_an_event_that_cannot_be_folded() {
    let scene = Scene::new().await;
    let plan = scene.plan(THINGS);
    let sized = |number: u64, by: Value| event(number, "Grown", &json!({ "id": "t", "by": by, "member": 1 }));
    scene.events([sized(1, json!(5)), sized(2, json!("five"))]).await;
    let sidecar = plan.start().await;
    scene.consumer.until("things", "t", "it has grown", |found| found.get_i64("size").ok() == Some(5)).await;
    eventually("one waits", async || scene.consumer.parked().await.len() == 1).await;
    let ended = plan.run(&["read-model", "rebuild", "things", "--manifest", "{manifest}"]);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("the event at offset 1 cannot be folded: bad_field"), "{said}");
    scene.events([event(3, "Grown", &json!({ "id": "u", "by": 1, "member": 1 }))]).await;
    scene.consumer.until("things", "u", "folding goes on", |found| found.contains_key("size")).await;
    assert_eq!(scene.consumer.all("things.next").await.len(), 0);
    sidecar.stop().await;
    scene.clear().await;
}

/// Whoever reads by REST, from memory or not, is told what was rebuilt.
#[tokio::test]
async fn readers_are_told_what_was_rebuilt() {
    let scene = Scene::new().await;
    let address = free_address();
    let plan = scene.plan(THINGS).set("read.listen", &address);
    let twice = scene.plan(&THINGS.replace("size: data.by", "size: \"data.by * 2\""));
    scene.events([event(1, "Grown", &json!({ "id": "t", "by": 5, "member": 1 }))]).await;
    let sidecar = plan.start().await;
    let size = async || -> Value {
        let told = reqwest::get(format!("http://{address}/v1/things/t")).await.unwrap().text().await.unwrap();
        serde_json::from_str::<Value>(&told).unwrap()["fields"]["size"].clone()
    };
    eventually("it is told", async || size().await == json!(5)).await;
    for _ in 0..20 {
        assert_eq!(size().await, json!(5));
    }
    let rebuilt = twice.run(&["read-model", "rebuild", "things", "--manifest", "{manifest}"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    eventually("the other is told", async || size().await == json!(10)).await;
    sidecar.stop().await;
    scene.clear().await;
}

/// What waited is in the document once that is folded anew, and to retry it then does not count it twice.
#[tokio::test]
async fn what_waited_and_was_rebuilt_is_not_folded_again() {
    let scene = Scene::new().await;
    let (plan, lenient) =
        (scene.plan(THINGS), scene.plan(&THINGS.replace("size: data.by", "size: int(data.by)")));
    let sidecar = plan.start().await;
    let grow =
        |number: u64, by: &Value| event(number, "Grown", &json!({ "id": "t", "by": by, "member": number }));
    scene.events([grow(1, &json!(1)), grow(2, &json!("7")), grow(3, &json!(2))]).await;
    eventually("two wait", async || scene.consumer.all("nearcopy.parked").await.len() == 2).await;
    sidecar.stop().await;
    let rebuilt = lenient.run(&["read-model", "rebuild", "things", "--manifest", "{manifest}"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    let is_ten = async || scene.consumer.count_is("things", doc! { "size": 10_i64 }, 1).await;
    is_ten().await;
    let retried = lenient.run(&["parked", "retry", "--manifest", "{manifest}"]);
    let said = String::from_utf8_lossy(&retried.stdout).into_owned();
    assert_eq!(retried.status.code(), Some(0), "{}", String::from_utf8_lossy(&retried.stderr));
    assert_eq!(said.matches("in the document already").count(), 2, "{said}");
    is_ten().await;
    assert_eq!(scene.consumer.all("nearcopy.parked").await.len(), 0);
    scene.clear().await;
}

/// One document can be folded anew by itself, while all others go on; one that should not be there goes.
#[tokio::test]
async fn one_document_is_rebuilt_by_its_key() {
    let scene = Scene::new().await;
    let plan = scene.plan(THINGS);
    scene.events((0..4_000).map(grown)).await;
    let sidecar = plan.start().await;
    grown_to(&scene.consumer, 4_000).await;
    let things = scene.consumer.collection("things");
    let spoil = doc! { "$set": { "size": -1_i64 } };
    things.update_one(doc! { "_id": "t3" }, spoil).await.unwrap();
    things
        .insert_one(doc! { "_id": "stray", "size": 1_i64, "_nearcopy": { "state": "live", "rev": 1_i64 } })
        .await
        .unwrap();
    let rebuild = |key: &str, more: &[&str]| {
        let arguments =
            [&["read-model", "rebuild", "things", "--key", key, "--manifest", "{manifest}"], more].concat();
        let ran = plan.run(&arguments);
        assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    assert!(rebuild("t3", &["--dry-run"]).contains("what is served is different"));
    let spoilt = things.find_one(doc! { "_id": "t3" }).await.unwrap().unwrap();
    assert_eq!(spoilt.get_i64("size").unwrap(), -1, "a look changes nothing");
    scene.events((4_000..8_000).map(grown)).await;
    assert!(rebuild("t3", &[]).contains("it was different, and is replaced"));
    assert!(rebuild("stray", &[]).contains("it should not have been there, and is deleted"));
    assert!(rebuild("t4", &[]).contains("what is served is the same"));
    grown_to(&scene.consumer, 8_000).await;
    assert_eq!(things.find_one(doc! { "_id": "stray" }).await.unwrap(), None);
    sidecar.stop().await;
    scene.clear().await;
}

//! Streams whose publisher says some things twice: the ids of events are remembered.

use std::time::Duration;

use bson::doc;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Scene, THINGS, event, grown, grown_to};

fn things() -> String {
    THINGS.replace("    stamp:", "    remember: 1h\n    stamp:")
}

fn sized(number: u64) -> Value {
    event(number, "Grown", &json!({ "id": "t", "by": 1, "member": 1 }))
}

async fn size_is(scene: &Scene, size: i64) {
    let is = |found: &bson::Document| found.get_i64("size").ok() == Some(size);
    scene.consumer.until("things", "t", &format!("its size is {size}"), is).await;
}

/// P7: ids are stored in the very transaction that they are folded in, so a crash forgets none.
#[tokio::test]
async fn what_a_publisher_says_twice_is_folded_once_however_often_the_process_is_killed() {
    let scene = Scene::new().await;
    let plan = scene.plan(&things());
    let mut sidecar = plan.start().await;
    for round in 0..5_u64 {
        let events = 1_000 * round..1_000 * (round + 1);
        scene.events(events.clone().chain(events).map(grown)).await;
        sleep(Duration::from_millis(100 * round)).await;
        sidecar.kill();
        sidecar = plan.start().await;
    }
    scene
        .events((0..5_000).map(grown).chain([event(9_999, "Grouped", &json!({ "id": "last", "group": 1 }))]))
        .await;
    scene.consumer.until("things", "last", "all is read", |found| found.contains_key("group")).await;
    grown_to(&scene.consumer, 5_000).await;
    sidecar.stop().await;
    scene.clear().await;
}

/// An event that could not be known again is put aside, and says why.
#[tokio::test]
async fn an_event_without_an_id_waits_where_ids_are_remembered() {
    let scene = Scene::new().await;
    let sidecar = scene.plan(&things()).start().await;
    let mut nameless = sized(1);
    nameless.as_object_mut().unwrap().remove("id");
    scene.events([sized(1), nameless, sized(2), sized(1)]).await;
    let metrics = sidecar.books_close_at(4).await;
    let outcomes = ["applied", "parked", "duplicate"].map(|outcome| metrics.outcome(outcome));
    assert_eq!(outcomes, [2, 1, 1]);
    let parked = scene.consumer.parked().await;
    assert_eq!(parked[0].get_str("reason").unwrap(), "no_id");
    assert!(parked[0].get_str("detail").unwrap().contains("the event has no id"));
    size_is(&scene, 2).await;
    sidecar.stop().await;
    scene.clear().await;
}

/// P3: a rebuild remembers what it has folded, and hands that on with the documents; an undo goes back to what was
/// remembered then, so that what has come since is folded again, and is not taken for known.
#[tokio::test]
async fn what_is_remembered_goes_with_the_documents_that_it_made() {
    let scene = Scene::new().await;
    let (plan, twice) =
        (scene.plan(&things()), scene.plan(&things().replace("size: data.by", "size: \"data.by * 2\"")));
    scene.events([sized(1), sized(2), sized(1)]).await;
    let sidecar = plan.start().await;
    size_is(&scene, 2).await;
    sidecar.stop().await;
    let rebuilt = twice.run(&["read-model", "rebuild", "things", "--manifest", "{manifest}"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    size_is(&scene, 4).await;
    scene.events([sized(2), sized(3), sized(1), sized(3)]).await;
    let sidecar = twice.start().await;
    size_is(&scene, 6).await;
    let metrics = sidecar.books_close_at(4).await;
    assert_eq!(metrics.outcome("duplicate"), 3);
    sidecar.stop().await;
    let undone = plan.run(&["read-model", "undo", "things", "--manifest", "{manifest}"]);
    assert_eq!(undone.status.code(), Some(0), "{}", String::from_utf8_lossy(&undone.stderr));
    size_is(&scene, 2).await;
    let sidecar = plan.start().await;
    size_is(&scene, 3).await;
    let metrics = sidecar.books_close_at(4).await;
    assert_eq!((metrics.outcome("applied"), metrics.outcome("duplicate")), (1, 3));
    scene.consumer.count_is("things", doc! { "size": 3_i64 }, 1).await;
    sidecar.stop().await;
    scene.clear().await;
}

/// D9: what is folded anew from another stream remembers that stream, and not the one before.
#[tokio::test]
async fn another_stream_is_remembered_by_itself() {
    let scene = Scene::new().await;
    let plan = scene.plan(&things());
    scene.events([sized(1), sized(2)]).await;
    let sidecar = plan.start().await;
    size_is(&scene, 2).await;
    sidecar.stop().await;
    scene.broker.delete_queue(super::STREAM).await;
    scene.broker.declare_stream(super::STREAM).await;
    scene.events([sized(1), sized(5), sized(1)]).await;
    let anew = plan.run(&["read-model", "rebuild", "things", "--anew", "--manifest", "{manifest}"]);
    assert_eq!(anew.status.code(), Some(0), "{}", String::from_utf8_lossy(&anew.stderr));
    size_is(&scene, 2).await;
    let sidecar = plan.start().await;
    scene.events([sized(2), sized(5)]).await;
    size_is(&scene, 3).await;
    assert_eq!(sidecar.books_close_at(2).await.outcome("duplicate"), 1);
    sidecar.stop().await;
    scene.clear().await;
}

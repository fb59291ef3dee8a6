//! Turns that are under way when their pod goes.

use std::cell::Cell;
use std::time::Duration;

use bson::{Document, doc};
use futures::TryStreamExt;
use tokio::time::sleep;

use super::{Scene, THINGS, grown, grown_to};
use crate::consumer::Consumer;
use crate::rabbitmq::eventually;

/// The sessions in which things are folded, as they are noted.
async fn sessions(consumer: &Consumer) -> Vec<Document> {
    let mut notes = consumer.all("nearcopy.checkpoints").await;
    notes.retain(|note| note.get_str("_id").is_ok_and(|id| id.starts_with("things")));
    notes.iter().filter_map(|note| note.get_document("session").ok().cloned()).collect()
}

/// How many transactions are open in them.
async fn open(consumer: &Consumer) -> usize {
    let admin = consumer.collection("things").client().database("admin");
    let ids: Vec<bson::Bson> =
        sessions(consumer).await.iter().filter_map(|id| id.get("id").cloned()).collect();
    let all = doc! { "$currentOp": { "allUsers": true, "idleSessions": true, "idleConnections": false } };
    let found = doc! { "$match": { "lsid.id": { "$in": ids }, "transaction": { "$exists": true } } };
    let found: Vec<Document> = admin.aggregate([all, found]).await.unwrap().try_collect().await.unwrap();
    found.len()
}

/// P10: what a pod left open that was killed stands for a minute, and no rebuild or undo waits for that.
#[tokio::test]
async fn what_a_dead_pod_left_open_holds_up_no_rebuild() {
    let scene = Scene::new().await;
    let plan = scene.plan(THINGS);
    scene.events((0..1_000).map(grown)).await;
    let sidecar = plan.start().await;
    grown_to(&scene.consumer, 1_000).await;
    sidecar.stop().await;

    // As it is left by one that is killed between two commands.
    let things = scene.consumer.collection("things");
    let mut session = things.client().start_session().await.unwrap();
    let checkpoints = scene.consumer.collection("nearcopy.checkpoints");
    let noted = doc! { "$set": { "session": session.id() } };
    let note = doc! { "_id": { "$regex": "^things.*note$" } };
    assert_eq!(checkpoints.update_one(note, noted).await.unwrap().matched_count, 1);
    session.start_transaction().await.unwrap();
    let touched = doc! { "$set": { "touched": true } };
    checkpoints.update_one(doc! { "_id": "things" }, touched).session(&mut session).await.unwrap();

    let rebuilt = plan.run(&["read-model", "rebuild", "things", "--manifest", "{manifest}"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    assert!(session.commit_transaction().await.is_err(), "it is over");
    grown_to(&scene.consumer, 1_000).await;
    scene.clear().await;
}

/// P10: a stop ends the turn that is under way, and leaves nothing open in the database.
#[tokio::test]
async fn a_stop_leaves_nothing_open() {
    let scene = Scene::new().await;
    let plan = scene.plan(THINGS);
    let told = Cell::new(0);
    for round in 0..3_u64 {
        let sidecar = plan.start().await;
        eventually("a turn is under way", async || {
            let from = told.get();
            told.set(from + 5_000);
            scene.events((from..from + 5_000).map(grown)).await;
            open(&scene.consumer).await > 0
        })
        .await;
        sleep(Duration::from_millis(20 * round)).await;
        sidecar.stop().await;
        assert_eq!(open(&scene.consumer).await, 0, "round {round}");
    }
    let sidecar = plan.start().await;
    grown_to(&scene.consumer, told.get()).await;
    sidecar.stop().await;
    scene.clear().await;
}

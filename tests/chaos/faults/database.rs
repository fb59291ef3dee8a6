//! Faults of the database.

use std::time::Duration;

use anyhow::{Result, ensure};
use bson::{Document, RawDocumentBuf, doc};
use mongodb::options::{InsertManyOptions, WriteConcern};
use tokio::time::{Instant, sleep};

use crate::machine::eventually;
use crate::machine::replica_set::{MEMBERS, ReplicaSet};
use crate::stage::Stage;

/// How long a member may take to be well again.
const WELL_WITHIN: Duration = Duration::from_secs(60);

/// SIGKILL for the primary, a while without it, and its return.
pub(super) async fn kill_primary(stage: &Stage, rng: &mut fastrand::Rng) -> Result<()> {
    let mut set = stage.set.lock().await;
    let primary = set.elected(&[]).await?;
    set.kill(primary)?;
    sleep(Duration::from_millis(rng.u64(..4_000))).await;
    set.launch(primary)?;
    is_well(&set, primary).await
}

/// Another member becomes primary, with all connections to the old one alive.
pub(super) async fn step_down(stage: &Stage) -> Result<()> {
    let set = stage.set.lock().await;
    let primary = set.elected(&[]).await?;
    set.run(primary, doc! { "replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 1, "force": true }).await?;
    set.elected(&[primary]).await.map(drop)
}

/// Nothing is copied from the primary any more; it takes writes, and is killed; another is elected; it comes back,
/// and what only it had is rolled back.
pub(super) async fn roll_back(stage: &Stage) -> Result<String> {
    let mut set = stage.set.lock().await;
    let primary = set.elected(&[]).await?;
    let files = set.rolled_back(primary);
    let others: Vec<usize> = (0..MEMBERS).filter(|member| *member != primary).collect();
    for member in &others {
        set.run(*member, doc! { "configureFailPoint": "stopReplProducer", "mode": "alwaysOn" }).await?;
    }
    sleep(Duration::from_millis(2_500)).await;
    set.kill(primary)?;
    for member in &others {
        set.run(*member, doc! { "configureFailPoint": "stopReplProducer", "mode": "off" }).await?;
    }
    set.elected(&[primary]).await?;
    set.launch(primary)?;
    // It calls itself well for a moment before it notices.
    let noticed = eventually("something is rolled back", Duration::from_secs(20), async || {
        ensure!(set.rolled_back(primary) > files, "nothing yet");
        Ok(())
    })
    .await;
    is_well(&set, primary).await?;
    Ok(if noticed.is_ok() { String::new() } else { " (of nothing)".into() })
}

/// The small tmpfs that would fill a real disk needs root, so the server is made to say so.
pub(super) async fn disk_full(stage: &Stage, rng: &mut fastrand::Rng) -> Result<()> {
    let data = doc! { "failCommands": ["update", "delete", "commitTransaction"], "errorCode": 14_031 };
    fail(stage, "alwaysOn".into(), data, Duration::from_secs(rng.u64(2..8))).await
}

/// Errors with which a server answers now and then, and silence.
pub(super) async fn errs(stage: &Stage, rng: &mut fastrand::Rng) -> Result<String> {
    let all = ["update", "find", "aggregate", "getMore", "count"];
    let (name, data) = match rng.u8(..8) {
        0 => (" (closes connections)", doc! { "failCommands": &all[..], "closeConnection": true }),
        1 => (" (shutting down)", doc! { "failCommands": &all[..], "errorCode": 91 }),
        2 => (" (not primary)", doc! { "failCommands": &all[..], "errorCode": 10_107 }),
        3 => (" (time limit)", doc! { "failCommands": &all[..], "errorCode": 50 }),
        4 => (" (write conflict)", doc! { "failCommands": ["update"], "errorCode": 112 }),
        5 => (" (cursor lost)", doc! { "failCommands": ["getMore"], "errorCode": 43 }),
        6 => (
            " (no majority in time)",
            doc! {
                "failCommands": ["update"],
                "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" },
            },
        ),
        _ => (" (slow)", doc! { "failCommands": &all[..], "blockConnection": true, "blockTimeMS": 1_200 }),
    };
    let mode = doc! { "times": rng.i32(3..40) };
    fail(stage, mode.into(), data, Duration::from_secs(rng.u64(2..6))).await?;
    Ok(name.into())
}

/// What the server says when a position is no longer in its log.
pub(super) async fn history_lost(stage: &Stage) -> Result<()> {
    let data = doc! { "failCommands": ["getMore"], "errorCode": 286 };
    fail(stage, doc! { "times": 2 }.into(), data, Duration::from_secs(3)).await
}

/// So much is written while no sidecar runs that their positions are no longer in the log.
pub(super) async fn roll_log_over(stage: &Stage) -> Result<String> {
    let set = stage.set.lock().await;
    let _alone = stage.hands.lock().await;
    stage.sidecars.look_after().await?;
    for pod in 0..stage.sidecars.count() {
        stage.sidecars.kill(pod).await?;
    }
    let primary = set.elected(&[]).await?;
    // The shop goes on, so there are changes that nobody will be told of.
    sleep(Duration::from_secs(2)).await;
    let newest = edge(&set, primary, -1).await?;
    let filler = stage.database.client().database("filler").collection::<RawDocumentBuf>("filler");
    // All members must come along, or one of them would lose its own position.
    let all = InsertManyOptions::builder().write_concern(WriteConcern::nodes(3)).build();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut is_over = false;
    while !is_over && Instant::now() < deadline {
        let page: Vec<Document> = (0..8).map(|_| doc! { "text": "x".repeat(1_000_000) }).collect();
        let page = page.iter().map(RawDocumentBuf::try_from).collect::<Result<Vec<_>, _>>()?;
        filler.insert_many(page).with_options(all.clone()).await?;
        is_over = edge(&set, primary, 1).await? > newest;
    }
    filler.drop().await?;
    for pod in 0..stage.sidecars.count() {
        stage.sidecars.launch(pod).await?;
    }
    Ok(if is_over { String::new() } else { " (not far enough)".into() })
}

/// Has the primary answer the sidecars, and nobody else, like that for a time.
async fn fail(stage: &Stage, mode: bson::Bson, mut data: Document, long: Duration) -> Result<()> {
    let set = stage.set.lock().await;
    let primary = set.elected(&[]).await?;
    data.insert("appName", "nearcopy");
    let point = |mode| doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data.clone() };
    set.run(primary, point(mode)).await?;
    sleep(long).await;
    set.run(primary, doc! { "configureFailPoint": "failCommand", "mode": "off" }).await.map(drop)
}

/// The time of the oldest entry of the log, or with a direction of -1 the newest.
async fn edge(set: &ReplicaSet, member: usize, direction: i32) -> Result<bson::Timestamp> {
    let entry = set.first_of_log(member, direction).await?;
    Ok(entry.get_timestamp("ts")?)
}

async fn is_well(set: &ReplicaSet, member: usize) -> Result<()> {
    ensure!(member < MEMBERS, "there is no member {member}");
    eventually("a member is well again", WELL_WITHIN, async || set.is_well(member).await).await
}

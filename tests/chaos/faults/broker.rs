//! Faults of the broker.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::sleep;

use crate::machine::broker::{self, QUEUE};
use crate::machine::eventually;
use crate::stage::Stage;

/// How soon the sidecars must have noticed, and have declared their queue again.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// SIGKILL, a while without it, and its return.
pub(super) async fn kill(stage: &Stage, rng: &mut fastrand::Rng) -> Result<()> {
    let mut node = stage.broker.lock().await;
    node.kill()?;
    sleep(Duration::from_millis(rng.u64(..3_000))).await;
    node.restart().await
}

/// All connections end at once, the publisher's too.
pub(super) async fn close_connections(stage: &Stage) -> Result<()> {
    stage.broker.lock().await.control(&["close_all_connections", "chaos"]).await.map(drop)
}

/// Out of memory for a while: nobody may publish, everybody may consume.
pub(super) async fn alarm(stage: &Stage, rng: &mut fastrand::Rng) -> Result<()> {
    let node = stage.broker.lock().await;
    node.control(&["set_vm_memory_high_watermark", "0"]).await?;
    sleep(Duration::from_millis(rng.u64(2_000..8_000))).await;
    node.control(&["set_vm_memory_high_watermark", "0.4"]).await.map(drop)
}

/// Messages are dropped. No sidecar runs before, so that there are some that nobody has taken.
pub(super) async fn purge(stage: &Stage, rng: &mut fastrand::Rng) -> Result<String> {
    let _node = stage.broker.lock().await;
    let _alone = stage.hands.lock().await;
    stage.sidecars.look_after().await?;
    for pod in 0..stage.sidecars.count() {
        stage.sidecars.kill(pod).await?;
    }
    sleep(Duration::from_millis(rng.u64(1_000..4_000))).await;
    let dropped = broker::purge(&stage.broker_url).await;
    for pod in 0..stage.sidecars.count() {
        stage.sidecars.launch(pod).await?;
    }
    Ok(if dropped? > 0 { String::new() } else { " (of nothing)".into() })
}

/// The queue goes with all that is in it; what is published before it is there again goes nowhere.
pub(super) async fn delete_queue(stage: &Stage) -> Result<()> {
    let _node = stage.broker.lock().await;
    broker::delete(&stage.broker_url).await?;
    eventually("the queue is there again", BACK_WITHIN, async || {
        ensure!(broker::depth(&stage.broker_url, QUEUE).await?.is_some(), "it is not");
        Ok(())
    })
    .await?;
    // Deleted again while it comes into being, a quorum queue of RabbitMQ 3.10 can stay without a leader for ever.
    sleep(Duration::from_secs(3)).await;
    Ok(())
}

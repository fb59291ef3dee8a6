//! A backlog is worked off: how fast, and who is busy meanwhile.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::ledger::Backlog;
use crate::kubelet::Deployment;
use crate::stage::{Stage, somebody};
use crate::usage::{Group, busy_us};

/// How many events wait.
const EVENTS: u64 = 30_000;
/// Who is told of with the most memory held.
const SIDECAR: &str = "sidecar";
/// Longer than this is for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Publishes so many events while the sidecars stand still, then lets them go on, and waits until all are settled.
pub(super) async fn work_off(
    stage: &Arc<Stage>,
    deployment: &Deployment<'_>,
    rng: &mut Rng,
) -> Result<Backlog> {
    let before = settled(stage).await?;
    signal(deployment, "-STOP").await?;
    let events = (0..EVENTS).map(|_| stage.owner.touch(&somebody(rng), rng)).collect();
    stage.publisher.send(events).await;
    stage.published().await?;
    let meters = meters(stage, deployment).await;
    let (began, busy) = (Instant::now(), busy_us());
    signal(deployment, "-CONT").await?;
    let mut count = 0;
    while count < EVENTS {
        ensure!(began.elapsed() < PATIENCE, "{count} of {EVENTS} events are settled after {PATIENCE:?}");
        sleep(Duration::from_millis(50)).await;
        count = settled(stage).await? - before;
    }
    let took = began.elapsed();
    let said = |who: &str, us: u64| {
        format!("{who} {:.2}", Duration::from_micros(us).as_secs_f64() / took.as_secs_f64())
    };
    let (mut cores, mut rest) = (Vec::new(), busy_us().saturating_sub(busy));
    for (who, group, used) in meters {
        let used = group.cpu_us().saturating_sub(used);
        rest = rest.saturating_sub(used);
        let memory = if who == SIDECAR { format!(" ({:.0} MB)", group.peak_mb()) } else { String::new() };
        cores.push(said(who, used) + &memory);
    }
    cores.push(said("all else", rest));
    Ok(Backlog { pods: deployment.pods.len(), events: count, took, cores })
}

async fn signal(deployment: &Deployment<'_>, name: &str) -> Result<()> {
    for pod in 0..deployment.pods.len() {
        deployment.signal(pod, name).await?;
    }
    Ok(())
}

/// How many events have been settled by all pods.
async fn settled(stage: &Stage) -> Result<u64> {
    stage.sidecars.look_after().await?;
    Ok(stage.sidecars.books().await.0.total_of("events "))
}

/// Whose processor time is read, and how much they have used.
async fn meters(stage: &Stage, deployment: &Deployment<'_>) -> Vec<(&'static str, Group, u64)> {
    let mut groups = vec![("mongod", Group(stage.set.lock().await.ids()))];
    if let Some(broker) = stage.broker.lock().await.id() {
        groups.push(("RabbitMQ", Group::tree(broker)));
    }
    for pod in &deployment.pods {
        groups.extend(stage.sidecars.id(pod.slot).await.map(|id| (SIDECAR, Group(vec![id]))));
    }
    groups.push(("owner, shop and oracle", Group(vec![std::process::id()])));
    let read = |(who, group): (&'static str, Group)| {
        let used = group.cpu_us();
        (who, group, used)
    };
    groups.into_iter().map(read).collect()
}

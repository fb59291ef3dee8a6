//! What goes wrong: each fault is brought about, lasts its time, and is taken back.

mod broker;
mod database;
mod network;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep, sleep_until};

use crate::report;
use crate::stage::Stage;
use crate::world::api::Health;

/// Everything that can go wrong, each by its name in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// C6, D4: SIGKILL of a sidecar.
    SidecarKilled,
    /// C5, C1: SIGSTOP of a sidecar beyond its leases and claims, then SIGCONT.
    Zombie,
    /// M2, M3: SIGKILL of the primary, and its return.
    PrimaryKilled,
    /// M2: the primary steps down.
    StepDown,
    /// M1: what only the primary had is rolled back.
    Rollback,
    /// M4: the database says that its disk is full.
    DiskFull,
    /// M2, M6: the database answers with errors of all kinds, or not at all.
    DatabaseErrs,
    /// P5: a change stream's position is no longer known.
    HistoryLost,
    /// P5: the log rolls over while no sidecar runs.
    LogRolledOver,
    /// D3: SIGKILL of the broker, and its return.
    BrokerKilled,
    /// D3: the broker closes all connections.
    ConnectionsClosed,
    /// D12: the broker is out of memory.
    Alarm,
    /// D8: the queue is purged.
    Purged,
    /// D8: the queue is deleted.
    QueueDeleted,
    /// The way to the broker or the database is slow.
    Slow,
    /// D11: nothing passes to or from the broker, and nothing ends.
    BrokerBlackHole,
    /// D11, M2: nothing passes to or from the database, and nothing ends.
    DatabaseBlackHole,
    /// D4: connections to the broker are cut after some bytes.
    BrokerCut,
    /// D4: connections to the broker are cut with the nth acknowledgement.
    CutAtAcknowledgement,
    /// M2: connections to the database are cut after some bytes.
    DatabaseCut,
    /// M2: requests reach the database, and its replies are lost.
    RepliesLost,
    /// Replies trickle.
    Narrow,
    /// F5, F7: most of the owner's answers are none.
    OwnerSick,
    /// F7: the owner is dead.
    OwnerDead,
}

/// Faults that lose nothing, with their weights.
pub(crate) const HARMLESS: &[(Fault, u32)] = &[
    (Fault::Zombie, 3),
    (Fault::StepDown, 3),
    (Fault::Rollback, 2),
    (Fault::DiskFull, 2),
    (Fault::DatabaseErrs, 5),
    (Fault::HistoryLost, 3),
    (Fault::LogRolledOver, 1),
    (Fault::ConnectionsClosed, 3),
    (Fault::Alarm, 2),
    (Fault::Slow, 2),
    (Fault::BrokerBlackHole, 2),
    (Fault::DatabaseBlackHole, 2),
    (Fault::BrokerCut, 3),
    (Fault::CutAtAcknowledgement, 3),
    (Fault::DatabaseCut, 3),
    (Fault::RepliesLost, 3),
    (Fault::Narrow, 2),
    (Fault::OwnerSick, 3),
    (Fault::OwnerDead, 2),
];

/// Faults that make the broker lose events, which only a comparison with the owner finds again.
pub(crate) const LOSSY: &[(Fault, u32)] = &[
    (Fault::Purged, 4),
    (Fault::QueueDeleted, 3),
    (Fault::ConnectionsClosed, 1),
    (Fault::OwnerSick, 1),
    (Fault::OwnerDead, 1),
    (Fault::StepDown, 1),
];

/// What was brought about, how often, and what could not be.
#[derive(Default)]
pub(crate) struct Counts(Mutex<BTreeMap<String, u32>>);

impl Counts {
    pub(crate) fn add(&self, what: impl fmt::Display) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what.to_string()).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Kills so many times, evenly until the deadline: mostly sidecars, at times the primary or the broker.
pub(crate) async fn kill_until(
    stage: &Arc<Stage>,
    counts: &Counts,
    kills: u32,
    deadline: Instant,
    seed: u64,
) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 1);
    let began = Instant::now();
    let every = (deadline - began) / kills.max(1);
    for number in 0..kills {
        sleep_until(began + every * number).await;
        let victim = match rng.u8(..100) {
            0..10 => Fault::PrimaryKilled,
            10..15 => Fault::BrokerKilled,
            _ => Fault::SidecarKilled,
        };
        // A party that is in trouble already is left alone.
        let is_free = match victim {
            Fault::PrimaryKilled => stage.set.try_lock().is_ok(),
            Fault::BrokerKilled => stage.broker.try_lock().is_ok(),
            _ => true,
        };
        let victim = if is_free { victim } else { Fault::SidecarKilled };
        inflict(stage, victim, &mut rng, counts).await;
    }
}

/// Brings about one fault after the other until the deadline.
pub(crate) async fn trouble_until(
    stage: &Arc<Stage>,
    counts: &Counts,
    kinds: &[(Fault, u32)],
    deadline: Instant,
    seed: u64,
) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 2);
    let mut fresh: Vec<Fault> = kinds.iter().map(|(kind, _)| *kind).collect();
    rng.shuffle(&mut fresh);
    while Instant::now() < deadline {
        // Each kind once, in the time there is, before chance decides.
        let kind = fresh.pop().unwrap_or_else(|| choose(kinds, &mut rng));
        inflict(stage, kind, &mut rng, counts).await;
        sleep(Duration::from_millis(rng.u64(200..1_500))).await;
    }
}

fn choose(kinds: &[(Fault, u32)], rng: &mut fastrand::Rng) -> Fault {
    let all: u32 = kinds.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.u32(..all);
    for (kind, weight) in kinds {
        if left < *weight {
            return *kind;
        }
        left -= weight;
    }
    Fault::SidecarKilled
}

async fn inflict(stage: &Arc<Stage>, fault: Fault, rng: &mut fastrand::Rng, counts: &Counts) {
    report::trace(&format!("{fault:?}"));
    match bring_about(stage, fault, rng).await {
        Ok(detail) => counts.add(format!("{fault:?}{detail}")),
        Err(error) => {
            report::trace(&format!("{fault:?} could not be brought about: {error:#}"));
            counts.add(format!("{fault:?} (not brought about)"));
        }
    }
}

/// Does it, and takes it back. What there is to add to its name.
async fn bring_about(stage: &Arc<Stage>, fault: Fault, rng: &mut fastrand::Rng) -> Result<String> {
    match fault {
        Fault::SidecarKilled => kill_sidecar(stage, rng).await?,
        Fault::Zombie => zombie(stage, rng).await?,
        Fault::PrimaryKilled => database::kill_primary(stage, rng).await?,
        Fault::StepDown => database::step_down(stage).await?,
        Fault::Rollback => return database::roll_back(stage).await,
        Fault::DiskFull => database::disk_full(stage, rng).await?,
        Fault::DatabaseErrs => return database::errs(stage, rng).await,
        Fault::HistoryLost => database::history_lost(stage).await?,
        Fault::LogRolledOver => return database::roll_log_over(stage).await,
        Fault::BrokerKilled => broker::kill(stage, rng).await?,
        Fault::ConnectionsClosed => broker::close_connections(stage).await?,
        Fault::Alarm => broker::alarm(stage, rng).await?,
        Fault::Purged => return broker::purge(stage, rng).await,
        Fault::QueueDeleted => broker::delete_queue(stage).await?,
        Fault::OwnerSick => owner_is(stage, Health::Answers(70), rng).await,
        Fault::OwnerDead => owner_is(stage, Health::Dead, rng).await,
        Fault::Slow
        | Fault::BrokerBlackHole
        | Fault::DatabaseBlackHole
        | Fault::BrokerCut
        | Fault::CutAtAcknowledgement
        | Fault::DatabaseCut
        | Fault::RepliesLost
        | Fault::Narrow => network::disturb(stage, fault, rng).await,
    }
    Ok(String::new())
}

async fn kill_sidecar(stage: &Stage, rng: &mut fastrand::Rng) -> Result<()> {
    let _alone = stage.hands.lock().await;
    let pod = rng.usize(..stage.sidecars.count());
    stage.sidecars.look_after().await?;
    stage.sidecars.kill(pod).await?;
    sleep(Duration::from_millis(rng.u64(..1_500))).await;
    stage.sidecars.launch(pod).await
}

async fn zombie(stage: &Stage, rng: &mut fastrand::Rng) -> Result<()> {
    let pod = rng.usize(..stage.sidecars.count());
    stage.sidecars.signal(pod, "-STOP").await?;
    sleep(Duration::from_secs(rng.u64(11..25))).await;
    stage.sidecars.signal(pod, "-CONT").await.map(drop)
}

async fn owner_is(stage: &Stage, health: Health, rng: &mut fastrand::Rng) {
    stage.api.is(health);
    sleep(Duration::from_secs(rng.u64(3..10))).await;
    stage.api.is(Health::Answers(2));
}

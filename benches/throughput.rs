//! How fast a backlog is worked off, and what that costs whom.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::broker::Link;
use crate::contender::{Arena, Contender};
use crate::event::{Event, Spread, Workload};
use crate::manifest::manifest;
use crate::meter::Meter;
use crate::process::Process;
use crate::result::{Cost, Run};

/// How long it may take until the first event is taken, and until the last one is done.
const FIRST: Duration = Duration::from_secs(30);
const ALL: Duration = Duration::from_secs(300);
/// Of how many of the last events the users are looked at before it is over: more than anybody has under way.
const TAIL: usize = 10_000;
/// How long broker and database are left alone after the backlog is there.
const SETTLE: Duration = Duration::from_millis(1_000);

/// Has a contender work off these events upon an empty database, and checks what it has written.
pub(crate) async fn measure(
    arena: &Arena,
    contender: Contender,
    workload: &Workload,
    name: &str,
) -> Result<Run> {
    arena.database.renew().await?;
    let link = arena.broker.renew().await?;
    let cost = work_off(arena, &link, contender, workload, &workload.newest()).await?;
    link.close().await?;
    Ok(run(contender, name, workload, cost))
}

/// The same, where all users are there already.
pub(crate) async fn measure_grown(
    arena: &Arena,
    contender: Contender,
    events: usize,
    users: u32,
    name: &str,
) -> Result<Run> {
    arena.database.renew().await?;
    let link = arena.broker.renew().await?;
    let mut stored = HashMap::new();
    let first = Workload::each_once(users, 1);
    stored.extend(first.newest());
    work_off(arena, &link, contender, &first, &stored).await?;
    let workload = Workload::new(Spread::Uniform, events, users, 1, 1);
    stored.extend(workload.newest());
    let cost = work_off(arena, &link, contender, &workload, &stored).await?;
    link.close().await?;
    Ok(run(contender, name, &workload, cost))
}

fn run(contender: Contender, name: &str, workload: &Workload, cost: Cost) -> Run {
    let (contender, workload_name) = (contender.name().to_owned(), name.to_owned());
    Run { contender, workload: workload_name, events: workload.events.len(), cost }
}

/// One backlog, from its first delivery until all is durable, visible, acknowledged and as it must be.
async fn work_off(
    arena: &Arena,
    link: &Link,
    contender: Contender,
    workload: &Workload,
    stored: &HashMap<u32, u32>,
) -> Result<Cost> {
    let failed = || format!("{} failed", contender.name());
    let count = workload.events.len();
    link.publish(&workload.events).await?;
    arena.database.settle().await?;
    sleep(SETTLE).await;
    ensure!(link.waiting().await? == count, "not all that was published is in the queue");
    let mut process = arena.start(contender, &manifest(""))?;
    first_delivery(link, &mut process, count).await.with_context(failed)?;
    let meter = Meter::start(process.id());
    last_visible(arena, &mut process, workload.last, ALL).await.with_context(failed)?;
    let ended = arena.database.has(&workload.newest_of_tail(TAIL), ALL).await.with_context(failed)?;
    let cost = meter.read(ended, count);
    // A moment for the last acknowledgement; what is not acknowledged when the consumer is gone is in the queue again.
    sleep(Duration::from_millis(300)).await;
    process.stop().await?;
    link.holds(0).await.with_context(failed)?;
    arena.database.check(stored).await.with_context(failed)?;
    Ok(cost)
}

/// Waits until fewer messages wait than there were.
async fn first_delivery(link: &Link, process: &mut Process, count: usize) -> Result<()> {
    let deadline = Instant::now() + FIRST;
    while link.waiting().await? == count {
        process.is_sound()?;
        ensure!(Instant::now() < deadline, "it takes no events:\n{}", process.last_words());
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Waits until the last event is visible: most of the others are then, too. Asked rarely, since asking costs.
pub(crate) async fn last_visible(
    arena: &Arena,
    process: &mut Process,
    last: Event,
    within: Duration,
) -> Result<()> {
    let deadline = Instant::now() + within;
    while !arena.database.shows(last).await? {
        process.is_sound()?;
        ensure!(Instant::now() < deadline, "it does not come to an end:\n{}", process.last_words());
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

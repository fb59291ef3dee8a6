//! How fast a backlog is worked off, and what that costs whom.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::broker::Link;
use crate::contender::{Arena, Contender, manifest};
use crate::event::{Event, Workload};
use crate::process::{Group, Process, busy_us};
use crate::result::Run;

/// How long it may take until the first event is taken, and until the last one is done.
const FIRST: Duration = Duration::from_secs(30);
const ALL: Duration = Duration::from_secs(300);
/// Of how many of the last events the users are looked at before it is over: more than anybody has under way.
const TAIL: usize = 10_000;
/// How long broker and database are left alone after the backlog is there.
const SETTLE: Duration = Duration::from_millis(1_500);

/// Has a contender work off these events upon an empty database, and checks what it has written.
pub(crate) async fn measure(
    arena: &Arena,
    contender: Contender,
    workload: &Workload,
    name: &str,
) -> Result<Run> {
    arena.database.renew().await?;
    let link = arena.broker.renew().await?;
    let run = work_off(arena, &link, contender, workload, name).await;
    let run = run.with_context(|| format!("{} failed", contender.name()))?;
    link.close().await?;
    Ok(run)
}

/// The same with the database as it is, and a queue that is there and empty.
pub(crate) async fn work_off(
    arena: &Arena,
    link: &Link,
    contender: Contender,
    workload: &Workload,
    name: &str,
) -> Result<Run> {
    link.publish(&workload.events).await?;
    arena.database.settle().await?;
    sleep(SETTLE).await;
    let count = workload.events.len();
    ensure!(link.waiting().await? == count, "not all that was published is in the queue");
    let mut process = arena.start(contender, &manifest(""))?;
    first_delivery(link, &mut process, count).await?;
    let meter = Meter::start(&process);
    last_visible(arena, &mut process, workload.last).await?;
    let ended = arena.database.has(&workload.newest_of_tail(TAIL), ALL).await?;
    let run = meter.read(ended, contender, name, count);
    // A moment for the last acknowledgement; what is not acknowledged when the consumer is gone is in the queue again.
    sleep(Duration::from_millis(300)).await;
    process.stop().await?;
    link.holds(0).await?;
    arena.database.check(&workload.newest()).await?;
    Ok(run)
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
async fn last_visible(arena: &Arena, process: &mut Process, last: Event) -> Result<()> {
    let deadline = Instant::now() + ALL;
    while !arena.database.shows(last).await? {
        process.is_sound()?;
        ensure!(Instant::now() < deadline, "it does not come to an end:\n{}", process.last_words());
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The clocks of all that take part, as they stood at the beginning.
struct Meter {
    began: Instant,
    groups: [Option<Group>; 4],
    before: [u64; 4],
    busy: u64,
}

impl Meter {
    fn start(process: &Process) -> Self {
        let groups = [
            Some(Group::tree(process.id())),
            Group::service("mongodb", "mongod"),
            Group::service("rabbitmq", "beam.smp"),
            Some(Group::only(std::process::id())),
        ];
        let before = groups.each_ref().map(used);
        Self { began: Instant::now(), groups, before, busy: busy_us() }
    }

    fn read(&self, ended: Instant, contender: Contender, workload: &str, events: usize) -> Run {
        let after = self.groups.each_ref().map(used);
        let spent: Vec<u64> = after.iter().zip(&self.before).map(|(after, before)| after - before).collect();
        let busy = busy_us().saturating_sub(self.busy);
        let seconds = (ended - self.began).as_secs_f64();
        let others = busy.saturating_sub(spent.iter().sum());
        let per_event = |at: usize| self.groups[at].as_ref().map(|_| spent[at] as f64 / events as f64);
        Run {
            contender: contender.name().to_owned(),
            workload: workload.to_owned(),
            events,
            seconds,
            own_us: per_event(0).unwrap_or_default(),
            mongod_us: per_event(1),
            rabbitmq_us: per_event(2),
            peak_mb: self.groups[0].as_ref().map_or(0.0, Group::peak_mb),
            others: others as f64 / 1e6 / self.began.elapsed().as_secs_f64(),
        }
    }
}

fn used(group: &Option<Group>) -> u64 {
    group.as_ref().map_or(0, Group::cpu_us)
}

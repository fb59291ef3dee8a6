//! Reads the partitions of a queue for replicas, each by one pod at a time, and empties what is left of other numbers of them.
//!
//! A lease says whose turn it is, and the broker delivers a partition to one pod only, whatever leases say. What is written is
//! right without either: they keep the events of an entity with one pod.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::{Document, doc};
use tokio::sync::watch as signal;
use tokio::time::timeout;

use super::project::Interrupted;
use super::{Halted, Pipeline, suspect};
use crate::replication::{Class, Inflow, Partition, SourceSpec};
use crate::source::{Former, Left, LogError, Opened, Queue};
use crate::telemetry::metric;

/// How often is looked whether somebody has mended what stands in the way. Meanwhile whoever looks keeps his turn: no other
/// pod would fare better.
const MENDED_EVERY: Duration = Duration::from_secs(10);
/// How often is looked whether something has come into a queue that is left from before.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// For how long nothing must come out of such a queue for it to be empty.
const QUIET: Duration = Duration::from_secs(2);
/// Under which name a note says the queue.
const QUEUE: &str = "queue";

/// What is in the way of the partitions of a source, by their numbers.
pub type Troubles = BTreeMap<u16, String>;

/// A partition of a queue at work for replicas.
pub struct Intake {
    of: Arc<SourceSpec>,
    part: Partition,
    queue: Arc<dyn Queue>,
    trouble: signal::Sender<Troubles>,
    was_lost: AtomicBool,
}

/// What a source was read from while it was split otherwise.
pub struct Leftovers {
    /// The source as it is now.
    pub of: Arc<SourceSpec>,
    /// How its former queues are read.
    pub queues: Arc<dyn Former>,
}

impl Intake {
    /// One partition; nothing, if this is none. What is in its way is told beside what is in the way of the others.
    pub fn new(
        of: Arc<SourceSpec>,
        queue: Arc<dyn Queue>,
        trouble: signal::Sender<Troubles>,
    ) -> Option<Self> {
        let part = of.queue.part?;
        Some(Self { of, part, queue, trouble, was_lost: AtomicBool::new(false) })
    }

    pub(super) fn name(&self) -> String {
        format!("source {}, partition {}", self.of.name, self.part.number)
    }

    /// Says what is in the way, unless that of another partition is the same; or that nothing is.
    fn say(&self, why: Option<&Interrupted>) {
        let (source, partition) = (&self.of.name, self.part.number);
        let mut is_known = false;
        self.trouble.send_modify(|all| match why {
            None => drop(all.remove(&partition)),
            Some(interrupted) => {
                let said = interrupted.to_string();
                is_known = all.values().any(|known| *known == said);
                all.insert(partition, said);
            }
        });
        let Some(interrupted) = why else { return };
        match interrupted.class() {
            class if is_known => {
                tracing::debug!(event = "queue.interrupted", source, partition, %class, "{interrupted}");
            }
            class @ Class::Transient => {
                tracing::warn!(event = "queue.interrupted", source, partition, %class, "{interrupted}");
            }
            class => tracing::error!(event = "queue.interrupted", source, partition, %class, "{interrupted}"),
        }
    }
}

impl Pipeline {
    /// Works off a partition for ever, whenever it has its turn.
    pub(super) async fn take_part(self: Arc<Self>, intake: Intake) -> Result<(), Halted> {
        self.has_heard().await?;
        let whole = format!("source:{}", intake.of.name);
        let work = || self.read_partition(&intake);
        self.share_out(&whole, intake.part, work, |why| intake.say(why)).await
    }

    async fn read_partition(self: &Arc<Self>, intake: &Intake) -> Result<Infallible, Interrupted> {
        let Opened { mut inbox, is_new, closed } = match intake.queue.open().await {
            Ok(opened) => opened,
            Err(error) => {
                let (stands, interrupted) = (error.class != Class::Transient, Interrupted::from(error));
                if stands {
                    intake.say(Some(&interrupted));
                    self.pause(MENDED_EVERY).await?;
                }
                return Err(interrupted);
            }
        };
        // A stop waits until what was settled is acknowledged.
        self.under_way.spawn(closed);
        self.note_read(&intake.of, is_new).await?;
        intake.say(None);
        if intake.was_lost.swap(false, Ordering::Relaxed) {
            metric::reconnected(&intake.of.name);
        }
        self.work_off(&Inflow::Queue(intake.of.clone()), &mut inbox).await?;
        intake.was_lost.store(true, Ordering::Relaxed);
        Err(if self.stop.is_cancelled() { Interrupted::Halted } else { Interrupted::Ended })
    }

    /// Takes note that a queue is read. Where events may have passed it by, the owners are asked about all that it feeds: it is
    /// new, and was read before, or nothing was read in its place. One that is new because the number of partitions has
    /// changed has missed nothing, since the others have got it.
    pub async fn note_read(&self, source: &SourceSpec, is_new: bool) -> Result<(), Halted> {
        let is_known = self.was_read(source).await?;
        if is_new {
            let others = [source.former(None), source.former(Some(0))];
            let is_another =
                !is_known && (self.was_read(&others[0]).await? || self.was_read(&others[1]).await?);
            if !is_another {
                self.resync(source).await?;
            }
        }
        if is_known {
            return Ok(());
        }
        let (name, note) = (note_of(source), doc! { QUEUE: source.queue.name() });
        self.persist(|| self.store.set_position(&name, Some(&note))).await
    }

    async fn was_read(&self, source: &SourceSpec) -> Result<bool, Halted> {
        let name = note_of(source);
        let note = self.persist(|| self.store.position(&name)).await?;
        let queue = |note: &Document| note.get_str(QUEUE).is_ok_and(|queue| queue == source.queue.name());
        Ok(note.as_ref().is_some_and(queue))
    }

    /// Empties the queues that a source was read from before, one pod at a time, until they are gone.
    pub(super) async fn empty_former(self: Arc<Self>, left: Leftovers) -> Result<(), Halted> {
        self.has_heard().await?;
        let lease = format!("source:{}", left.of.name);
        self.leased(&lease, async {
            let mut said = None;
            loop {
                let former = self.former(&left.of).await?;
                let emptying = Box::pin(self.empty_all(&left, &former, &mut said));
                if former.is_empty() || self.if_leased(&lease, emptying).await? == Some(true) {
                    self.stop.cancelled().await;
                    return Err(Halted);
                }
                self.pause(LOOK_EVERY).await?;
            }
        })
        .await
    }

    /// The queues that a source may have been read from before: partitions of higher numbers, and the whole, where it is split.
    async fn former(&self, of: &SourceSpec) -> Result<Vec<Option<u16>>, Halted> {
        let split = of.queue.split.as_ref().map(|split| split.partitions);
        let (mut former, mut next) = (Vec::new(), split.unwrap_or_default());
        while self.was_read(&of.former(Some(next))).await? {
            former.push(Some(next));
            next += 1;
        }
        former.extend(split.map(|_| None));
        Ok(former)
    }

    /// Empties them. Once none is there any more, they are forgotten, and that is said.
    async fn empty_all(
        self: &Arc<Self>,
        left: &Leftovers,
        former: &[Option<u16>],
        said: &mut Option<String>,
    ) -> Result<bool, Halted> {
        let mut are_gone = true;
        for number in former {
            let looked = left.queues.look(*number).await;
            are_gone &= matches!(looked, Ok(Left::Gone));
            match looked {
                Ok(Left::Waits(opened)) => self.empty(left.of.former(*number), opened).await?,
                Ok(Left::Gone | Left::Empty) => {}
                Err(error) => complain(&left.of, &error, said),
            }
        }
        // The highest first: whoever begins anew finds it by those below.
        for number in former.iter().rev().filter(|_| are_gone) {
            let note = note_of(&left.of.former(*number));
            self.persist(|| self.store.set_position(&note, None)).await?;
        }
        Ok(are_gone)
    }

    /// Works off what waits in a queue, until nothing has come for a while.
    async fn empty(self: &Arc<Self>, source: SourceSpec, opened: Opened) -> Result<(), Halted> {
        let (name, queue) = (source.name.clone(), source.queue.name());
        let (source, Opened { mut inbox, closed, .. }) = (Inflow::Queue(Arc::new(source)), opened);
        let mut taken = 0;
        while let Ok(deliveries) = timeout(QUIET, inbox.take(self.rhythm.batch)).await {
            if deliveries.is_empty() {
                break;
            }
            taken += deliveries.len();
            let (suspects, deliveries) = suspect::apart(deliveries);
            self.work_apart(&source, suspects).await?;
            self.run_batch(&source, deliveries).await?;
        }
        drop(inbox);
        closed.await;
        tracing::info!(
            event = "queue.former",
            source = name,
            queue,
            taken,
            "events were taken from a queue that is left from before the number of partitions changed"
        );
        Ok(())
    }
}

/// The note that a queue is read.
fn note_of(source: &SourceSpec) -> String {
    match source.queue.part {
        Some(part) => format!("queue:{}.{}", source.name, part.number),
        None => format!("queue:{}", source.name),
    }
}

fn complain(of: &SourceSpec, error: &LogError, said: &mut Option<String>) {
    let (source, class) = (&of.name, error.class);
    if said.replace(error.reason.clone()).as_ref() == Some(&error.reason) {
        tracing::debug!(event = "queue.former", source, %class, "{error}");
    } else {
        tracing::warn!(event = "queue.former", source, %class, "a queue that is left from before cannot be looked at: {error}");
    }
}

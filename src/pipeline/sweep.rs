//! What no event sets off: the tasks of a running pipeline, and the rounds that find what was left behind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::upgrade::Upgrade;
use super::{Emission, Halted, Intake, Leftovers, Pipeline, Polling, Projection, suspect};
use crate::replication::{Embed, Inflow, SourceSpec, Subscription};
use crate::source::Inbox;
use crate::store::Backlog;
use crate::telemetry::metric;

/// A debt that is older than this was left behind by somebody; a younger one may still be under way.
const LEFT_BEHIND: Duration = Duration::from_secs(5);
/// How many records are looked at together.
const PAGE: usize = 500;
/// Over how long the questions of a resync are spread.
pub(super) const RESYNC: Duration = Duration::from_secs(60);

/// A task that runs until the program stops, with the name that its failure is reported under.
pub type Task = (String, std::pin::Pin<Box<dyn Future<Output = Result<(), Halted>> + Send>>);

impl Pipeline {
    /// The tasks that fold read models, one for each, or for each partition.
    pub fn projections(self: &Arc<Self>, projections: Vec<Projection>) -> Vec<Task> {
        let task = |projection: Projection| -> Task {
            let number = projection.inflow.part().map(|part| format!(", partition {}", part.number));
            let name = format!("read model {}{}", projection.of.name, number.unwrap_or_default());
            (name, Box::pin(self.clone().project(projection)))
        };
        projections.into_iter().map(task).collect()
    }

    /// The tasks that ask owners for events on behalf of replicas, one for each feed.
    pub fn pollings(self: &Arc<Self>, pollings: Vec<Polling>) -> Vec<Task> {
        let task = |polling: Polling| -> Task {
            (format!("feed {}", polling.of.name), Box::pin(self.clone().poll(polling)))
        };
        pollings.into_iter().map(task).collect()
    }

    /// The tasks that read queues which are split, one for each partition.
    pub fn intakes(self: &Arc<Self>, intakes: Vec<Intake>) -> Vec<Task> {
        let task = |intake: Intake| -> Task { (intake.name(), Box::pin(self.clone().take_part(intake))) };
        intakes.into_iter().map(task).collect()
    }

    /// The tasks that empty the queues which sources were read from before, one for each source.
    pub fn leftovers(self: &Arc<Self>, leftovers: Vec<Leftovers>) -> Vec<Task> {
        let task = |left: Leftovers| -> Task {
            (format!("former queues of {}", left.of.name), Box::pin(self.clone().empty_former(left)))
        };
        leftovers.into_iter().map(task).collect()
    }

    /// The task that tells others what rules have found.
    pub fn emission(self: &Arc<Self>, emission: Emission) -> Task {
        ("rules".into(), Box::pin(self.clone().emit(emission)))
    }

    /// The tasks that make the pipeline run, one for each thing that must not hold up another.
    pub fn tasks(self: &Arc<Self>, inboxes: Vec<(Arc<SourceSpec>, Inbox)>) -> Vec<Task> {
        let mut tasks: Vec<Task> = Vec::new();
        for (source, inbox) in inboxes {
            tasks.push((
                format!("source {}", source.name),
                Box::pin(self.clone().replicate_source(Inflow::Queue(source), inbox)),
            ));
        }
        for of in &self.declaration.replicas {
            tasks.push((format!("rounds of {}", of.name), Box::pin(self.clone().do_rounds(of.clone()))));
            if of.fetch.is_some() {
                tasks.push((
                    format!("questions of {}", of.name),
                    Box::pin(self.clone().ask_owner(of.clone())),
                ));
            }
            if of.is_filled() {
                tasks.push((format!("list of {}", of.name), Box::pin(self.clone().fill(of.clone()))));
            }
        }
        let collections: BTreeSet<&String> =
            self.declaration.embeds.iter().map(|embed| &embed.collection).collect();
        for collection in collections {
            let name = format!("changes of {collection}");
            if self.store.has_change_streams() {
                tasks.push((name, Box::pin(self.clone().follow(collection.clone()))));
            }
            let drift = self.clone().repair_drift(collection.clone());
            tasks.push((format!("drift of {collection}"), Box::pin(drift)));
        }
        for left in &self.declaration.leftovers {
            tasks.push((left.name(), Box::pin(self.clone().clear_leftover(left.clone()))));
        }
        tasks.push(("presence".into(), Box::pin(self.clone().be_present())));
        tasks.push(("large fan-outs".into(), Box::pin(self.clone().fan_out_large())));
        tasks.push(("parked events".into(), Box::pin(self.clone().tend_parked())));
        tasks
    }

    /// Asks the owners about all that a source feeds, because events may have passed it by: the queue is new. Its
    /// length says how long a question may wait, so that the owner is not asked for everything at once.
    pub async fn resync(&self, source: &SourceSpec) -> Result<(), Halted> {
        for of in self.declaration.fed_by(&source.name) {
            if of.fetch.is_none() {
                continue;
            }
            if of.is_filled() {
                self.call_for_a_walk(of).await?;
            }
            let asked = self.persist(|| self.store.ask_all(of, RESYNC)).await?;
            if asked > 0 {
                tracing::warn!(
                    event = "replica.resync",
                    entity.r#type = %of.name,
                    records = asked,
                    "the queue is new, so events may have been missed; the owner is asked about every record"
                );
            }
        }
        Ok(())
    }

    /// Takes batches from a source, until it ends with the program.
    async fn replicate_source(self: Arc<Self>, source: Inflow, mut inbox: Inbox) -> Result<(), Halted> {
        self.has_heard().await?;
        self.work_off(&source, &mut inbox).await?;
        Err(Halted)
    }

    /// Works off what comes, in batches of whatever has arrived while the ones before were under way, until nothing comes any
    /// more and all of it is done.
    pub(super) async fn work_off(self: &Arc<Self>, source: &Inflow, inbox: &mut Inbox) -> Result<(), Halted> {
        let slots = Arc::new(Semaphore::new(self.rhythm.in_flight));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return Err(Halted) };
            let (suspects, deliveries) = suspect::apart(inbox.take(self.rhythm.batch).await);
            if !suspects.is_empty() || deliveries.is_empty() {
                // The source has ended, or a crash must be nobody else's: what is under way is finished first.
                let others = u32::try_from(self.rhythm.in_flight).unwrap_or(u32::MAX).saturating_sub(1);
                let Ok(all) = slots.clone().acquire_many_owned(others).await else { return Err(Halted) };
                if suspects.is_empty() {
                    return Ok(());
                }
                self.work_apart(source, suspects).await?;
                drop(all);
            }
            if deliveries.is_empty() {
                continue;
            }
            let (pipeline, source) = (self.clone(), source.clone());
            self.under_way.spawn(async move {
                let taken = deliveries.len();
                if pipeline.run_batch(&source, deliveries).await.is_err() {
                    metric::abandoned(source.name(), taken);
                }
                drop(slot);
            });
        }
    }

    /// A replica's rounds: debts left behind, records nobody refers to, and what there is to report.
    async fn do_rounds(self: Arc<Self>, of: Arc<Subscription>) -> Result<(), Halted> {
        let lease = numbered(format!("rounds:{}", of.name), of.shape);
        self.leased(&lease, self.rounds(&of, &lease)).await
    }

    async fn rounds(&self, of: &Subscription, lease: &str) -> Result<(), Halted> {
        let (mut since_marking, mut upgrade) = (self.rhythm.retire_every, None);
        loop {
            let backlog = self.persist(|| self.store.backlog(of)).await?;
            report(of, backlog);
            let is_marking = since_marking >= self.rhythm.retire_every;
            if self.if_leased(lease, self.do_round(of, backlog, &mut upgrade, is_marking)).await?.is_some()
                && is_marking
            {
                since_marking = Duration::ZERO;
            }
            self.pause(self.rhythm.sweep_every).await?;
            since_marking += self.rhythm.sweep_every;
        }
    }

    async fn do_round(
        &self,
        of: &Subscription,
        backlog: Backlog,
        upgrade: &mut Option<Upgrade>,
        is_marking: bool,
    ) -> Result<(), Halted> {
        self.upgrade(of, backlog, upgrade).await?;
        self.settle_debts(of).await?;
        if is_marking {
            self.mark_unreferenced(of).await?;
        }
        self.retire_marked(of).await
    }

    /// Fans out what was written and, by a crash or for its size, not fanned out.
    async fn settle_debts(&self, of: &Subscription) -> Result<(), Halted> {
        let mut from = None;
        loop {
            let owing = self.persist(|| self.store.owing(of, LEFT_BEHIND, from.as_ref(), PAGE)).await?;
            let Some(last) = owing.last() else { return Ok(()) };
            from = Some(last.id.clone());
            let moment = self.persist(|| self.store.heartbeat()).await?;
            let paid = self.fan_out(of, &owing, moment).await?;
            self.pay(of, &paid).await?;
        }
    }

    /// Compares every embed of a collection with its record from time to time. Without change streams, this is
    /// also how new documents are found, so it goes on all the time.
    async fn repair_drift(self: Arc<Self>, collection: String) -> Result<(), Halted> {
        let embeds: Vec<Arc<Embed>> =
            self.declaration.embeds.iter().filter(|embed| embed.collection == collection).cloned().collect();
        let lease = self.in_generation(&format!("drift:{collection}"), &embeds);
        self.leased(&lease, self.compare(&embeds, &lease)).await
    }

    async fn compare(&self, embeds: &[Arc<Embed>], lease: &str) -> Result<(), Halted> {
        let streams = self.store.has_change_streams();
        let every = if streams { self.rhythm.drift_every } else { self.rhythm.sweep_every };
        loop {
            if streams {
                self.pause(every).await?;
            }
            self.if_leased(lease, self.walk(embeds, streams)).await?;
            if !streams {
                self.pause(every).await?;
            }
        }
    }

    /// The name of a lease or position that only pods share which show the same in a collection.
    pub(super) fn in_generation(&self, name: &str, embeds: &[Arc<Embed>]) -> String {
        let shape = |embed: &Arc<Embed>| Some(self.declaration.replica(embed.from.as_str()).ok()?.shape);
        numbered(name.to_owned(), embeds.iter().filter_map(shape).max().unwrap_or(1))
    }

    /// Closes parked events that have been made good.
    async fn tend_parked(self: Arc<Self>) -> Result<(), Halted> {
        let lease = "parked";
        self.leased(lease, self.close_parked_for_ever(lease)).await
    }

    async fn close_parked_for_ever(&self, lease: &str) -> Result<(), Halted> {
        loop {
            self.if_leased(lease, self.close_parked()).await?;
            self.pause(self.rhythm.sweep_every * 5).await?;
        }
    }
}

/// A name as pods of a generation share it.
fn numbered(name: String, generation: i32) -> String {
    if generation > 1 { format!("{name}@{generation}") } else { name }
}

fn report(of: &Subscription, backlog: Backlog) {
    metric::pending(of.name.as_str(), backlog.pending);
    metric::fan_out_owed(of.name.as_str(), backlog.owing);
    metric::upgrade_remaining(of.name.as_str(), backlog.outdated + backlog.lacking);
}

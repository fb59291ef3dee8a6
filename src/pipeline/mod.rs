//! ④ Making it happen: what the rules decide, carried out in the one order that loses nothing.
//!
//! Two laws stand above every step. *Settle last.* And a duplicate is not done until its fan-out is known done.

mod ask;
mod backfill;
mod batch;
mod cache;
mod call;
mod clear;
mod collection;
mod deadline;
mod diary;
mod emit;
mod epoch;
mod erase;
mod fan_out;
mod fan_out_large;
mod feed;
mod fold;
mod gather;
mod hand;
mod hydrate;
mod intake;
mod lane;
mod lease;
mod listing;
mod load;
mod pace;
mod park;
mod parked_event;
mod partition;
mod pass;
mod patience;
mod poll;
mod project;
mod read;
mod rebase;
mod rebuild;
mod rebuild_one;
mod refold;
mod release;
mod replicate;
mod retire;
mod settled;
mod survey;
mod suspect;
mod sweep;
mod traffic;
mod turn;
mod upgrade;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as signal;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{self, Stopwatch};
use crate::event::EventId;
use crate::fetch::Fetch;
use crate::replication::{Declaration, Inflow};
use crate::source::Delivery;
use crate::store::Store;
use crate::telemetry::metric;
use crate::telemetry::trace::{self, TraceContext};

pub use backfill::{Backfill, Backfilled};
pub use collection::{CollectionFeed, CollectionReader};
pub use diary::{Diary, Note, Remembered, What};
pub use emit::Emission;
use epoch::{Heard, Regressions};
pub use erase::{Erased, Holding};
use fan_out_large::Backlog;
pub use feed::Changed;
pub use intake::{Intake, Leftovers, Troubles};
pub use listing::{Walk, WalkError, Walked};
use load::Load;
pub use park::Retry;
use partition::Shares;
pub use patience::Halted;
pub use poll::Polling;
pub use project::{Projection, Tap};
pub use read::{Reader, Told};
pub use rebase::{Pace, RebaseError, Rebased};
pub use rebuild::{Rebuild, RebuildError, Rebuilt, Step};
pub use rebuild_one::RebuiltOne;
pub use release::{Release, Released};
use settled::Settled;
pub use survey::{Survey, Surveyed};
use traffic::Traffic;
pub use watch::{Ended, Watch};

/// The rhythm of the work that no event sets off.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// How many deliveries are taken together at most.
    pub batch: usize,
    /// How many batches of a source are under way at once.
    pub in_flight: usize,
    /// How often the sweep looks for what is due or owed.
    pub sweep_every: Duration,
    /// How long a record must have been marked before it is retired.
    pub retire_grace: Duration,
    /// How often all records are looked through for those that nobody refers to.
    pub retire_every: Duration,
    /// How often all embeds are compared with their records.
    pub drift_every: Duration,
}

/// The steps, and what they share: the declaration and the three contracts.
pub struct Pipeline {
    declaration: Arc<Declaration>,
    store: Arc<dyn Store>,
    fetch: Arc<dyn Fetch>,
    rhythm: Rhythm,
    stop: CancellationToken,
    /// The sources whose events come.
    begun: signal::Sender<BTreeSet<String>>,
    /// Moves whenever somebody is wanted, or must be asked about, at once.
    wanted: signal::Sender<()>,
    large: Backlog,
    traffic: Traffic,
    load: Load,
    heard: Heard,
    regressions: Regressions,
    settled: Settled,
    diary: Arc<Diary>,
    shares: Shares,
    /// What a stop waits for: turns of read models and batches that are being stored, and queues that are being closed.
    under_way: TaskTracker,
}

impl Pipeline {
    /// Puts the pipeline together; nothing runs yet.
    pub fn new(
        declaration: Arc<Declaration>,
        store: Arc<dyn Store>,
        fetch: Arc<dyn Fetch>,
        rhythm: Rhythm,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Self::keeping(Arc::new(Diary::new(0)), declaration, store, fetch, rhythm, stop)
    }

    /// The same, which notes in this diary what it does.
    pub fn keeping(
        diary: Arc<Diary>,
        declaration: Arc<Declaration>,
        store: Arc<dyn Store>,
        fetch: Arc<dyn Fetch>,
        rhythm: Rhythm,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let (wanted, large) = (signal::Sender::new(()), Backlog::default());
        let (traffic, load) = (Traffic::default(), Load::default());
        let (heard, regressions) = (Heard::default(), Regressions::default());
        Arc::new(Self {
            declaration,
            store,
            fetch,
            rhythm,
            stop,
            begun: signal::Sender::new(BTreeSet::new()),
            wanted,
            large,
            traffic,
            load,
            heard,
            regressions,
            settled: Settled::default(),
            diary,
            shares: Shares::default(),
            under_way: TaskTracker::new(),
        })
    }

    /// Events of a source come from now on.
    pub fn begins(&self, source: &str) {
        self.begun.send_if_modified(|begun| begun.insert(source.to_owned()));
    }

    /// Works through one batch, as a part of its trace where it has one.
    async fn run_batch(&self, source: &Inflow, deliveries: Vec<Delivery>) -> Result<(), Halted> {
        self.traffic.comes();
        let trace = trace_of(&deliveries);
        trace::within(trace, self.work_through(source, deliveries)).await
    }

    /// One batch of deliveries, from bytes to settlement. Halted half-way, nothing of it is settled, and all of
    /// it comes again.
    async fn work_through(&self, source: &Inflow, deliveries: Vec<Delivery>) -> Result<(), Halted> {
        let watch = Stopwatch::start();
        let mut batch = batch::decode(&self.declaration, source, deliveries); // ② bytes to meaning
        let mut debts = Vec::new();
        for (of, events) in batch.events() {
            let mut replicated = self.replicate(&of, events).await?; // ③ decide ⑥ write, and read back
            let at = clock::wall_micros();
            let paid = self.fan_out(&of, &replicated.owing, replicated.moment).await?; // embeds, or a durable debt
            let ids = replicated.verdicts.iter().filter_map(|(event, _)| event.stamp.event.as_ref());
            self.settled.note(of.name.as_str(), ids.map(EventId::as_str));
            self.diary.events(at, &of.name, &mut replicated.verdicts);
            batch.conclude(source, &of, replicated.verdicts);
            debts.push((of, paid));
        }
        self.park(source, &mut batch).await?; // what nobody can read
        batch.settle(source); // last, after durability
        for (of, paid) in debts {
            self.pay(&of, &paid).await?; // a debt that is left is found by the sweep
        }
        metric::batch_duration(source.name(), watch.elapsed());
        Ok(())
    }
}

/// The trace that a batch is a part of: that of its only event. A batch of many belongs to many, and is part of none.
fn trace_of(deliveries: &[Delivery]) -> Option<TraceContext> {
    match deliveries {
        [only] => TraceContext::of_event(&only.headers),
        _ => None,
    }
}

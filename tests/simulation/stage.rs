//! Everything of one run, and the pods on it.

use std::sync::Arc;
use std::time::Duration;

use nearcopy::pipeline::Pipeline;
use nearcopy::replication::Declaration;
use nearcopy::source::Inbox;
use nearcopy::store::memory::Memory;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::asking::Asking;
use crate::broker::Broker;
use crate::chance::Chance;
use crate::consumer::Consumer;
use crate::faults::{Faults, Strike};
use crate::journal::Journal;
use crate::life::{Life, Mode};
use crate::owner::Owner;
use crate::peace::Peace;
use crate::plan::{Asked, Plan};
use crate::store::Troubled;
use crate::watch::Watch;

/// When a run begins, by the database's clock.
const BEGINNING: i64 = 1_767_225_600_000;

/// All that a run is played on.
pub(crate) struct Stage {
    pub(crate) plan: Arc<Plan>,
    pub(crate) declaration: Arc<Declaration>,
    pub(crate) journal: Journal,
    pub(crate) memory: Memory,
    pub(crate) broker: Broker,
    pub(crate) owner: Owner,
    pub(crate) consumer: Consumer,
    pub(crate) faults: Faults,
    pub(crate) watch: Watch,
    peace: Peace,
}

/// A pod, through one life after the other.
pub(crate) struct Pod {
    pub(crate) life: Life,
    name: String,
    lives: u64,
    stop: CancellationToken,
    /// When it is started again, if it is dead.
    pub(crate) starts_at: Option<Duration>,
    /// When it goes on, if it is paused.
    pub(crate) goes_on_at: Option<Duration>,
    /// When it finds the new primary, if it talks to a deposed one.
    pub(crate) finds_primary_at: Option<Duration>,
}

impl Stage {
    /// Sets the stage. Pods that crash are told of through `crashed`.
    pub(crate) fn set(
        plan: &Arc<Plan>,
        strike: Option<Strike>,
        keeps_lines: bool,
        crashed: mpsc::UnboundedSender<Life>,
    ) -> Self {
        let seed = plan.seed;
        let journal = Journal::begin(keeps_lines);
        let memory = Memory::new(BEGINNING, seed);
        let broker = Broker::new(Chance::new(seed, "broker"), journal.clone());
        let owner = Owner::new(plan.clone(), broker.clone(), Chance::new(seed, "owner"), journal.clone());
        let consumer =
            Consumer::new(plan.clone(), memory.clone(), Chance::new(seed, "consumer"), journal.clone());
        let faults = Faults::new(plan.trouble, strike, Chance::new(seed, "faults"), journal.clone(), crashed);
        let is_versioned = matches!(plan.asked, Asked::Versioned | Asked::Never);
        let watch = Watch::new(memory.clone(), journal.clone(), is_versioned);
        let peace = Peace::new(journal.clone(), strike.is_none() && plan.trouble.is_calm());
        let (plan, declaration) = (plan.clone(), plan.declaration());
        Self { plan, declaration, journal, memory, broker, owner, consumer, faults, watch, peace }
    }

    /// Starts a pod's next life.
    pub(crate) fn start(&self, pod: &mut Pod) {
        pod.lives += 1;
        pod.life = Life::begin(&format!("{}.{}", pod.name, pod.lives));
        pod.stop = CancellationToken::new();
        (pod.starts_at, pod.goes_on_at, pod.finds_primary_at) = (None, None, None);
        let life = pod.life.clone();
        self.journal.note(|| format!("{life}: starts"));
        let chance = Chance::new(self.plan.seed, &life.to_string());
        let store = Troubled {
            inner: self.memory.pod(&life.to_string()),
            life: life.clone(),
            faults: self.faults.clone(),
            watch: self.watch.clone(),
            peace: self.peace.clone(),
        };
        let fetch = Asking::new(
            self.owner.clone(),
            life.clone(),
            self.faults.clone(),
            self.peace.clone(),
            chance,
            self.journal.clone(),
        );
        let declaration = self.declaration.clone();
        let pipeline =
            Pipeline::new(declaration, Arc::new(store), Arc::new(fetch), self.plan.rhythm, pod.stop.clone());
        let (deliveries, inbox) = mpsc::channel(self.plan.prefetch);
        let source = self.declaration.sources[0].clone();
        for (_, task) in pipeline.tasks(vec![(source, Inbox::new(inbox))]) {
            tokio::spawn(task);
        }
        self.broker.connect(&life, &self.faults, self.plan.prefetch, deliveries);
    }

    /// Asks a pod to end, as SIGTERM does: what is under way is not settled, leases are given back.
    pub(crate) fn stop(&self, pod: &mut Pod) {
        self.journal.note(|| format!("{}: stops", pod.life));
        pod.stop.cancel();
        self.broker.disconnect(&pod.life);
    }
}

impl Pod {
    /// The pod of that number, not started.
    pub(crate) fn new(number: usize) -> Self {
        let name = format!("pod{number}");
        let life = Life::begin(&name);
        life.set(Mode::Dead);
        let stop = CancellationToken::new();
        Self { life, name, lives: 0, stop, starts_at: None, goes_on_at: None, finds_primary_at: None }
    }
}

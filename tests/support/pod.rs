//! A running pod: the pipeline with its tasks, fed by hand, in a runtime of its own so that it can be killed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use nearcopy::event::{EntityId, Headers, Version};
use nearcopy::pipeline::{Erased, Halted, Pace, Pipeline, RebaseError, Rebased, Retry, Rhythm};
use nearcopy::replication::Subscription;
use nearcopy::source::{Delivery, Inbox, Ledger};
use nearcopy::store::Parked;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::mongodb::{Database, connect};
use crate::owner::Owner;
use crate::rabbitmq::eventually;

/// A rhythm that leaves no time to waste.
pub(crate) const QUICK: Rhythm = Rhythm {
    batch: 100,
    in_flight: 2,
    sweep_every: Duration::from_millis(100),
    retire_grace: Duration::from_secs(3600),
    retire_every: Duration::from_secs(3600),
    drift_every: Duration::from_secs(3600),
};

/// Retires after a third of a second, and looks all the time.
pub(crate) const RETIRING: Rhythm =
    Rhythm { retire_grace: Duration::from_millis(300), retire_every: Duration::from_millis(100), ..QUICK };

/// One pod.
pub(crate) struct Pod {
    pipeline: Arc<Pipeline>,
    deliveries: mpsc::Sender<Delivery>,
    ledger: Arc<Settled>,
    next: AtomicU64,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<Result<(), Halted>>>,
    runtime: Option<Runtime>,
}

/// Which deliveries have been settled.
#[derive(Default)]
struct Settled(Mutex<BTreeSet<u64>>);

impl Ledger for Settled {
    fn settle(&self, tag: u64) {
        assert!(self.0.lock().unwrap().insert(tag), "delivery {tag} is settled twice");
    }
}

impl Pod {
    /// Starts a pod on a database.
    pub(crate) async fn start(database: &Database, owner: &Arc<Owner>) -> Self {
        Self::with(database, owner, QUICK).await
    }

    /// Starts a pod with a rhythm of its own.
    pub(crate) async fn with(database: &Database, owner: &Arc<Owner>, rhythm: Rhythm) -> Self {
        Self::on(database, owner, rhythm, &[]).await
    }

    /// Starts a pod that finds these events waiting, so that it takes them as one batch.
    pub(crate) async fn on(
        database: &Database,
        owner: &Arc<Owner>,
        rhythm: Rhythm,
        events: &[Value],
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, owner, declaration) =
            (CancellationToken::new(), owner.clone(), database.declaration.clone());
        let (url, name) = database.address();
        let token = stop.clone();
        let connecting = runtime.spawn(async move {
            let store = Arc::new(connect(&url, &name).await);
            Pipeline::new(declaration, store, owner, rhythm, token)
        });
        let pipeline = connecting.await.unwrap();
        let (deliveries, inbox) = mpsc::channel(1_000);
        let (ledger, next) = (Arc::default(), AtomicU64::new(1));
        let tasks = Vec::new();
        let mut pod = Self { pipeline, deliveries, ledger, next, stop, tasks, runtime: Some(runtime) };
        for event in events {
            pod.send(event).await;
        }
        let source = database.declaration.sources[0].clone();
        let tasks = pod.pipeline.tasks(vec![(source, Inbox::new(inbox))]);
        let runtime = pod.runtime.as_ref().unwrap();
        pod.tasks = tasks.into_iter().map(|(_, task)| runtime.spawn(task)).collect();
        pod
    }

    /// Hands an event over, and says under which tag.
    pub(crate) async fn send(&self, event: &Value) -> u64 {
        self.send_bytes(event.to_string()).await
    }

    /// Hands any bytes over.
    pub(crate) async fn send_bytes(&self, body: impl Into<Bytes>) -> u64 {
        let tag = self.next.fetch_add(1, Ordering::Relaxed);
        let ledger: Arc<dyn Ledger> = self.ledger.clone();
        let delivery = Delivery::new(body.into(), None, Headers::new(), false, tag, ledger);
        assert!(self.deliveries.send(delivery).await.is_ok(), "the pod takes nothing more");
        tag
    }

    /// Hands events over, and waits until all are settled.
    pub(crate) async fn deliver(&self, events: impl IntoIterator<Item = Value>) {
        let mut tags = Vec::new();
        for event in events {
            tags.push(self.send(&event).await);
        }
        eventually("the events are settled", async || tags.iter().all(|tag| self.is_settled(*tag))).await;
    }

    /// Whether a delivery is settled.
    pub(crate) fn is_settled(&self, tag: u64) -> bool {
        self.ledger.0.lock().unwrap().contains(&tag)
    }

    /// Waits until everything that was handed over is settled.
    pub(crate) async fn is_done(&self) {
        let all = 1..self.next.load(Ordering::Relaxed);
        eventually("all events are settled", async || all.clone().all(|tag| self.is_settled(tag))).await;
    }

    /// Takes a parked event up again.
    pub(crate) async fn retry(&self, parked: &Parked) -> Result<Retry, Halted> {
        let (pipeline, parked) = (self.pipeline.clone(), parked.clone());
        let runtime = self.runtime.as_ref().unwrap();
        runtime.spawn(async move { pipeline.retry(&parked).await }).await.unwrap()
    }

    /// Declares that the owner was restored at a time, in microseconds since 1970.
    pub(crate) async fn rebase(
        &self,
        of: &Subscription,
        at: i64,
        pace: Pace,
    ) -> Result<Rebased, RebaseError> {
        let (pipeline, of) = (self.pipeline.clone(), of.clone());
        let runtime = self.runtime.as_ref().unwrap();
        runtime.spawn(async move { pipeline.rebase(&of, at, pace).await }).await.unwrap()
    }

    /// Erases an entity, as the command beside running pods does.
    pub(crate) async fn erase(&self, of: &Subscription, id: &EntityId, version: Option<i64>) -> Erased {
        let (pipeline, of, id) = (self.pipeline.clone(), of.clone(), id.clone());
        let runtime = self.runtime.as_ref().unwrap();
        let erasing = async move { pipeline.erase(&of, &id, version.map(Version::new)).await };
        runtime.spawn(erasing).await.unwrap().unwrap()
    }

    /// Ends the pod as SIGTERM does: leases are given back.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        for task in self.tasks.split_off(1) {
            assert_eq!(task.await.unwrap(), Err(Halted));
        }
    }

    /// Ends the pod as SIGKILL does: nothing is finished, nothing given back.
    pub(crate) fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

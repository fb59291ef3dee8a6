//! All that a test is played on: the real pipeline, and everything around it in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::event::Keys;
use crate::fetch::memory::{Events, Owners};
use crate::manifest::Case;
use crate::pipeline::{Emission, Pipeline, Polling, Projection, Rhythm, Tap};
use crate::replication::{Declaration, FeedSpec, Inflow, ReadModel};
use crate::source::memory::{Listener, Message, Queue, Stream};
use crate::store::memory::{Memory, Pod};

/// How stale an owner can be, whatever the manifest says. Longer would only take time; and who asks again at once, in a time
/// that stands still while there is anything to do, would do so for ever.
const SETTLE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];
/// How many deliveries of a queue are out at once.
const PREFETCH: usize = 1_000;
/// The usual rhythm.
const RHYTHM: Rhythm = Rhythm {
    batch: 1_000,
    in_flight: 2,
    sweep_every: Duration::from_secs(1),
    retire_grace: Duration::from_hours(1),
    retire_every: Duration::from_mins(5),
    drift_every: Duration::from_mins(10),
};

/// What a test is played on.
pub(super) struct Stage {
    pub(super) declaration: Arc<Declaration>,
    pub(super) memory: Memory,
    pub(super) pod: Pod,
    /// The replicas of whose owners something is given.
    pub(super) answering: Vec<String>,
    pub(super) queues: BTreeMap<String, Queue>,
    pub(super) models: Vec<Model>,
    streams: BTreeMap<String, Stream>,
    /// Those of replicas, by their sources.
    pub(super) feeds: BTreeMap<String, Events>,
    pub(super) listener: Listener,
    pipeline: Arc<Pipeline>,
    told: watch::Sender<()>,
}

/// A read model at work.
pub(super) struct Model {
    pub(super) of: Arc<ReadModel>,
    pub(super) fed: Fed,
    /// What is in its way.
    pub(super) trouble: watch::Receiver<Option<String>>,
    inflow: Inflow,
    task: AbortHandle,
}

/// What a read model is folded from.
#[derive(Clone)]
pub(super) enum Fed {
    /// A stream, which others read, too.
    Stream(Stream),
    /// A queue of its own.
    Queue(Queue),
    /// What its owner tells.
    Feed(Events),
}

impl Stage {
    /// Sets the stage, and starts all that runs on it. The seed is for what the database leaves to chance.
    pub(super) fn set(declaration: &Declaration, case: &Case, seed: u64) -> Self {
        let declaration = Arc::new(hurried(declaration));
        let memory = Memory::new(clock::wall_micros() / 1_000, seed);
        for (collection, document) in &case.documents {
            memory.insert(collection, document.clone());
        }
        let pod = memory.pod("test");
        let owners = Owners::new(case.owners.clone());
        let (store, stop) = (Arc::new(pod.clone()), CancellationToken::new());
        let pipeline = Pipeline::new(declaration.clone(), store, Arc::new(owners), RHYTHM, stop);
        let queues = declaration.queues().map(|source| (source.name.clone(), Queue::default()));
        let streams = declaration.streams.iter().map(|stream| (stream.name.clone(), Stream::default()));
        let mut stage = Self {
            answering: case.owners.keys().map(ToString::to_string).collect(),
            queues: queues.collect(),
            streams: streams.collect(),
            feeds: BTreeMap::new(),
            models: Vec::new(),
            listener: Listener::default(),
            told: watch::Sender::new(()),
            declaration,
            memory,
            pod,
            pipeline,
        };
        stage.start();
        stage
    }

    fn start(&mut self) {
        let sources = self.declaration.sources.iter();
        let inboxes = sources
            .filter_map(|source| Some((source.clone(), self.queues.get(&source.name)?.open(PREFETCH))));
        for (_, task) in self.pipeline.tasks(inboxes.collect()) {
            tokio::spawn(task);
        }
        let (trouble, _) = watch::channel(None);
        let fed =
            self.declaration.feeds.iter().filter(|of| self.declaration.fed_by(&of.name).next().is_some());
        let feeds: Vec<_> = fed.map(|of| (of.clone(), Events::default())).collect();
        let polling = |(of, events): &(Arc<FeedSpec>, Events)| Polling {
            of: of.clone(),
            feed: Arc::new(events.clone()),
            trouble: trouble.clone(),
        };
        for (_, task) in self.pipeline.pollings(feeds.iter().map(polling).collect()) {
            tokio::spawn(task);
        }
        self.feeds = feeds.into_iter().map(|(of, events)| (of.name.clone(), events)).collect();
        for of in &self.declaration.read_models {
            // The manifest has found out before whether there is such a source.
            let Ok(inflow) = self.declaration.inflow(of) else { continue };
            let fed = match (&inflow, self.streams.get(inflow.name())) {
                (_, Some(stream)) => Fed::Stream(stream.clone()),
                (Inflow::Feed(_), None) => Fed::Feed(Events::default()),
                (_, None) => Fed::Queue(Queue::default()),
            };
            let model = self.fold(of, inflow, fed);
            self.models.push(model);
        }
        if self.declaration.read_models.iter().any(|model| !model.rules.is_empty()) {
            let outbox = Arc::new(self.pod.clone());
            let (outlet, told) = (Arc::new(self.listener.clone()), self.told.subscribe());
            let (_, task) = self.pipeline.emission(Emission { outbox, outlet, told });
            tokio::spawn(task);
        }
    }

    /// Begins to fold a read model.
    fn fold(&self, of: &Arc<ReadModel>, inflow: Inflow, fed: Fed) -> Model {
        let (trouble, watched) = watch::channel(None);
        let projection = Projection {
            of: of.clone(),
            inflow: inflow.clone(),
            tap: match &fed {
                Fed::Stream(stream) => Tap::Log(Arc::new(stream.clone())),
                Fed::Queue(queue) => Tap::Queue(Arc::new(queue.clone())),
                Fed::Feed(events) => Tap::Feed(Arc::new(events.clone())),
            },
            store: Arc::new(self.pod.clone()),
            trouble,
            told: self.told.clone(),
        };
        let tasks = self.pipeline.projections(vec![projection]).into_iter();
        let task = tokio::spawn(futures::future::join_all(tasks.map(|(_, task)| task))).abort_handle();
        Model { of: of.clone(), fed, trouble: watched, inflow, task }
    }

    /// Publishes a message.
    pub(super) fn publish(&self, source: &str, message: Message, again: bool) {
        if let Some(stream) = self.streams.get(source) {
            return stream.publish(message);
        }
        for model in self.models.iter().filter(|model| model.inflow.name() == source) {
            match &model.fed {
                Fed::Stream(_) => {}
                Fed::Queue(queue) => queue.publish(message.clone(), again),
                Fed::Feed(events) => events.publish(text(&message)),
            }
        }
        if let Some(queue) = self.queues.get(source) {
            queue.publish(message.clone(), again);
        }
        if let Some(events) = self.feeds.get(source) {
            events.publish(text(&message));
        }
    }

    /// Whether a source is a queue.
    pub(super) fn is_queue(&self, source: &str) -> bool {
        self.declaration.sources.iter().any(|queue| queue.name == source)
    }

    /// How many read models there are.
    pub(super) fn models(&self) -> usize {
        self.models.len()
    }

    /// Whoever folds a read model dies, whatever was under way, and somebody else begins anew.
    pub(super) fn crash(&mut self, model: usize) {
        let Model { of, fed, inflow, task, .. } = &self.models[model];
        task.abort();
        self.models[model] = self.fold(of, inflow.clone(), fed.clone());
    }

    /// What feeds a read model is lost, and found again.
    pub(super) fn cut(&mut self, model: usize) {
        match &self.models[model].fed {
            Fed::Stream(stream) => stream.cut(),
            Fed::Queue(_) | Fed::Feed(_) => self.crash(model),
        }
    }
}

/// A body as a part of a page.
fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.body).into_owned()
}

/// The declaration, with owners that are asked again in good time, and its fields protected by keys that everybody knows.
fn hurried(of: &Declaration) -> Declaration {
    let (mut hurried, keys) = (of.clone(), keys());
    for feed in &mut hurried.feeds {
        Arc::make_mut(feed).every = SETTLE[0];
    }
    for replica in &mut hurried.replicas {
        *replica = Arc::new(replica.guarded(&keys));
        if let Some(fetch) = &mut Arc::make_mut(replica).fetch {
            fetch.settle = fetch.settle.clamp(SETTLE[0], SETTLE[1]);
        }
    }
    hurried
}

/// Keys of nothing but zeros, so that what must be there can be written down.
fn keys() -> Arc<Keys> {
    let zeros = [0; Keys::LENGTH];
    Arc::new(Keys::default().hashing(&zeros).encrypting("test", &zeros).unwrap_or_default())
}

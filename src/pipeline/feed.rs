//! What changes in a replica, as it changes: one change stream for all who read it here, as long as anybody does.
//!
//! The stream only says who has changed; what is told of them is looked up then, so many changes of one entity are told
//! as one, and what is held in memory is brought up to date by the same look.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bson::Document;
use bytes::Bytes;
use tokio::sync::{broadcast, watch};

use super::cache::{CONFIRMED_WITHIN, Cache};
use super::gather::{Found, Gathered, Seat};
use super::read::Told;
use super::{Halted, Pipeline};
use crate::clock::Stopwatch;
use crate::event::EntityId;
use crate::replication::{Reading, Service, Subscription, Wish};
use crate::store::{Hints, Moment, ReadStore, StoreError};
use crate::telemetry::metric;

/// How long a change is waited for. Whoever waits is passed through every write.
const WAIT: Duration = Duration::from_millis(500);
/// How long changes are gathered once they come.
const GATHERED: Duration = Duration::from_millis(40);
/// How long after the last read a replica is still followed.
const IDLE: Duration = Duration::from_secs(60);
/// How many groups of changes a watcher may be behind.
const BEHIND: usize = 128;
/// How long a read may take before others no longer wait for it.
const SLOW: Duration = Duration::from_millis(50);
/// How long is waited before a stream is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// What changes in one replica.
pub(super) struct Feed {
    pub(super) of: Arc<Subscription>,
    pipeline: Arc<Pipeline>,
    store: Arc<dyn ReadStore>,
    cache: Cache,
    gathered: Arc<Gathered>,
    told: broadcast::Sender<Arc<Changed>>,
    standing: watch::Sender<Standing>,
    used: Mutex<Used>,
}

/// Entities that have changed together, each as it is now.
#[derive(Debug)]
pub struct Changed {
    /// The entities.
    pub told: Vec<Told>,
    /// From where on the next changes come; `None` where that is not known any more.
    pub position: Option<String>,
    /// What these are in the words of a face, made once for all who watch.
    pub said: OnceLock<Bytes>,
}

/// How far the stream has come.
#[derive(Clone, Default)]
pub(super) enum Standing {
    /// There is none.
    #[default]
    Closed,
    /// It is open.
    Open {
        /// Up to here, all has been told.
        position: Document,
        /// What is read after this is no older than what has been told.
        moment: Option<Moment>,
        /// When the database was last heard of.
        heard: Stopwatch,
    },
}

struct Used {
    last: Stopwatch,
    is_followed: bool,
}

impl Feed {
    pub(super) fn new(
        of: Arc<Subscription>,
        pipeline: Arc<Pipeline>,
        store: Arc<dyn ReadStore>,
        bytes: u64,
    ) -> Arc<Self> {
        let used = Mutex::new(Used { last: Stopwatch::start(), is_followed: false });
        let (told, standing) = (broadcast::Sender::new(BEHIND), watch::Sender::default());
        let (cache, gathered) = (Cache::new(bytes), Arc::default());
        Arc::new(Self { of, pipeline, store, cache, gathered, told, standing, used })
    }

    /// Says that somebody reads, and so begins to follow what changes, unless that is done already.
    pub(super) fn wake(self: &Arc<Self>) {
        let mut used = self.used();
        used.last = Stopwatch::start();
        if !used.is_followed && self.pipeline.store.has_change_streams() {
            used.is_followed = true;
            drop(tokio::spawn(self.clone().follow()));
        }
    }

    /// What is held in memory and will do for this wish.
    pub(super) fn held(&self, id: &EntityId, wish: &Wish) -> Option<Reading> {
        let is_confirmed = match &*self.standing.borrow() {
            Standing::Open { heard, .. } => heard.elapsed() < CONFIRMED_WITHIN,
            Standing::Closed => false,
        };
        let held = self.cache.get(id).filter(|_| is_confirmed);
        held.filter(|reading| wish.service(&self.of, Some(reading), false) == Service::Tell)
    }

    /// Reads records, together with others who ask for some meanwhile, and keeps them in memory.
    pub(super) async fn look_up(self: &Arc<Self>, ids: Vec<EntityId>) -> Found {
        let (told, seat) = self.gathered.ask(ids);
        if let Some(seat) = seat {
            // Others may be read for by then: whoever asked first may go, and his read goes on.
            drop(tokio::spawn(self.clone().read_on(seat)));
        }
        told.await.unwrap_or_else(|_| {
            let action = format!("reading `{}`", self.of.name);
            Err(StoreError::Unavailable { action, detail: "the read was given up".into() })
        })
    }

    /// Reads for those who wait, until nobody does. What takes long goes on by itself, and those who come later do not wait
    /// for it: it may hang upon a connection that is dead.
    async fn read_on(self: Arc<Self>, mut seat: Seat) {
        while let Some(turn) = seat.next() {
            let feed = self.clone();
            let reading = tokio::spawn(async move {
                let found = feed.read(&turn.ids()).await;
                turn.tell(found);
            });
            drop(tokio::time::timeout(SLOW, reading).await);
        }
    }

    async fn read(&self, ids: &[EntityId]) -> Found {
        let begun = self.cache.begin();
        let (is_open, after) = match &*self.standing.borrow() {
            Standing::Open { moment, .. } => (true, *moment),
            Standing::Closed => (false, None),
        };
        let found = self.store.look_up(&self.of, ids, after).await?;
        Ok(if is_open { self.cache.keep(begun, found) } else { self.cache.later(found) })
    }

    /// What was read by other ways, or what is held, where that is later.
    pub(super) fn later(&self, found: Vec<Reading>) -> Vec<Reading> {
        self.cache.later(found)
    }

    /// What changes from now on.
    pub(super) fn listen(&self) -> (broadcast::Receiver<Arc<Changed>>, watch::Receiver<Standing>) {
        (self.told.subscribe(), self.standing.subscribe())
    }

    /// Follows for as long as anybody reads. Whoever watches and comes too late for something is told so.
    async fn follow(self: Arc<Self>) {
        let mut from = None;
        loop {
            let following = self.pipeline.stop.run_until_cancelled(self.follow_on(&mut from)).await;
            let Some(Err(error)) = following else { return };
            tracing::warn!(event = "changes.restart", replica = %self.of.name, %error, "the change stream is opened again");
            metric::change_stream_restarted(self.of.name.as_str());
            if matches!(error, StoreError::HistoryLost { .. }) {
                from = None;
                self.forget();
                self.tell(Vec::new(), None);
            }
            if let Err(Halted) = self.pipeline.pause(AGAIN).await {
                return;
            }
        }
    }

    async fn follow_on(&self, from: &mut Option<Document>) -> Result<(), StoreError> {
        let (mut wait, mut gauge) = (Duration::ZERO, self.pipeline.load.gauge());
        let mut changes = self.store.follow_records(&self.of, from.clone()).await?;
        // What is read after this was not read from a deposed primary.
        let mut moment = self.pipeline.store.heartbeat().await?;
        while self.is_read() {
            let hints = changes.next(wait).await?;
            if hints.ended {
                return Err(StoreError::HistoryLost { collection: self.of.name.to_string() });
            }
            metric::watchers(self.of.name.as_str(), self.told.receiver_count());
            let is_moving = !hints.documents.is_empty() || gauge.is_high(&self.pipeline.load);
            self.take(&hints).await?;
            moment = hints.moment.or(moment);
            if let Some(position) = hints.position {
                *from = Some(position.clone());
                self.standing.send_replace(Standing::Open { position, moment, heard: Stopwatch::start() });
            }
            wait = if is_moving { Duration::ZERO } else { WAIT };
            if is_moving {
                tokio::time::sleep(GATHERED).await;
            }
        }
        Ok(())
    }

    /// Looks at those that have changed, as far as anybody wants to know.
    async fn take(&self, hints: &Hints) -> Result<(), StoreError> {
        let ids = changed_in(&self.of, hints);
        if ids.is_empty() {
            return Ok(());
        }
        let held = self.cache.changed(&ids);
        let is_watched = self.told.receiver_count() > 0;
        let wanted: Vec<EntityId> = if is_watched { ids.into_iter().collect() } else { held };
        if wanted.is_empty() {
            return Ok(());
        }
        let found = self.store.look_up(&self.of, &wanted, hints.moment).await?;
        self.cache.renew(&wanted, &found);
        if is_watched {
            self.tell(told(wanted, found), hints.position.as_ref());
        }
        Ok(())
    }

    fn tell(&self, told: Vec<Told>, position: Option<&Document>) {
        // Nobody may be watching any more.
        drop(self.told.send(Arc::new(Changed::new(told, position))));
    }

    /// Whether anybody reads; says so a last time, and forgets what is held, where nobody does.
    fn is_read(&self) -> bool {
        let mut used = self.used();
        if self.told.receiver_count() > 0 || used.last.elapsed() < IDLE {
            return true;
        }
        self.forget();
        used.is_followed = false;
        false
    }

    fn forget(&self) {
        self.standing.send_replace(Standing::Closed);
        self.cache.clear();
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changed {
    pub(super) fn new(told: Vec<Told>, position: Option<&Document>) -> Self {
        let position = position.and_then(|position| position.get_str("_data").ok()).map(str::to_owned);
        Self { told, position, said: OnceLock::new() }
    }

    /// The same with only some of the entities.
    pub(super) fn only(self: Arc<Self>, is_told: impl Fn(&Told) -> bool) -> Arc<Self> {
        if self.told.iter().all(&is_told) {
            return self;
        }
        let told = self.told.iter().filter(|told| is_told(told)).cloned().collect();
        Arc::new(Self { told, position: self.position.clone(), said: OnceLock::new() })
    }
}

/// Who has changed, each once.
pub(super) fn changed_in(of: &Subscription, hints: &Hints) -> BTreeSet<EntityId> {
    let kind = of.selection.id_kind();
    hints.documents.iter().filter_map(|id| EntityId::from_bson(id, kind)).collect()
}

/// What is told of those who have changed: what was found, or that nothing is there.
pub(super) fn told(ids: Vec<EntityId>, found: Vec<Reading>) -> Vec<Told> {
    let mut found: std::collections::BTreeMap<EntityId, Reading> =
        found.into_iter().map(|reading| (reading.record.id.clone(), reading)).collect();
    ids.into_iter()
        .map(|id| {
            let reading = found.remove(&id);
            Told { id, reading, late: false }
        })
        .collect()
}

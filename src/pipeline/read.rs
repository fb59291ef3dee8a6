//! Answers readers: from what is held, and where that will not do, after a look at the owner.
//!
//! A reader has somebody waiting, so nothing here is repeated until it succeeds: it is told what there is when its time
//! is over, and whether that is what it wished.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::feed::Feed;
use super::watch::Watch;
use super::{Pipeline, gather};
use crate::clock::Stopwatch;
use crate::event::EntityId;
use crate::replication::{
    Answer, Content, Place, Query, Reading, RecordWrite, Service, State, Subscription, Wish,
};
use crate::store::{ReadStore, StoreError};
use crate::telemetry::metric;

/// The first pause before what is wished for is looked for again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(80);

/// One replica, as its readers are answered from it.
pub struct Reader {
    of: Arc<Subscription>,
    pipeline: Arc<Pipeline>,
    store: Arc<dyn ReadStore>,
    feed: Arc<Feed>,
}

/// What a reader is told of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The entity.
    pub id: EntityId,
    /// What is held, if anything is.
    pub reading: Option<Reading>,
    /// Whether its time was over before that was what it wished.
    pub late: bool,
}

impl Told {
    fn now(id: EntityId, reading: Option<Reading>) -> Self {
        Self { id, reading, late: false }
    }
}

impl Reader {
    /// One for each replica: it reads from this store, keeps about so many bytes in memory, and has this pipeline ask
    /// owners.
    pub fn all(pipeline: &Arc<Pipeline>, store: &Arc<dyn ReadStore>, bytes: u64) -> Vec<Self> {
        let reader = |of: &Arc<Subscription>| Self {
            of: of.clone(),
            pipeline: pipeline.clone(),
            store: store.clone(),
            feed: Feed::new(of.clone(), pipeline.clone(), store.clone(), bytes),
        };
        pipeline.settled.begin();
        pipeline.declaration.readable().map(reader).collect()
    }

    /// What is read.
    pub fn of(&self) -> &Arc<Subscription> {
        &self.of
    }

    /// Reads entities, each told once and in the order of their ids, within this time.
    pub async fn read(
        &self,
        ids: impl IntoIterator<Item = EntityId>,
        wish: &Wish,
        within: Duration,
    ) -> Result<Vec<Told>, StoreError> {
        let (watch, mut pause) = (Stopwatch::start(), FIRST_PAUSE);
        let (of, feed) = (&*self.of, &self.feed);
        feed.wake();
        let mut left: Vec<EntityId> = ids.into_iter().collect();
        left.sort_unstable();
        left.dedup();
        let (mut told, mut asked) = (Vec::with_capacity(left.len()), BTreeSet::new());
        left.retain(|id| {
            let held = feed.held(id, wish).map(|reading| Told::now(id.clone(), Some(reading)));
            let is_left = held.is_none();
            told.extend(held);
            is_left
        });
        metric::reads_held(of.name.as_str(), told.len(), left.len());
        while !left.is_empty() {
            let wish = &self.still(wish);
            let found = gather::in_order(feed.look_up(left.clone()).await?);
            let over = watch.elapsed() >= within;
            let mut asks = Vec::new();
            for id in std::mem::take(&mut left) {
                let reading = gather::of(&id, &found).cloned();
                let service = wish.service(of, reading.as_ref(), asked.contains(&id));
                if service == Service::Tell || over {
                    told.push(Told { id, reading, late: service != Service::Tell });
                    continue;
                }
                if service == Service::Ask {
                    asks.push((id.clone(), reading.map(|reading| reading.record.state)));
                    asked.insert(id.clone());
                }
                left.push(id);
            }
            let remaining = within.saturating_sub(watch.elapsed());
            let mut unknown = self.ask(asks, remaining).await?;
            // What is wished for may still come by an event.
            unknown.retain(|_| wish.is_modest());
            left.retain(|id| unknown.binary_search(id).is_err());
            told.extend(unknown.into_iter().map(|id| Told::now(id, None)));
            if !left.is_empty() {
                tokio::time::sleep(pause.min(within.saturating_sub(watch.elapsed()))).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
        told.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        Ok(told)
    }

    /// What is still to be waited for: not an event that is known to have been settled, whatever came of it. What is read
    /// from the database after that shows it; what is in memory may not yet.
    fn still(&self, wish: &Wish) -> Wish {
        let is_settled = |event: &String| self.pipeline.settled.has(self.of.name.as_str(), event);
        Wish { event: wish.event.clone().filter(|event| !is_settled(event)), ..wish.clone() }
    }

    /// The live records that meet a query, in its order, from behind a place on, and the place of the last one if there
    /// may be more. Nobody is asked.
    pub async fn list(
        &self,
        query: &Query,
        after: Option<&Place>,
        most: usize,
    ) -> Result<(Vec<Reading>, Option<Place>), StoreError> {
        let found = self.feed.later(self.store.list(&self.of, query, after, most).await?);
        let more = found.last().filter(|_| found.len() == most).map(|last| query.place(&last.record));
        Ok((found, more))
    }

    /// Whom the owner says to have this value of a field; `None` where it does not say so in time.
    pub async fn find(&self, field: &str, value: &str, within: Duration) -> Option<Vec<EntityId>> {
        let finding = self.pipeline.fetch.find(&self.of, field, value);
        match tokio::time::timeout(within, finding).await.ok()? {
            Ok(found) => Some(found),
            Err(error) => {
                let class = error.class();
                tracing::warn!(event = "find.failed", replica = %self.of.name, field, %class, %error, "the owner cannot be asked who has a value");
                None
            }
        }
    }

    /// Watches the replica, or only these entities of it: from now on, or from a position that a watcher was told.
    pub async fn watch(&self, only: BTreeSet<EntityId>, from: Option<&str>) -> Result<Watch, StoreError> {
        self.feed.wake();
        Watch::begin(self.feed.clone(), self.store.clone(), only, from).await
    }

    /// Has the owner asked, and says whom it does not know, in the same order. Whoever is missing is wanted from now on:
    /// where that is for good, only once the owner knows him, or every misspelt id would be asked about for ever.
    async fn ask(
        &self,
        asks: Vec<(EntityId, Option<State>)>,
        within: Duration,
    ) -> Result<Vec<EntityId>, StoreError> {
        let of = &*self.of;
        let (absent, known): (Vec<_>, Vec<_>) =
            asks.into_iter().partition(|(_, state)| state.is_none() && of.keep.creates());
        let absent: Vec<EntityId> = absent.into_iter().map(|(id, _)| id).collect();
        let (mut writes, mut unknown): (Vec<RecordWrite>, _) =
            (known.into_iter().map(|(id, state)| question(of, id, state)).collect(), Vec::new());
        if !absent.is_empty() {
            let asked = tokio::time::timeout(within, self.pipeline.fetch.ask(of, &absent)).await;
            for (id, reply) in absent.into_iter().zip(asked.unwrap_or_default()) {
                match reply.outcome {
                    Ok(Answer::NotFound | Answer::Found { content: Content::Gone(_), .. }) => {
                        unknown.push(id);
                    }
                    Ok(Answer::Found { .. }) => writes.push(question(of, id, None)),
                    Err(_) => {}
                }
            }
        }
        if !writes.is_empty() {
            self.pipeline.store.write(of, &writes, 0).await?;
            self.pipeline.wanted.send_replace(());
        }
        Ok(unknown)
    }
}

/// What has the owner asked.
fn question(of: &Subscription, id: EntityId, state: Option<State>) -> RecordWrite {
    match state {
        None | Some(State::Pending) => {
            RecordWrite::Placeholder { id, ask: true, hold: Some(of.reads.wanted) }
        }
        Some(_) => RecordWrite::Ask { id, wait: Duration::ZERO },
    }
}

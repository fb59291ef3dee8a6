//! Answers readers: from what is held, and where that will not do, after a look at the owner.
//!
//! A reader has somebody waiting, so nothing here is repeated until it succeeds: it is told what there is when its time
//! is over, and whether that is what it wished.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Pipeline;
use crate::clock::Stopwatch;
use crate::event::EntityId;
use crate::replication::{
    Answer, Content, Contract, Place, Query, Reading, RecordWrite, Service, State, Subscription, Wish,
};
use crate::store::{ReadStore, StoreError};

/// The first pause before what is wished for is looked for again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(80);

/// What is held of those who are asked for.
type Records = BTreeMap<EntityId, Reading>;

/// What readers are answered from.
pub struct Reader {
    pipeline: Arc<Pipeline>,
    store: Arc<dyn ReadStore>,
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

impl Reader {
    /// Reads from this store, and has this pipeline ask owners.
    pub fn new(pipeline: Arc<Pipeline>, store: Arc<dyn ReadStore>) -> Self {
        Self { pipeline, store }
    }

    /// Every replica that can be read.
    pub fn replicas(&self) -> &[Arc<Subscription>] {
        &self.pipeline.declaration.replicas
    }

    /// The gRPC services of the team's own.
    pub fn contract(&self) -> Option<&Arc<Contract>> {
        self.pipeline.declaration.contract.as_ref()
    }

    /// Reads entities, each told once and in the order of their ids, within this time.
    pub async fn read(
        &self,
        of: &Subscription,
        ids: impl IntoIterator<Item = EntityId>,
        wish: &Wish,
        within: Duration,
    ) -> Result<Vec<Told>, StoreError> {
        let (watch, mut pause) = (Stopwatch::start(), FIRST_PAUSE);
        let mut left: BTreeSet<EntityId> = ids.into_iter().collect();
        let (mut told, mut asked) = (BTreeMap::new(), BTreeSet::new());
        while !left.is_empty() {
            let ids: Vec<EntityId> = left.iter().cloned().collect();
            let found = self.store.look_up(of, &ids).await?;
            let mut found: Records = found.into_iter().map(|read| (read.record.id.clone(), read)).collect();
            let over = watch.elapsed() >= within;
            let mut asks = Vec::new();
            for id in ids {
                let reading = found.remove(&id);
                let service = wish.service(of, reading.as_ref(), asked.contains(&id));
                if service == Service::Ask && !over {
                    asks.push((id.clone(), reading.map(|reading| reading.record.state)));
                    asked.insert(id);
                } else if service == Service::Tell || over {
                    left.remove(&id);
                    told.insert(id.clone(), Told { id, reading, late: service != Service::Tell });
                }
            }
            let remaining = within.saturating_sub(watch.elapsed());
            let unknown = self.ask(of, asks, remaining).await?;
            // What is wished for may still come by an event.
            for id in unknown.into_iter().filter(|_| wish.is_modest()) {
                left.remove(&id);
                told.insert(id.clone(), Told { id, reading: None, late: false });
            }
            if !left.is_empty() {
                tokio::time::sleep(pause.min(within.saturating_sub(watch.elapsed()))).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
        Ok(told.into_values().collect())
    }

    /// The live records that meet a query, in its order, from behind a place on, and the place of the last one if there
    /// may be more. Nobody is asked.
    pub async fn list(
        &self,
        of: &Subscription,
        query: &Query,
        after: Option<&Place>,
        most: usize,
    ) -> Result<(Vec<Reading>, Option<Place>), StoreError> {
        let found = self.store.list(of, query, after, most).await?;
        let more = found.last().filter(|_| found.len() == most).map(|last| query.place(&last.record));
        Ok((found, more))
    }

    /// Has the owner asked, and says whom it does not know. Whoever is missing is wanted from now on: where that is for
    /// good, only once the owner knows him, or every misspelt id would be asked about for ever.
    async fn ask(
        &self,
        of: &Subscription,
        asks: Vec<(EntityId, Option<State>)>,
        within: Duration,
    ) -> Result<Vec<EntityId>, StoreError> {
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
